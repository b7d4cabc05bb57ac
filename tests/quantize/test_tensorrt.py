from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support.reader import HELD_OUT
from xception.backends.base import open_session, run_in_batches
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.errors import CheckFailed
from xception.quantize.observation import observe
from xception.quantize.qdq import Scheme, quantize_graph
from xception.quantize.quantize import Tuning, quantize_bundle
from xception.quantize.tensorrt import check_tensorrt, tensorrt_faults
from xception.tasks.agreement import data_pixels


@pytest.fixture(scope="module")
def signed(reader_weights: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    written, _ = quantize_bundle(
        reader_weights,
        digits("train"),
        tmp_path_factory.mktemp("signed") / "int8",
        validation=HELD_OUT,
        images=40,
        method="max",
        tolerance=0.03,
        tuning=Tuning(is_signed=True, weight_bits=8),
    )
    return written


def test_a_signed_graph_keeps_every_rule(signed: Bundle) -> None:
    assert not [*tensorrt_faults(onnx.load(signed.main_file))]
    assert signed.model.lineage[-1].settings["is_signed"] is True


def test_onnx_runtime_and_openvino_agree_on_it(signed: Bundle) -> None:
    pixels = data_pixels(HELD_OUT, signed.model.preprocess, 40)
    ours, theirs = (run_in_batches(open_session(signed, backend), pixels, 8) for backend in ("onnxruntime", "openvino"))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.95


def constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def nodes(model: onnx.ModelProto, kind: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == kind]


def with_a_zero_point(model: onnx.ModelProto) -> None:
    name = nodes(model, "QuantizeLinear")[3].input[2]
    constant(model, name).CopyFrom(onnx.numpy_helper.from_array(np.array(5, np.int8), name))


def with_unsigned_integers(model: onnx.ModelProto) -> None:
    name = nodes(model, "QuantizeLinear")[3].input[2]
    constant(model, name).CopyFrom(onnx.numpy_helper.from_array(np.array(0, np.uint8), name))


def with_one_scale_for_all_channels(model: onnx.ModelProto) -> None:
    kernels = {tensor.name for tensor in model.graph.initializer if tensor.name.endswith("weight_quantized")}
    name = next(node for node in nodes(model, "DequantizeLinear") if node.input[0] in kernels).input[1]
    constant(model, name).CopyFrom(onnx.numpy_helper.from_array(np.array(0.1, np.float32), name))


def with_a_layer_half_in_float(model: onnx.ModelProto) -> None:
    layer = nodes(model, "Conv")[2]
    layer.input[0] = next(node for node in model.graph.node if node.output[0] == layer.input[0]).input[0]


def with_a_scale_of_zero(model: onnx.ModelProto) -> None:
    name = nodes(model, "QuantizeLinear")[0].input[1]
    constant(model, name).CopyFrom(onnx.numpy_helper.from_array(np.array(0, np.float32), name))


FAULTS = {
    with_a_zero_point: "a zero point other than 0",
    with_unsigned_integers: "integers of the type uint8, expected int8",
    with_one_scale_for_all_channels: "has 1 scales for 8 channels",
    with_a_layer_half_in_float: "only one of input and weights on a grid",
    with_a_scale_of_zero: "no positive number",
}


@pytest.mark.parametrize("spoil", FAULTS)
def test_a_planted_fault_is_found(spoil: Callable[[onnx.ModelProto], None], signed: Bundle) -> None:
    model = onnx.load(signed.main_file)
    spoil(model)
    with pytest.raises(CheckFailed, match=FAULTS[spoil]):
        check_tensorrt(model)


def test_a_graph_of_the_ordinary_grid_is_refused(reader: Bundle, tmp_path: Path) -> None:
    model = onnx.load(reader.main_file)
    pixels = data_pixels(HELD_OUT, reader.model.preprocess, 4)
    ordinary = quantize_graph(model, observe(model, [pixels]).ranges("max"), Scheme())
    found = " ".join(tensorrt_faults(ordinary))
    assert "uint8" in found
    assert "a bias of integers" in found
