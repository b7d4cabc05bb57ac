"""ONNX Runtime compared with the whole numbers."""

import numpy as np
import onnx
import pytest

from tests.quantize.integer import integer_values
from tests.support.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.errors import CheckFailed, UsageError
from xception.export.onnx import onnx_files
from xception.export.program import program
from xception.preprocess import Preprocess, Squash
from xception.quantize.observation import exposed_session, observe
from xception.quantize.qdq import Scheme, quantize_graph
from xception.tasks.agreement import data_pixels

IMAGES = 4


def runtime_values(graph: onnx.ModelProto, pixels: np.ndarray) -> dict[str, np.ndarray]:
    names = [node.output[0] for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    return dict(zip(names, exposed_session(graph, names).run(names, {"pixels": pixels}), strict=True))


def differences(graph: onnx.ModelProto, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """By how many steps of its grid ONNX Runtime is off, for each layer from the runtime's own inputs to it."""
    theirs = runtime_values(graph, pixels)
    ours = integer_values(graph, {"pixels": pixels}, theirs)
    return {name: np.abs(ours[name] - theirs[name]) for name in theirs}


@pytest.fixture(scope="module")
def pixels(reader: Bundle) -> np.ndarray:
    return data_pixels(digits("train"), reader.model.preprocess, IMAGES)


@pytest.mark.parametrize("scheme", [Scheme(), Scheme(is_signed=True), Scheme(per_channel=False)])
def test_the_runtime_is_right_to_the_last_step_of_each_grid(scheme: Scheme, reader: Bundle, pixels: np.ndarray) -> None:
    model = onnx.load(reader.main_file)
    graph = quantize_graph(model, observe(model, [pixels]).ranges("max", is_signed=scheme.is_signed), scheme)
    steps = differences(graph, pixels)
    assert len(steps) > 30
    assert max(step.max() for step in steps.values()) <= 1
    # A bias in float is added to sums in single precision, which fall between two integers a little more often.
    assert np.mean([(step > 0).mean() for step in steps.values()]) < (2e-3 if scheme.is_signed else 1e-3)


def test_the_runtime_is_right_with_a_dense_head_and_pools_too() -> None:
    spec = architecture("timm_xception", num_classes=5, width=0.04)
    small = Preprocess(resize=Squash(width_px=40, height_px=40))
    model = onnx.load_from_string(onnx_files(program(spec, drawn_tensors(spec), small))["model.onnx"])
    pixels = np.random.Generator(np.random.PCG64(0)).uniform(-1, 1, (2, 3, 40, 40)).astype(np.float32)
    steps = differences(quantize_graph(model, observe(model, [pixels]).ranges("max"), Scheme()), pixels)
    assert max(step.max() for step in steps.values()) <= 1
    assert np.mean([(step > 0).mean() for step in steps.values()]) < 1e-3


def test_a_wrong_scale_would_be_noticed(reader: Bundle, pixels: np.ndarray) -> None:
    model = onnx.load(reader.main_file)
    graph = quantize_graph(model, observe(model, [pixels]).ranges("max"), Scheme())
    theirs = runtime_values(graph, pixels)
    for tensor in graph.graph.initializer:
        if tensor.name == "stem.1.conv.weight_scale":
            tensor.CopyFrom(onnx.numpy_helper.from_array(1.02 * onnx.numpy_helper.to_array(tensor), tensor.name))
    ours = integer_values(graph, {"pixels": pixels}, theirs)
    name = "stem.1.after.act_QuantizeLinear_Output"
    assert np.abs(ours[name] - theirs[name]).max() > 1


def test_the_whole_network_in_whole_numbers_stays_close_to_the_runtime(reader: Bundle, pixels: np.ndarray) -> None:
    model = onnx.load(reader.main_file)
    graph = quantize_graph(model, observe(model, [pixels]).ranges("max"), Scheme())
    theirs, ours = runtime_values(graph, pixels), integer_values(graph, {"pixels": pixels}, {})
    assert all(np.abs(ours[name] - theirs[name]).mean() < 2 for name in theirs)


def layer(node: onnx.NodeProto, weight: np.ndarray) -> onnx.ModelProto:
    """`node` between quantized 255s and a coarse grid."""
    helper, constant = onnx.helper, onnx.numpy_helper.from_array
    nodes = [
        helper.make_node("QuantizeLinear", ["pixels", "one", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "one", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "one", "signed"], ["k"]),
        node,
    ]
    constants = {"one": np.float32(1), "zero": np.uint8(0), "signed": np.int8(0), "w": weight}
    graph = helper.make_graph(
        nodes, "g", [], [], [constant(np.asarray(value), name) for name, value in constants.items()]
    )
    return helper.make_model(graph)


def test_a_sum_beyond_32_bits_is_refused() -> None:
    node = onnx.helper.make_node("Gemm", ["x", "k", "none"], ["y"], transB=1)
    model = layer(node, np.full((1, 80_000), 127, np.int8))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "none"))
    pixels = np.full((1, 80_000), 255, np.float32)
    with pytest.raises(CheckFailed, match="does not fit 32 bits"):
        integer_values(model, {"pixels": pixels}, {})


def test_an_unknown_operation_is_refused() -> None:
    model = layer(onnx.helper.make_node("Sin", ["x"], ["y"]), np.zeros(1, np.int8))
    with pytest.raises(UsageError, match="no integer form of Sin"):
        integer_values(model, {"pixels": np.zeros((1, 1), np.float32)}, {})
