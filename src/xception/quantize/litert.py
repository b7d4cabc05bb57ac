"""An int8 graph in ONNX's QDQ form as a LiteRT flatbuffer, operation by operation and grid by grid.

Where an operation's inputs and its result have grids, LiteRT computes it in whole numbers; else in float, between
DEQUANTIZE and QUANTIZE, which is what QDQ says literally. Maps are (N, H, W, C) and all integers signed: unsigned ones
are 128 lower here, with the same scale.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from xception.errors import UsageError
from xception.extras import require
from xception.flatbuffer import Flatbuffer, Grid
from xception.quantize.qdq import attributes_of, ordered

EXAMPLE_PX = 299
"""Height and width in the file of a graph that takes any."""

MAX_INT8 = 127
"""Of a kernel's integers."""

MAX_BIAS = 2**30
"""Leaves as much room again for the products that are added to it."""

VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 12}
"""Of operations on int8; FULLY_CONNECTED with a scale for each class. All others brought int8 in version 2."""

FLOAT_VERSIONS = {"DEPTHWISE_CONV_2D": 2}
"""With dilation."""

ACTIVATED = ("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL")
"""Operations that apply a ReLU to their result themselves."""

RENAMING = ("Flatten", "Identity")
"""Nodes without effect here, where the mean over positions has two axes from the start."""

Real = NDArray[np.float64]


def litert_files(graph: Any) -> dict[str, bytes]:
    """`model.tflite`, with float images (N, H, W, C) in and float logits out.

    Args:
        graph: an `onnx.ModelProto` in QDQ form.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        UsageError: an operation that quantized graphs of these networks do not have.
    """
    return {"model.tflite": _Translation(graph).content()}


@dataclass(frozen=True)
class _Weights:
    """Of a layer; `scales` are those of the kernel's integers, one or one for each channel, and None in float."""

    kernel: Real
    bias: Real
    scales: Real | None


@dataclass(frozen=True)
class _Step:
    """An operation about to be written, in whole numbers if its inputs have a grid and in float if not."""

    node: Any
    inputs: list[int]
    output: int
    has_relu: bool
    weights: _Weights | None
    grid_in: Grid | None
    """Of the first input."""


