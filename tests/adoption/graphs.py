"""Small graphs as other programs write them, and their answers computed in NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from xception.adoption.statements import GraphStatements
from xception.flatbuffer import Flatbuffer, Grid
from xception.preprocess import Preprocess, Squash

PX = 12
FEATURES = 4
MINUS_ONE_TO_ONE = Preprocess(resize=Squash(width_px=PX, height_px=PX))
LEVELS = Preprocess(resize=Squash(width_px=PX, height_px=PX), divisor=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
STATED = GraphStatements(preprocess=MINUS_ONE_TO_ONE)

Ending = Literal["softmax", "sigmoid", "log_softmax", "decomposed softmax"] | None
Values = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Style:
    """The habits of an exporter."""

    layout: Literal["nchw", "nhwc"] = "nchw"
    dtype: str = "float32"
    channels: int = 3
    classes: int = 5
    batch: int | str = "N"
    px: int | str = PX
    input_name: str = "input"
    output_name: str = "output"
    arithmetic: tuple[tuple[str, float], ...] = ()
    """Operations in front of the network, such as ("Div", 255.0)."""
    ending: Ending = None
    opset: int = 17
    flattens_for_one: bool = False
    """The shape behind the pooling is fixed to a single image."""
    dense: Literal["Gemm", "MatMul"] = "Gemm"


PLAIN = Style()
TF2ONNX = Style(
    layout="nhwc",
    batch="unk__89",
    input_name="input_image/x:0",
    output_name="Identity:0",
    arithmetic=(("Mul", 1 / 127.5), ("Add", -1.0)),
    ending="softmax",
    opset=13,
    dense="MatMul",
)
"""The names, transposes and arithmetic of a Keras model with Rescaling inside, as tf2onnx writes it."""


def weights(style: Style) -> tuple[Values, Values, Values]:
    """Kernel (F, C, 1, 1), matrix (K, F) and bias (K,)."""
    rng = np.random.Generator(np.random.PCG64(0))
    shapes = (FEATURES, style.channels, 1, 1), (style.classes, FEATURES), (style.classes,)
    kernel, matrix, bias = (rng.normal(0, 1, shape).astype(np.float32) for shape in shapes)
    return kernel, matrix * 2, bias


def logits(style: Style, pixels: NDArray[Any]) -> Values:
    """The logits for pixels (N, C, H, W), after the graph's own arithmetic."""
    kernel, matrix, bias = weights(style)
    values = pixels.astype(np.float64)
    for kind, number in style.arithmetic:
        values = {"Add": values + number, "Sub": values - number, "Mul": values * number, "Div": values / number}[kind]
    maps = np.maximum(np.einsum("fc,nchw->nfhw", kernel[:, :, 0, 0], values), 0)
    return np.asarray(maps.mean((2, 3)) @ matrix.T + bias, np.float32)


