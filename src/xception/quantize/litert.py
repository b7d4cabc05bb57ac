"""An int8 graph in ONNX's QDQ form as a LiteRT flatbuffer, operation by operation and grid by grid.

Where an operation's inputs and its result have grids, LiteRT computes it in whole numbers; else in float, between
DEQUANTIZE and QUANTIZE, which is what QDQ says literally. Maps are (N, H, W, C) and all integers signed: unsigned ones
are 128 lower here, with the same scale.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.arch.arithmetic import norm_as_affine
from xception.errors import UsageError
from xception.extras import require
from xception.flatbuffer import Grid
from xception.litert_graph import LayerWeights, LiteRtGraph, OperationCall, Window
from xception.quantize.qdq import attributes_of

EXAMPLE_PX = 299
"""Height and width in the file of a graph that takes any."""

MAX_INT8 = 127
"""Largest integer of a kernel."""

RENAMING = ("Flatten", "Identity", "Transpose")
"""Nodes without effect here, where the mean over positions has two axes from the start, and channels come last."""

CHANNELS_FIRST = [0, 3, 1, 2]
"""Order of the axes by which images (N, H, W, C) become the network's pixels."""

POOLS = ("GlobalAveragePool", "GlobalMaxPool")
"""Nodes whose result has no positions left here, and two axes of length one there."""

Real = NDArray[np.float64]


def int8_litert_files(graph: Any, *, has_integer_ports: bool = False) -> dict[str, bytes]:
    """`model.tflite`, with the graph's inputs and outputs; images and maps inside are (N, H, W, C).

    Args:
        graph: an `onnx.ModelProto` in QDQ form.
        has_integer_ports: pixels go in and logits come out as int8 on the grids that the file states for them; 8-bit
            images stay as they are.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        UsageError: an operation that quantized graphs of these networks do not have.
    """
    try:
        return {"model.tflite": _Translation(graph, has_integer_ports=has_integer_ports).content()}
    except KeyError as error:  # a value or setting that graphs of ours have, and this graph of others has not
        raise UsageError(
            f"the graph is put together in a way that has no LiteRT form here (it lacks {error}); "
            "quantize it to onnx or openvino"
        ) from error


@dataclass(frozen=True)
class _Step:
    """A node, the operation that is written for it, and its weights if it has any."""

    node: Any
    call: OperationCall
    weights: LayerWeights | None


