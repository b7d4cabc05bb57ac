from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.support.reader import HELD_OUT
from xception.backends.onnxruntime import newest_opset
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.errors import UsageError
from xception.export import export
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.forms import Form
from xception.quantize.quantize import Tuning, quantize_bundle

TRAIN = digits("train")


def test_int8_of_another_form_or_precision_is_refused(
    reader: Bundle, forms: dict[Form, Bundle], tmp_path: Path
) -> None:
    half = replace(reader, model=msgspec.structs.replace(reader.model, precision="float16"))
    for bundle in (half, forms["openvino"]):
        with pytest.raises(UsageError, match="int8 is made of weights or of a float32 ONNX graph"):
            quantize_bundle(bundle, TRAIN, tmp_path / "q", validation=HELD_OUT)


def test_a_graph_or_an_opset_without_grids_for_channels_is_refused_before_the_work(
    reader: Bundle, weights_bundle: Bundle, tmp_path: Path
) -> None:
    old = export_bundle(weights_bundle, "onnx", tmp_path / "old", options=GraphOptions(opset=12))
    with pytest.raises(UsageError, match=r"has the opset 12, .* needs 13 or later; export it again without --opset"):
        quantize_bundle(old, TRAIN, tmp_path / "q")
    with pytest.raises(UsageError, match="needs the opset 13 or later, not 11"):
        quantize_bundle(weights_bundle, TRAIN, tmp_path / "q", options=GraphOptions(opset=11))


@pytest.mark.parametrize("to", ["onnx", "openvino", "litert"])
def test_an_opset_that_onnx_runtime_does_not_know_is_refused_before_the_work(
    to: Form, weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that takes time is there to be called."""
    monkeypatch.delattr(export, "program")
    options = GraphOptions(opset=newest_opset() + 1)
    with pytest.raises(UsageError, match=f"expected 11 to {newest_opset()}"):
        quantize_bundle(weights_bundle, TRAIN, tmp_path / "q", to=to, options=options)
    if to != "litert":
        with pytest.raises(UsageError, match=f"expected 11 to {newest_opset()}"):
            export_bundle(weights_bundle, to, tmp_path / "out", options=options)


def test_options_that_do_not_fit_are_refused(reader: Bundle, weights_bundle: Bundle, tmp_path: Path) -> None:
    ports = Tuning(has_integer_ports=True)
    refused = [
        (reader, "onnx", {"fixed_batch": 2}, Tuning(), "holds a graph, which stays as it is; --fixed-batch are for"),
        (weights_bundle, "onnx", {"precision": "float16"}, Tuning(), "int8 in the form onnx has no --precision"),
        (reader, "onnx", {}, ports, "onnx has no --integer-ports; it is for litert"),
        (weights_bundle, "litert", {"top_k": 2}, ports, "goes with no --probabilities, --top-k or --class-maps"),
    ]
    for bundle, to, options, tuning, words in refused:
        with pytest.raises(UsageError, match=words):
            quantize_bundle(bundle, TRAIN, tmp_path / "q", to=to, options=GraphOptions(**options), tuning=tuning)
