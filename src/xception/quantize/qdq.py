"""int8 in ONNX's QDQ form through ONNX Runtime's quantizer, with ranges that were chosen beforehand."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from xception.extras import require
from xception.quantize.body import DENSE_TYPES, LAYER_TYPES, body
from xception.quantize.ranges import Range

QUANTIZED_TYPES = (*LAYER_TYPES, "Add", "Flatten", "GlobalAveragePool", "MaxPool", "Mul", "Relu")


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """The grids. Activations are unsigned, and from zero up after a ReLU, unless they are signed."""

    per_channel: bool = True
    """A scale for each output channel of a kernel rather than one for all of it."""
    is_signed: bool = False
    """Signed activations with the zero point 0 everywhere, and biases in float, as TensorRT demands."""
    weight_bits: int = 7
    """7: sums of two products fit 16 bits, so that processors with and without VNNI give the same result."""
    rounds_logits: bool = False
    """A grid for the logits too, for runtimes that have no integer layer with a result in float."""
    has_integer_output: bool = False
    """A grid for everything up to the logits, so that they go out as integers."""


class TensorScale(msgspec.Struct, frozen=True, kw_only=True):
    """The grid of one tensor: value = (integer - zero_point) * scale, a scale for each channel or one for all."""

    tensor: str
    kind: str
    """Role of the tensor: weight, bias or activation."""
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]


def quantize_graph(
    model: Any, ranges: Mapping[str, Range], scheme: Scheme, *, only: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Any:
    """The int8 form of a float ONNX model.

    Args:
        model: an `onnx.ModelProto`.
        ranges: of every activation.
        scheme: which grids.
        only: names of the nodes to quantize, if not all.
        exclude: names of nodes to leave in float.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
    """
    onnx, quantization = require("onnx", "quantize"), require("onnxruntime.quantization", "quantize")
    calibrate = require("onnxruntime.quantization.calibrate", "quantize")
    bounds = {name: tuple(np.array(bound, np.float32) for bound in pair) for name, pair in ranges.items()}
    rounds_logits = scheme.rounds_logits or scheme.has_integer_output
    quantizer = quantization.QDQQuantizer(
        onnx.shape_inference.infer_shapes(model),
        scheme.per_channel,
        scheme.weight_bits == 7,
        quantization.QuantType.QInt8,
        quantization.QuantType.QInt8 if scheme.is_signed else quantization.QuantType.QUInt8,
        calibrate.TensorsData(quantization.CalibrationMethod.MinMax, bounds),
        list(only) or list(body(model, with_logits=scheme.has_integer_output)),
        list(exclude),
        list(QUANTIZED_TYPES),
        {
            "ActivationSymmetric": scheme.is_signed,
            "QuantizeBias": not scheme.is_signed,
            "OpTypesToExcludeOutputQuantization": [] if rounds_logits else list(DENSE_TYPES),
            "ForceQuantizeNoInputCheck": False,
        },
    )
    quantizer.quantize_model()
    _sort_nodes(quantizer.model.model)
    return quantizer.model.model


def layers(model: Any) -> tuple[str, ...]:
    """Names of the nodes with weights that are quantized, in the order of the graph."""
    names = {*body(model)}
    return tuple(node.name for node in model.graph.node if node.op_type in LAYER_TYPES and node.name in names)


def with_activation(model: Any, layer: str) -> tuple[str, ...]:
    """A layer and the ReLUs that read it, which the layer computes itself once it is in int8."""
    return (layer, *(node.name for node in _readers(model, layer) if node.op_type == "Relu"))


def float_island(model: Any, layer: str) -> tuple[str, ...]:
    """Names of the nodes that have to stay in float so that a layer does.

    A convolution between eight-bit tensors, of which only the weights are float, is quantized by ONNX Runtime when it
    loads the file, with one scale for the whole kernel; so the readers of its result stay in float with it.
    """
    own = with_activation(model, layer)
    return (*own, *(reader.name for name in own for reader in _readers(model, name)))


def scales(model: Any) -> tuple[TensorScale, ...]:
    """The grid of every quantized tensor, in the order of the graph.

    A compiler that quantizes on its own takes them as they are.
    """
    onnx = require("onnx", "quantize")
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    sources = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    rows: dict[str, TensorScale] = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            source = node.input[0]
            name = sources.get(source, source)
            scale = np.atleast_1d(values[node.input[1]])
            zero = np.atleast_1d(values[node.input[2]]) if len(node.input) > 2 else np.zeros(scale.shape, np.int32)
            rows[name] = TensorScale(
                tensor=name.removesuffix("_quantized"),
                kind="activation" if source in sources else "bias" if zero.dtype == np.int32 else "weight",
                dtype=str(zero.dtype),
                scales=tuple(map(float, scale)),
                zero_points=tuple(map(int, zero)),
            )
    return tuple(rows.values())


def scales_csv(rows: Sequence[TensorScale]) -> str:
    """The table with a line for each tensor and channel."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("tensor", "kind", "dtype", "channel", "scale", "zero_point"))
    for row in rows:
        for channel, (scale, zero) in enumerate(zip(row.scales, row.zero_points, strict=True)):
            writer.writerow((row.tensor, row.kind, row.dtype, channel if len(row.scales) > 1 else "", scale, zero))
    return text.getvalue()


def _sort_nodes(model: Any) -> None:
    """Put each node behind those that it reads, as ONNX demands: the quantizer appends its own at the end."""
    makers = {output: node for node in model.graph.node for output in node.output}
    places: dict[str, int] = {}

    def place(node: Any) -> None:
        for name in node.input:
            if name in makers and makers[name].output[0] not in places:
                place(makers[name])
        places.setdefault(node.output[0], len(places))

    for node in model.graph.node:
        place(node)
    model.graph.node.sort(key=lambda node: places[node.output[0]])


def attributes_of(node: Any) -> dict[str, Any]:
    """A node's settings by name."""
    helper = require("onnx", "quantize").helper
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _readers(model: Any, name: str) -> list[Any]:
    outputs = {output for node in model.graph.node if node.name == name for output in node.output}
    return [node for node in model.graph.node if outputs & set(node.input)]