class _Translation:
    """One file in the making. Values have the names of the ONNX graph, and exist as float, as integers or as both."""

    def __init__(self, graph: Any) -> None:
        self.file, self.model = Flatbuffer(), _with_shapes(graph)
        parts, to_array = self.model.graph, require("onnx", "quantize").numpy_helper.to_array
        self.constants = {tensor.name: to_array(tensor) for tensor in parts.initializer}
        self.shapes = {value.name: _shape(value) for value in (*parts.input, *parts.value_info)}
        self.has_free_size = any(not side.dim_value for side in _sides(graph))
        self.readers: dict[str, list[Any]] = defaultdict(list)
        self.stored: dict[str, Any] = {}
        """By name of a constant that is stored as integers, the node that reads those."""
        for node in parts.node:
            for name in node.input:
                self.readers[name].append(node)
            if node.op_type == "DequantizeLinear" and node.input[0] in self.constants:
                self.stored[node.output[0]] = node
        self.floats: dict[str, int] = {}
        self.integers: dict[str, tuple[int, Grid]] = {}

    def content(self) -> bytes:
        (source,), (result,) = self.model.graph.input, self.model.graph.output
        self.floats[source.name] = self.value(source.name, self.shapes[source.name])
        for node in self.model.graph.node:
            if node.output[0] not in {**self.floats, **self.integers, **self.stored}:
                self._translate(node)
        inputs, outputs = {source.name: self.floats[source.name]}, {result.name: self.real(result.name)}
        return self.file.finish(self.model.graph.name, inputs, outputs)

    def value(self, name: str, shape: Sequence[int], grid: Grid | None = None) -> int:
        """A tensor that is computed: int8 on a grid, else float."""
        free = [0, 1, 2] if self.has_free_size and len(shape) == 4 else [0]
        return self.file.value(name, shape, "int8" if grid else "float32", free=free, grid=grid)

    def real(self, name: str) -> int:
        """The tensor of a value in float."""
        if name not in self.floats and name in self.integers:
            index, _ = self.integers[name]
            self.floats[name] = self.value(f"{name}.float32", self.file.shape(index))
            self.file.add("DEQUANTIZE", [index], [self.floats[name]], version=2)
        elif name not in self.floats:
            values, _ = self.constant(name)
            self.floats[name] = self.file.constant(name, _channels_last(values.astype(np.float32)))
        return self.floats[name]

    def integer(self, name: str) -> tuple[int, Grid]:
        """The tensor of a value in whole numbers, and their grid."""
        if name not in self.integers:
            node = self.stored[name]
            grid, offset = self.grid(node)
            signed = self.constants[node.input[0]].astype(np.int16) - offset
            self.integers[name] = self.file.constant(name, _channels_last(signed.astype(np.int8)), grid), grid
        return self.integers[name]

    def constant(self, name: str) -> tuple[Real, Real | None]:
        """Values, and where they stand for integers, the scales of those: one, or one for each index of axis 0."""
        if name in self.constants:
            return self.constants[name].astype(np.float64), None
        integers, scale, *zero = (self.constants[part].astype(np.float64) for part in self.stored[name].input)
        along = scale.reshape(-1, *(1,) * (integers.ndim - 1)) if scale.size > 1 else scale.reshape(())
        return (integers - (zero[0].ravel()[0] if zero else 0)) * along, scale.ravel()

    def grid(self, node: Any) -> tuple[Grid, int]:
        """The signed form of the grid of a QuantizeLinear or DequantizeLinear, and by how much it is lower."""
        scale, zero = (self.constants[name] for name in node.input[1:])
        offset = 128 if zero.dtype == np.uint8 else 0
        return Grid((float(scale.ravel()[0]),), (int(zero.ravel()[0]) - offset,)), offset

    def add(
        self, kind: str, step: _Step, inputs: Sequence[int], *, options: str | None = None, **settings: Any
    ) -> None:
        """Write a step's operation."""
        if kind in ACTIVATED:
            activation = self.file.schema.ActivationFunctionType
            settings["fusedActivationFunction"] = activation.RELU if step.has_relu else activation.NONE
        version = VERSIONS.get(kind, 2) if step.grid_in else FLOAT_VERSIONS.get(kind, 1)
        self.file.add(kind, inputs, [step.output], options=options, version=version, **settings)

    def _translate(self, node: Any) -> None:
        source, output = node.input[0], node.output[0]
        if node.op_type == "QuantizeLinear":
            self.integers[output] = self._quantized(node)
        elif node.op_type in RENAMING or node.op_type == "DequantizeLinear":
            known: dict[str, Any] = self.integers if source in self.integers else self.floats
            known[output] = known[source]
        elif node.op_type in OPERATIONS:
            OPERATIONS[node.op_type](self, self._step(node))
        else:
            raise UsageError(f"no LiteRT form of {node.op_type} is known; expected {', '.join(OPERATIONS)}")

    def _quantized(self, node: Any) -> tuple[int, Grid]:
        source, (grid, _) = node.input[0], self.grid(node)
        if source in self.integers and self.integers[source][1] == grid:
            return self.integers[source]
        index = self.real(source)
        made = self.value(f"{source}.int8", self.file.shape(index), grid)
        self.file.add("QUANTIZE", [index], [made])
        return made, grid

    def _step(self, node: Any) -> _Step:
        end, relu = node.output[0], None
        if node.op_type in FUSING and (relu := self._only_reader(end, "Relu")) is not None:
            end = relu.output[0]
        weights = WEIGHTS[node.op_type](self, node) if node.op_type in WEIGHTS else None
        names = node.input[:1] if weights else node.input
        grid = self._result_grid(node, end, names, weights)
        shape = self.shapes[end]
        output = self.value(end, (shape[0], shape[-1]) if node.op_type == "GlobalAveragePool" else shape, grid)
        if grid is None:
            self.floats[end] = output
            return _Step(node, [self.real(name) for name in names], output, relu is not None, weights, None)
        self.integers[end] = output, grid
        inputs = [self.integer(name) for name in names]
        return _Step(node, [index for index, _ in inputs], output, relu is not None, weights, inputs[0][1])

    def _result_grid(self, node: Any, end: str, names: Sequence[str], weights: _Weights | None) -> Grid | None:
        """Of the integers that an operation makes, if it can compute in whole numbers."""
        if not all(name in self.integers or name in self.stored for name in names):
            return None
        if weights and weights.scales is None:
            return None
        if node.op_type == "MaxPool":
            return self.integers[names[0]][1]
        quantizer = self._only_reader(end, "QuantizeLinear")
        return None if quantizer is None else self.grid(quantizer)[0]

    def _only_reader(self, name: str, kind: str) -> Any:
        readers = self.readers[name]
        return readers[0] if len(readers) == 1 and readers[0].op_type == kind else None


