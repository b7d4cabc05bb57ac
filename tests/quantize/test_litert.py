"""LiteRT compared with the whole numbers: every layer from LiteRT's own inputs to it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.quantize.integer import integer_values
from tests.support.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.errors import UsageError
from xception.export.litert import open_taps
from xception.export.onnx import onnx_files
from xception.export.program import GraphOptions, program
from xception.preprocess import Preprocess, Squash
from xception.quantize.litert import int8_litert_files
from xception.quantize.observation import exposed_session, observe
from xception.quantize.qdq import Scheme, float_island, layers, quantize_graph
from xception.tasks.agreement import data_pixels

MAX_OFF = 0.01
"""Share of a layer's values that are one step off, on average. LiteRT multiplies by whole numbers and shifts; its mean
over positions, which is one step off for one value in four, is not counted."""

SCHEME = Scheme(rounds_logits=True)


def float_graph(variant: str, options: GraphOptions | None = None, px: int = 40) -> onnx.ModelProto:
    spec = architecture(variant, num_classes=5, width=0.05)
    channels = spec.in_channels
    preprocess = Preprocess(
        color="gray" if channels == 1 else "rgb",
        resize=Squash(width_px=px, height_px=px),
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    )
    return onnx.load_from_string(onnx_files(program(spec, drawn_tensors(spec), preprocess, options))["model.onnx"])


def noise(graph: onnx.ModelProto, px: int = 40) -> np.ndarray:
    channels = graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    return np.random.Generator(np.random.PCG64(0)).uniform(-1, 1, (2, channels, px, px)).astype(np.float32)


def quantized(model: onnx.ModelProto, pixels: np.ndarray, scheme: Scheme = SCHEME, **nodes: object) -> onnx.ModelProto:
    made: onnx.ModelProto = quantize_graph(model, observe(model, [pixels]).ranges("max"), scheme, **nodes)
    return made


def steps_off(graph: onnx.ModelProto, file: bytes, pixels: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    """By how many steps of its grid LiteRT's own kernels are off, by the name of the QuantizeLinear."""
    (folder / "model.tflite").write_bytes(file)
    taps = open_taps(folder / "model.tflite")
    values = taps(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), len(taps.names))
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    theirs = {}
    for node in graph.graph.node:
        name = next((name for name in (f"{node.input[0]}.int8", node.input[0]) if name in values), None)
        if node.op_type == "QuantizeLinear" and name:
            found = values[name].astype(np.float64) + (128 if constants[node.input[2]].dtype == np.uint8 else 0)
            theirs[node.output[0]] = found[..., None, None] if node.input[0].endswith(".map") else found
    ours = integer_values(graph, {"pixels": pixels}, theirs)
    return {name: np.abs(ours[name] - theirs[name]) for name in theirs}


def is_right(steps: dict[str, np.ndarray]) -> bool:
    shares = [(step > 0).mean() for name, step in steps.items() if not name.startswith("head.pool")]
    return bool(max(step.max() for step in steps.values()) <= 1 and np.mean(shares) < MAX_OFF)