class _Translation:
    """A QDQ graph on its way into a LiteRT graph; values keep their ONNX names, and exist in float, int8 or both."""

    def __init__(self, graph: Any, *, has_integer_ports: bool) -> None:
        self.model, self.has_integer_ports = _with_shapes(graph), has_integer_ports
        self.out = LiteRtGraph(
            batch=_axes(graph)[0].dim_value or None, has_free_size=any(not side.dim_value for side in _sides(graph))
        )
        parts, to_array = self.model.graph, require("onnx", "quantize").numpy_helper.to_array
        self.constants = {tensor.name: to_array(tensor) for tensor in parts.initializer}
        images = _image_values(parts)
        self.shapes = {
            value.name: _shape(value, channels_last=value.name in images) for value in (*parts.input, *parts.value_info)
        }
        self.readers: dict[str, list[Any]] = defaultdict(list)
        self.stored: dict[str, Any] = {}
        """The nodes that read constants stored as integers, by the constant's name."""
        for node in parts.node:
            for name in node.input:
                self.readers[name].append(node)
            if node.op_type == "DequantizeLinear" and node.input[0] in self.constants:
                self.stored[node.output[0]] = node
        self.floats: dict[str, int] = {}
        self.integers: dict[str, tuple[int, Grid]] = {}

    def content(self) -> bytes:
        (source,) = self.model.graph.input
        entered = self._enter(source)
        for node in self.model.graph.node:
            if node.output[0] not in {**self.floats, **self.integers, **self.stored}:
                self._translate(node)
        outputs = {result.name: self._output(result.name) for result in self.model.graph.output}
        return self.out.file.finish(self.model.graph.name, {source.name: entered}, outputs)

    def _enter(self, source: Any) -> int:
        """The tensor of the input: float pixels, integers on the grid of the first layer, or 8-bit images."""
        name, shape = source.name, self.shapes[source.name]
        if _is_image(source):
            index = self.out.value(name, shape, Grid((1.0,), (0,)), dtype="uint8")
            if not self._normalize(name, index):
                self.floats[name] = index
            return index
        quantizer = self._only_reader(name, "QuantizeLinear")
        if self.has_integer_ports and quantizer is not None:
            grid, _ = self.grid(quantizer)
            self.integers[quantizer.output[0]] = self.out.value(name, shape, grid), grid
            return self.integers[quantizer.output[0]][0]
        self.floats[name] = self.out.value(name, shape)
        return self.floats[name]

    def _normalize(self, name: str, image: int) -> bool:
        """Write `image * factor + shift` in whole numbers, as a convolution of one pixel; False where the graph does
        something else with its image."""
        nodes, known = [], name
        for kind in ("Cast", "Mul", "Add", "Transpose", "QuantizeLinear"):
            node = self._only_reader(known, kind)
            if node is None:
                return False
            nodes.append(node)
            known = node.output[0]
        factor, shift = (self.constants[node.input[1]].astype(np.float64).ravel() for node in nodes[1:3])
        grid, _ = self.grid(nodes[-1])
        lowered = Grid((1.0,), (-128,))
        signed = self.out.value(f"{name}.int8", self.shapes[name], lowered)
        self.out.file.add("QUANTIZE", [image], [signed], version=2)
        output = self.out.value(nodes[3].output[0], self.shapes[name], grid)
        call = OperationCall(name=nodes[2].name, inputs=[signed], output=output, grid_in=lowered)
        scales = np.abs(factor) / MAX_INT8
        weights = LayerWeights(kernel=factor[:, None, None, None], bias=shift, scales=scales)
        self.out.conv(call, weights, Window(size=1, stride=1), is_depthwise=True)
        self.integers |= dict.fromkeys((node.output[0] for node in nodes), (output, grid))
        return True

    def _output(self, name: str) -> int:
        """The tensor of an output: as integers where they are asked for; maps go out as (N, C, H, W)."""
        if self.has_integer_ports and name in self.integers:
            return self.integers[name][0]
        index = self.real(name)
        shape = self.out.file.shape(index)[1:]
        if len(shape) < 3:
            return index
        made = self.out.value(f"{name}.nchw", (shape[2], *shape[:2]))
        order = self.out.file.constant(f"{name}.order", np.array(CHANNELS_FIRST, np.int32))
        return self.out.file.add("TRANSPOSE", [index, order], [made])

    def real(self, name: str) -> int:
        """The tensor of a value in float."""
        if name not in self.floats and name in self.integers:
            index, _ = self.integers[name]
            self.floats[name] = self.out.value(f"{name}.float32", self.out.file.shape(index)[1:])
            self.out.file.add("DEQUANTIZE", [index], [self.floats[name]], version=2)
        elif name not in self.floats:
            values, _ = self.constant(name)
            self.floats[name] = self.out.file.constant(name, _channels_last(values.astype(np.float32)))
        return self.floats[name]

    def integer(self, name: str) -> tuple[int, Grid]:
        """The tensor of a value in whole numbers, and their grid."""
        if name not in self.integers:
            node = self.stored[name]
            grid, offset = self.grid(node)
            signed = self.constants[node.input[0]].astype(np.int16) - offset
            self.integers[name] = self.out.file.constant(name, _channels_last(signed.astype(np.int8)), grid), grid
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

    def _translate(self, node: Any) -> None:
        source, output = node.input[0], node.output[0]
        if node.op_type == "TopK":
            self._top_k(node)
        elif node.op_type == "QuantizeLinear":
            self.integers[output] = self._quantized(node)
        elif node.op_type in RENAMING or node.op_type == "DequantizeLinear":
            known: dict[str, Any] = self.integers if source in self.integers else self.floats
            known[output] = known[source]
        elif node.op_type in TRANSLATIONS:
            TRANSLATIONS[node.op_type](self.out, self._step(node))
        else:
            raise UsageError(f"no LiteRT form of {node.op_type} is known; expected {', '.join(TRANSLATIONS)}")

    def _top_k(self, node: Any) -> None:
        count = int(self.constants[node.input[1]].ravel()[0])
        best, indices = (
            self.out.value(name, (count,), dtype=dtype)
            for name, dtype in zip(node.output, ("float32", "int32"), strict=True)
        )
        counted = self.out.file.constant(node.input[1], np.array(count, np.int32))
        self.out.file.add("TOPK_V2", [self.real(node.input[0]), counted], [best, indices], options="TopKV2Options")
        self.floats |= {node.output[0]: best, node.output[1]: indices}

    def _quantized(self, node: Any) -> tuple[int, Grid]:
        source, (grid, _) = node.input[0], self.grid(node)
        if source in self.integers and self.integers[source][1] == grid:
            return self.integers[source]
        index = self.real(source)
        made = self.out.value(f"{source}.int8", self.out.file.shape(index)[1:], grid)
        self.out.file.add("QUANTIZE", [index], [made])
        return made, grid

    def _step(self, node: Any) -> _Step:
        end, relu = node.output[0], None
        if node.op_type in FUSING and (relu := self._only_reader(end, "Relu")) is not None:
            end = relu.output[0]
        weights = WEIGHT_READERS[node.op_type](self, node) if node.op_type in WEIGHT_READERS else None
        names = node.input[:1] if weights else node.input
        grid = self._result_grid(node, end, names, weights)
        shape = self.shapes[end]
        output = self.out.value(end, shape[-1:] if node.op_type in POOLS else shape, grid)
        if grid is None:
            self.floats[end] = output
            inputs, grid_in = [self.real(name) for name in names], None
        else:
            self.integers[end] = output, grid
            inputs, (grid_in, *_) = map(list, zip(*map(self.integer, names), strict=True))
        call = OperationCall(name=node.name, inputs=inputs, output=output, has_relu=relu is not None, grid_in=grid_in)
        return _Step(node, call, weights)

    def _result_grid(self, node: Any, end: str, names: Sequence[str], weights: LayerWeights | None) -> Grid | None:
        """Grid of the integers that an operation makes, if it can compute in whole numbers."""
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
    """A copy with the shapes of all values, for one image where any number may come."""
    onnx = require("onnx", "quantize")
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    del model.graph.value_info[:]
    batch = _axes(model)[0]
    batch.dim_value = batch.dim_value or 1
    for side in _sides(model):
        side.dim_value = side.dim_value or EXAMPLE_PX
    return onnx.shape_inference.infer_shapes(model)