def _with_shapes(graph: Any) -> Any:
    """A copy for one image, in order and with the shapes of all values."""
    onnx = require("onnx", "quantize")
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    known = (*graph.graph.input, *graph.graph.initializer)
    del model.graph.value_info[:], model.graph.node[:]
    model.graph.node.extend(ordered(graph, {value.name for value in known}))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    for side in _sides(model):
        side.dim_value = side.dim_value or EXAMPLE_PX
    return onnx.shape_inference.infer_shapes(model)


def _sides(model: Any) -> Any:
    return model.graph.input[0].type.tensor_type.shape.dim[2:]


def _shape(value: Any) -> tuple[int, ...]:
    """Of an ONNX value, with channels last."""
    shape = tuple(int(side.dim_value) for side in value.type.tensor_type.shape.dim)
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _channels_last(values: NDArray[Any]) -> NDArray[Any]:
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def _layer_weights(t: _Translation, node: Any) -> _Weights:
    kernel, scales = t.constant(node.input[1])
    bias = t.constant(node.input[2])[0] if len(node.input) > 2 else np.zeros(len(kernel))
    return _Weights(kernel, bias, scales)


def _norm_weights(t: _Translation, node: Any) -> _Weights:
    """A norm as a depthwise convolution of one pixel, whose factors are the largest integer times a scale each."""
    scale, shift, mean, variance = (t.constant(name)[0] for name in node.input[1:])
    factor = scale / np.sqrt(variance + attributes_of(node)["epsilon"])
    return _Weights(
        factor[:, None, None, None], shift - mean * factor, np.where(factor, np.abs(factor) / MAX_INT8, 1.0)
    )


WEIGHTS: Mapping[str, Callable[[_Translation, Any], _Weights]] = {
    "BatchNormalization": _norm_weights,
    "Conv": _layer_weights,
    "Gemm": _layer_weights,
}


def _stored(t: _Translation, step: _Step, order: Sequence[int]) -> list[int]:
    """The constants of a layer: its kernel, with its axes in another order, and its bias."""
    weights, name = cast(_Weights, step.weights), step.node.name
    if step.grid_in is None or weights.scales is None:
        parts = {"weight": weights.kernel.transpose(order), "bias": weights.bias}
        return [t.file.constant(f"{name}.{leaf}", value.astype(np.float32)) for leaf, value in parts.items()]
    scale_in = step.grid_in.scales[0]
    scales = _scales(weights.bias, weights.scales, scale_in)
    return [
        _rounded(t, f"{name}.weight", weights.kernel, scales, order),
        _rounded(t, f"{name}.bias", weights.bias, scales * scale_in, (0,), np.int32),
    ]


def _scales(bias: Real, scales: Real, scale_in: float) -> Real:
    """The scales of a kernel's integers, made coarser where the bias would not fit 32 bits with them."""
    least = np.abs(bias) / (MAX_BIAS * scale_in)
    return np.maximum(scales, least if scales.size > 1 else least.max())


def _rounded(
    t: _Translation, name: str, values: Real, scales: Real, order: Sequence[int], dtype: type = np.int8
) -> int:
    integers: NDArray[Any] = np.rint(values / scales.reshape(-1, *(1,) * (values.ndim - 1))).astype(dtype)
    grid = Grid(tuple(scales.tolist()), (0,) * len(scales), order.index(0))
    return t.file.constant(name, integers.transpose(order), grid)