def logits(file: bytes, pixels: np.ndarray) -> np.ndarray:
    """By the delegate that runs by default."""
    interpreter = Interpreter(model_content=file, num_threads=1)
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    values = pixels.transpose(0, 2, 3, 1)
    interpreter.resize_tensor_input(source["index"], values.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    return np.array(interpreter.get_tensor(result["index"]))


def kinds(file: bytes) -> list[str]:
    return [operation["op_name"] for operation in Interpreter(model_content=file)._get_ops_details()]


def off_by(file: bytes, graph: onnx.ModelProto, pixels: np.ndarray) -> float:
    """Relative difference of the logits from those of ONNX Runtime for the same integers."""
    (theirs,) = exposed_session(graph, []).run(["logits"], {"pixels": pixels})
    return float(np.abs(logits(file, pixels) - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize(
    ("variant", "scheme"),
    [
        ("timm_xception", SCHEME),
        ("timm_xception41p", SCHEME),
        ("ppcls_xception41_deeplab", SCHEME),
        ("big_xception", Scheme(per_channel=False, weight_bits=8)),
    ],
)
def test_every_layer_is_right_to_the_last_step_of_its_grid(variant: str, scheme: Scheme, tmp_path: Path) -> None:
    model = float_graph(variant)
    pixels = noise(model)
    graph = quantized(model, pixels, scheme)
    file = int8_litert_files(graph)["model.tflite"]
    steps = steps_off(graph, file, pixels, tmp_path)
    assert len(steps) > 15
    assert is_right(steps)


def test_nothing_but_the_ends_is_in_float() -> None:
    model = float_graph("timm_xception41p")
    found = kinds(int8_litert_files(quantized(model, noise(model)))["model.tflite"])
    assert (found[0], found[-1]) == ("QUANTIZE", "DEQUANTIZE")
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(found[1:-1])


def test_the_default_delegate_gives_the_same_logits_as_onnx_runtime(reader: Bundle) -> None:
    pixels = data_pixels(digits("train"), reader.model.preprocess, 16)
    graph = quantized(onnx.load(reader.main_file), pixels)
    assert off_by(int8_litert_files(graph)["model.tflite"], graph, pixels) < 0.02


@pytest.mark.parametrize(
    ("constant", "change"),
    [
        ("stem.1.conv.weight_scale", lambda value: value * np.float32(1.03)),
        ("stem.1.after.act_zero_point", lambda value: value + np.uint8(1)),
        ("blocks.0.units.1.depthwise.bias_quantized", lambda value: value + np.int32(4000)),
    ],
)
def test_a_wrong_scale_zero_point_or_bias_would_be_noticed(
    constant: str, change: object, reader: Bundle, tmp_path: Path
) -> None:
    pixels = data_pixels(digits("train"), reader.model.preprocess, 4)
    graph = quantized(onnx.load(reader.main_file), pixels)
    wrong = onnx.ModelProto()
    wrong.CopyFrom(graph)
    (tensor,) = (tensor for tensor in wrong.graph.initializer if tensor.name == constant)
    value = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(change(value), value.dtype), tensor.name))
    assert is_right(steps_off(graph, int8_litert_files(graph)["model.tflite"], pixels, tmp_path))
    assert not is_right(steps_off(graph, int8_litert_files(wrong)["model.tflite"], pixels, tmp_path))


def test_layers_that_stay_in_float_stand_between_dequantize_and_quantize(reader: Bundle) -> None:
    pixels, model = data_pixels(digits("train"), reader.model.preprocess, 4), onnx.load(reader.main_file)
    graph = quantized(model, pixels, exclude=float_island(model, layers(model)[3]))
    file = int8_litert_files(graph)["model.tflite"]
    assert kinds(file).count("QUANTIZE") > 1
    assert off_by(file, graph, pixels) < 0.02


def test_grids_on_some_operations_only_are_kept_as_they_are(reader: Bundle) -> None:
    pixels, model = data_pixels(digits("train"), reader.model.preprocess, 4), onnx.load(reader.main_file)
    graph = quantized(model, pixels, only=[node.name for node in model.graph.node if node.op_type == "Conv"])
    assert off_by(int8_litert_files(graph)["model.tflite"], graph, pixels) < 0.02


def test_images_of_any_size_go_through_a_graph_that_takes_them() -> None:
    model = float_graph("timm_xception", GraphOptions(free_size=True))
    graph = quantized(model, noise(model))
    file = int8_litert_files(graph)["model.tflite"]
    for px in (40, 51):
        assert off_by(file, graph, noise(model, px)) < 0.02


def test_a_bias_beyond_32_bits_makes_its_channel_coarser_and_no_other(tmp_path: Path) -> None:
    model = float_graph("timm_xception41p")
    node = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
    for name, value in zip(node.input[1:3], (1e-12, 1.0), strict=True):
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
        changed = onnx.numpy_helper.to_array(tensor).copy()
        changed[0] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed, name))
    pixels = noise(model)
    graph = quantized(model, pixels)
    assert is_right(steps_off(graph, int8_litert_files(graph)["model.tflite"], pixels, tmp_path))


def test_the_same_graph_gives_the_same_bytes(reader: Bundle) -> None:
    pixels = data_pixels(digits("train"), reader.model.preprocess, 4)
    graph = quantized(onnx.load(reader.main_file), pixels)
    assert int8_litert_files(graph) == int8_litert_files(graph)


def test_an_unknown_operation_is_refused(reader: Bundle) -> None:
    graph = onnx.load(reader.main_file)
    graph.graph.node[0].op_type = "Sin"
    with pytest.raises(UsageError, match="no LiteRT form of Sin is known; expected Add, "):
        int8_litert_files(graph)