def onnx_model(style: Style = PLAIN) -> onnx.ModelProto:
    """The network in one style."""
    kernel, matrix, bias = weights(style)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(style.dtype))
    sizes = [style.px, style.px]
    shape = [style.batch, style.channels, *sizes] if style.layout == "nchw" else [style.batch, *sizes, style.channels]
    constants = {"model/conv/kernel:0": kernel, "model/dense/bias:0": bias}
    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: Sequence[str], output: str, **settings: object) -> str:
        nodes.append(helper.make_node(op, inputs, [output], f"model/{op}_{len(nodes)}", **settings))
        return output

    value = style.input_name
    if style.dtype != "float32":
        value = add("Cast", [value], "model/cast:0", to=TensorProto.FLOAT)
    for index, (op, number) in enumerate(style.arithmetic):
        constants[f"const_{index}"] = np.array(number, np.float32)
        value = add(op, [value, f"const_{index}"], f"model/rescaling/{op}:{index}")
    if style.layout == "nhwc":
        value = add("Transpose", [value], "model/conv__6:0", perm=[0, 3, 1, 2])
    value = add("Conv", [value, "model/conv/kernel:0"], "model/conv/Conv2D:0", kernel_shape=[1, 1])
    value = add("GlobalAveragePool", [add("Relu", [value], "model/relu/Relu:0")], "model/pool/Mean:0")
    value = _dense(style, add, value, constants, matrix)
    output = _ending(style.ending, add, value)
    add("Identity", [output], style.output_name)
    graph = helper.make_graph(
        nodes,
        "tf2onnx",
        [helper.make_tensor_value_info(style.input_name, kind, shape)],
        [helper.make_tensor_value_info(style.output_name, TensorProto.FLOAT, [style.batch, style.classes])],
        [numpy_helper.from_array(tensor, name) for name, tensor in constants.items()],
    )
    opsets = [helper.make_opsetid("", style.opset), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(
        graph, opset_imports=opsets, producer_name="some exporter", producer_version="1.2", ir_version=8
    )


def _dense(style: Style, add: Any, value: str, constants: dict[str, NDArray[Any]], matrix: Values) -> str:
    if style.flattens_for_one:
        constants["shape"] = np.array([1, FEATURES], np.int64)
        value = add("Reshape", [value, "shape"], "model/flat:0")
    else:
        value = add("Flatten", [value], "model/flat:0")
    if style.dense == "Gemm":
        constants["model/dense/kernel:0"] = matrix
        return str(add("Gemm", [value, "model/dense/kernel:0", "model/dense/bias:0"], "model/dense:0", transB=1))
    constants["model/dense/kernel:0"] = matrix.T.copy()
    value = add("MatMul", [value, "model/dense/kernel:0"], "model/dense/MatMul:0")
    return str(add("Add", [value, "model/dense/bias:0"], "model/dense:0"))


def _ending(ending: Ending, add: Any, value: str) -> str:
    match ending:
        case "softmax":
            return str(add("Softmax", [value], "model/Softmax:0", axis=-1))
        case "sigmoid":
            return str(add("Sigmoid", [value], "model/Sigmoid:0"))
        case "log_softmax":
            return str(add("LogSoftmax", [value], "model/LogSoftmax:0", axis=-1))
        case "decomposed softmax":
            power = add("Exp", [value], "model/exp")
            return str(add("Div", [power, add("ReduceL1", [power], "model/sum", axes=[-1])], "model/share"))
    return value


def write_onnx(path: Path, style: Style = PLAIN) -> Path:
    onnx.save(onnx_model(style), path)
    return path


def write_ir(path: Path, style: Style = PLAIN, *, compress: bool = False, without_names: bool = False) -> Path:
    """The network as OpenVINO saves it; files made of torch modules name no output."""
    model = openvino.Core().read_model(onnx_model(style).SerializeToString())
    if without_names:
        for port in (*model.inputs, *model.outputs):
            port.get_tensor().set_names(set())
    openvino.save_model(model, path, compress_to_fp16=compress)
    return path


def write_tflite(path: Path, style: Style = PLAIN, *, integers: str | None = None) -> Path:
    """The network as TensorFlow's converter writes it, with `Rescaling` inside; with integers at both ends for those
    that stand on a grid."""
    kernel, matrix, bias = weights(style)
    file, shape = Flatbuffer(), (1, PX, PX, style.channels)
    grids = {"input": Grid((2 / 255,), (-1 if integers == "int8" else 127,)), "output": Grid((1 / 16,), (0,))}
    source = file.value(
        "serving_default_x:0", shape, integers or "float32", free=[0], grid=grids["input"] if integers else None
    )
    value = source
    if integers:
        value = file.add("DEQUANTIZE", [source], [file.value("real", shape, free=[0])], version=2)
    for index, (op, number) in enumerate(style.arithmetic):
        other = file.constant(f"const_{index}", np.array(number, np.float32))
        made = file.value(f"rescaling_{index}", shape, free=[0])
        value = file.add(op.upper(), [value, other], [made])
    kinds = file.schema
    maps = file.value("maps", (1, PX, PX, FEATURES), free=[0])
    stored = (
        file.constant("kernel", kernel.transpose(0, 2, 3, 1)),
        file.constant("zeros", np.zeros(FEATURES, np.float32)),
    )
    relu = kinds.ActivationFunctionType.RELU
    settings = {"padding": kinds.Padding.SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    file.add("CONV_2D", [value, *stored], [maps], fusedActivationFunction=relu, **settings)
    pooled = file.value("pooled", (1, FEATURES), free=[0])
    file.add("MEAN", [maps, file.constant("axes", np.array([1, 2], np.int32))], [pooled], options="ReducerOptions")
    dense = file.value("dense", (1, style.classes), free=[0])
    file.add("FULLY_CONNECTED", [pooled, file.constant("matrix", matrix), file.constant("bias", bias)], [dense])
    last = dense
    if style.ending == "softmax":
        last = file.add("SOFTMAX", [dense], [file.value("share", (1, style.classes), free=[0])], beta=1.0)
    if integers:
        made = file.value("rounded", (1, style.classes), "int8", free=[0], grid=grids["output"])
        last = file.add("QUANTIZE", [last], [made])
    path.write_bytes(file.finish("main", {"serving_default_x:0": source}, {"StatefulPartitionedCall:0": last}))
    return path


def sample_images(channels: int = 3, count: int = 5) -> NDArray[np.uint8]:
    """Noise, (N, C, H, W)."""
    return np.random.Generator(np.random.PCG64(1)).integers(0, 256, (count, channels, PX, PX), np.uint8)


def looping(model: onnx.ModelProto) -> None:
    """Let a condition decide on a part of the graph, whose result nobody reads."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["result"])],
        "branch",
        [],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "condition"))
    model.graph.node.insert(0, helper.make_node("If", ["condition"], ["chosen"], then_branch=body, else_branch=body))