def _conv(t: _Translation, step: _Step) -> None:
    settings = attributes_of(step.node)
    kind, order = "CONV_2D", (0, 2, 3, 1)
    if settings.get("group", 1) > 1 or step.node.op_type == "BatchNormalization":
        kind, order = "DEPTHWISE_CONV_2D", (1, 2, 3, 0)
    stride, dilation = settings.get("strides", [1])[0], settings.get("dilations", [1])[0]
    reach = dilation * (settings.get("kernel_shape", [1])[0] - 1) + 1
    source, padding = _padded(t, step, reach, stride)
    settings = {"depthMultiplier": 1} if kind == "DEPTHWISE_CONV_2D" else {}
    t.add(
        kind,
        step,
        [source, *_stored(t, step, order)],
        padding=padding,
        strideW=stride,
        strideH=stride,
        dilationWFactor=dilation,
        dilationHFactor=dilation,
        **settings,
    )


def _max_pool(t: _Translation, step: _Step) -> None:
    settings = attributes_of(step.node)
    size, stride = settings["kernel_shape"][0], settings["strides"][0]
    # Padding never wins the maximum, which is why it is not zero.
    source, padding = _padded(t, step, size, stride, lowest=True)
    window = {"strideW": stride, "strideH": stride, "filterWidth": size, "filterHeight": size}
    t.add("MAX_POOL_2D", step, [source], options="Pool2DOptions", padding=padding, **window)


def _padded(t: _Translation, step: _Step, reach: int, stride: int, *, lowest: bool = False) -> tuple[int, int]:
    """A window's input and the kind of its padding; where neither kind fits, the input is padded beforehand."""
    settings, kinds, (source,) = attributes_of(step.node), t.file.schema.Padding, step.inputs
    pads = tuple(settings.get("pads", (0, 0, 0, 0)))
    is_known = stride == 1 or not t.has_free_size
    if settings.get("auto_pad") == b"SAME_UPPER":
        return source, kinds.SAME
    if not any(pads):
        return source, kinds.VALID
    if is_known and pads == _same_pads(t.file.shape(source)[1:3], reach, stride):
        return source, kinds.SAME
    return _pad(t, step, pads, lowest=lowest), kinds.VALID


def _same_pads(sides: Sequence[int], reach: int, stride: int) -> tuple[int, ...]:
    """What SAME means at a size, as ONNX writes it: before each axis, then behind each."""
    totals = [max((-(-px // stride) - 1) * stride + reach - px, 0) for px in sides]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))


def _pad(t: _Translation, step: _Step, pads: Sequence[int], *, lowest: bool) -> int:
    """The step's input with a margin: of zeros, or of the lowest number."""
    name, (batch, rows, columns, channels) = f"{step.node.name}.pad", t.file.shape(step.inputs[0])
    top, left, bottom, right = pads
    padded = t.value(name, (batch, rows + top + bottom, columns + left + right, channels), step.grid_in)
    widths = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    inputs, version = [step.inputs[0], t.file.constant(f"{name}.widths", widths)], 2 if step.grid_in else 1
    if not lowest:
        return t.file.add("PAD", inputs, [padded], version=version)
    least = np.array(np.iinfo(np.int8).min, np.int8) if step.grid_in else np.array(np.finfo(np.float32).min, np.float32)
    inputs.append(t.file.constant(f"{name}.value", least, step.grid_in))
    return t.file.add("PADV2", inputs, [padded], options="PadV2Options", version=version)


def _dense(t: _Translation, step: _Step) -> None:
    t.add("FULLY_CONNECTED", step, [*step.inputs, *_stored(t, step, (0, 1))])


def _mean(t: _Translation, step: _Step) -> None:
    axes = t.file.constant(f"{step.node.name}.axes", np.array([1, 2], np.int32))
    t.add("MEAN", step, [*step.inputs, axes], options="ReducerOptions")


OPERATIONS: Mapping[str, Callable[[_Translation, _Step], None]] = {
    "Add": lambda t, step: t.add("ADD", step, step.inputs),
    "BatchNormalization": _conv,
    "Conv": _conv,
    "Gemm": _dense,
    "GlobalAveragePool": _mean,
    "MaxPool": _max_pool,
    "Mul": lambda t, step: t.add("MUL", step, step.inputs),
    "Relu": lambda t, step: t.add("RELU", step, step.inputs),
}

FUSING = ("Add", "BatchNormalization", "Conv", "Gemm", "Mul")
"""Nodes that take a ReLU behind them along."""