def _axes(model: Any) -> Any:
    return model.graph.input[0].type.tensor_type.shape.dim


def _is_image(source: Any) -> bool:
    return bool(source.type.tensor_type.elem_type == require("onnx", "quantize").TensorProto.UINT8)


def _sides(model: Any) -> Any:
    return _axes(model)[1:3] if _is_image(model.graph.input[0]) else _axes(model)[2:]


def _image_values(graph: Any) -> set[str]:
    """Names of the values before the channels of 8-bit images are put first."""
    found = {source.name for source in graph.input if _is_image(source)}
    for node in graph.node:
        if node.op_type != "Transpose" and found.intersection(node.input):
            found.update(node.output)
    return found if any(node.op_type == "Transpose" for node in graph.node) else set()


def _shape(value: Any, *, channels_last: bool) -> tuple[int, ...]:
    """Shape of an ONNX value for one image, with channels last."""
    shape = tuple(int(side.dim_value) for side in value.type.tensor_type.shape.dim)
    return (*shape[2:], shape[1]) if len(shape) == 4 and not channels_last else shape[1:]


def _channels_last(values: NDArray[Any]) -> NDArray[Any]:
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def _layer_weights(t: _Translation, node: Any) -> LayerWeights:
    kernel, scales = t.constant(node.input[1])
    bias = t.constant(node.input[2])[0] if len(node.input) > 2 else np.zeros(len(kernel))
    return LayerWeights(kernel=kernel, bias=bias, scales=scales)


def _norm_weights(t: _Translation, node: Any) -> LayerWeights:
    """A norm as a depthwise convolution of one pixel, whose factors are the largest integer times a scale each."""
    weight, bias, mean, variance = (t.constant(name)[0] for name in node.input[1:])
    factor, shift = norm_as_affine(weight, bias, mean, variance, attributes_of(node)["epsilon"])
    scales = np.where(factor, np.abs(factor) / MAX_INT8, 1.0)
    return LayerWeights(kernel=factor[:, None, None, None], bias=shift, scales=scales)


WEIGHT_READERS: Mapping[str, Callable[[_Translation, Any], LayerWeights]] = {
    "BatchNormalization": _norm_weights,
    "Conv": _layer_weights,
    "Gemm": _layer_weights,
}


def _conv(out: LiteRtGraph, step: _Step) -> None:
    is_depthwise = attributes_of(step.node).get("group", 1) > 1 or step.node.op_type == "BatchNormalization"
    if step.weights:
        out.conv(step.call, step.weights, _window(step.node), is_depthwise=is_depthwise)


def _dense(out: LiteRtGraph, step: _Step) -> None:
    if step.weights:
        out.dense(step.call, step.weights)


def _window(node: Any) -> Window:
    settings = attributes_of(node)
    return Window(
        size=settings.get("kernel_shape", [1])[0],
        stride=settings.get("strides", [1])[0],
        dilation=settings.get("dilations", [1])[0],
        pads=None if settings.get("auto_pad") == b"SAME_UPPER" else tuple(settings.get("pads", (0, 0, 0, 0))),
    )


TRANSLATIONS: Mapping[str, Callable[[LiteRtGraph, _Step], object]] = {
    "Add": lambda out, step: out.add("ADD", step.call),
    "BatchNormalization": _conv,
    "Conv": _conv,
    "Gemm": _dense,
    "Concat": lambda out, step: out.concatenate(step.call),
    "GlobalAveragePool": lambda out, step: out.mean(step.call),
    "GlobalMaxPool": lambda out, step: out.maximum(step.call),
    "MaxPool": lambda out, step: out.max_pool(step.call, _window(step.node)),
    "Mul": lambda out, step: out.add("MUL", step.call),
    "Relu": lambda out, step: out.add("RELU", step.call),
    "Sigmoid": lambda out, step: out.add("LOGISTIC", step.call),
    "Softmax": lambda out, step: out.add("SOFTMAX", step.call, beta=1.0),
}

FUSING = ("Add", "BatchNormalization", "Conv", "Gemm", "Mul")
"""Nodes that take a ReLU behind them along."""
