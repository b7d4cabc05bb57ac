import os
import sys

import onnx
import pytest

from tests.support.lanes import slow_unless
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.data.subset import balanced
from xception.errors import InputError
from xception.quantize.calibration import Calibration
from xception.quantize.int8_files import int8_openvino_files
from xception.quantize.nncf import Correction, quantize_by_nncf


@pytest.fixture(scope="module")
def images(reader: Bundle) -> Calibration:
    return Calibration(balanced(digits("train"), 16)[0], reader.model.preprocess)


@pytest.mark.parametrize("correction", slow_unless(lambda name: name == "fast", ["fast", "full", "smooth"]))
@pytest.mark.filterwarnings("ignore")
def test_nncf_quantizes_and_keeps_quiet_about_its_user(
    correction: Correction, reader: Bundle, images: Calibration, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = quantize_by_nncf(onnx.load(reader.main_file), images, correction, weight_bits=7)
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("QuantizeLinear") > 10
    assert ("Mul" in kinds) is (correction == "smooth")
    assert capsys.readouterr().out == ""
    assert "NNCF_CI" not in os.environ
    # What would report to its makers is a stand-in.
    assert type(sys.modules["nncf.telemetry.wrapper"].telemetry).__name__ == "MagicMock"


@pytest.mark.filterwarnings("ignore")
def test_openvinos_own_model_is_quantized_too(reader: Bundle, images: Calibration) -> None:
    import openvino

    model = openvino.Core().read_model(reader.main_file)
    files = int8_openvino_files(quantize_by_nncf(model, images, "fast", weight_bits=7))
    assert b"FakeQuantize" in files["model.xml"]


def test_a_model_that_nncf_refuses_is_an_input_error(images: Calibration) -> None:
    nothing = onnx.helper.make_model(
        onnx.helper.make_graph([], "g", [onnx.helper.make_tensor_value_info("x", 1, [1])], [])
    )
    with pytest.raises(InputError, match="nncf cannot quantize this model"):
        quantize_by_nncf(nothing, images, "fast", weight_bits=7)
