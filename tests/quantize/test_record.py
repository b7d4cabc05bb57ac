import pytest

from xception.errors import CheckFailed
from xception.quantize.calibration import Provenance
from xception.quantize.processor import Processor
from xception.quantize.record import GateFailed, Quantization, Trial

TRIAL = Trial(method="max", verdict=None, error="not today", seconds=1.0, size_bytes=None, range_error=None)
RESULT = Quantization(
    source="0" * 64,
    target="onnx",
    is_signed=False,
    weight_bits=7,
    calibration=Provenance(data="digits", images=200, classes=10, digest="0" * 64),
    processor=Processor(machine="x86_64", instructions=()),
    trials=(TRIAL,),
    chosen=None,
    passed=False,
    layers=(),
    sensitivity=(),
    scales=(),
    flips=(),
)


def test_without_a_verdict_the_sentence_tells_why() -> None:
    assert (RESULT.verdict, TRIAL.passed) == (None, False)
    assert RESULT.sentence() == "int8 by max: not today"


def test_a_failed_gate_carries_the_record() -> None:
    with pytest.raises(CheckFailed) as failure:
        raise GateFailed("no method passed", RESULT)
    assert isinstance(failure.value, GateFailed)
    assert failure.value.quantization is RESULT
