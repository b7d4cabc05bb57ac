"""The rules by which TensorRT reads a QDQ graph, from "Working with Quantized Types" in NVIDIA's developer guide."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from xception.errors import CheckFailed
from xception.extras import require
from xception.quantize.body import LAYER_TYPES


def check_tensorrt(model: Any) -> None:
    """Refuse an int8 ONNX graph that TensorRT would.

    Raises:
        CheckFailed: with the first fault.
    """
    for fault in tensorrt_faults(model):
        raise CheckFailed(f"TensorRT would refuse the graph: {fault}; take another method, or leave out --signed")


def tensorrt_faults(model: Any) -> Iterator[str]:
    """The nodes that break a rule, each in a sentence."""
    to_array = require("onnx", "quantize").numpy_helper.to_array
    constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            yield from _grid_faults(node, constants)
        elif node.op_type in LAYER_TYPES:
            yield from _layer_faults(node, constants, makers)


def _grid_faults(node: Any, constants: dict[str, np.ndarray]) -> Iterator[str]:
    scale = constants[node.input[1]]
    zero = constants[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros((), np.uint8)
    is_weight = node.input[0] in constants
    if zero.dtype != np.int8:
        yield f"{node.name} has integers of the type {zero.dtype}, expected int8"
    if np.any(zero):
        yield f"{node.name} has a zero point other than 0"
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        yield f"{node.name} has a scale that is no positive number"
    if not is_weight and scale.size > 1:
        yield f"{node.name} has {scale.size} scales for an activation, expected one"


def _layer_faults(node: Any, constants: dict[str, np.ndarray], makers: dict[str, Any]) -> Iterator[str]:
    grids = [name in makers and makers[name].op_type == "DequantizeLinear" for name in node.input]
    if grids[0] != grids[1]:
        yield f"{node.name} has only one of input and weights on a grid, expected both or none"
    if any(grids[2:]):
        yield f"{node.name} has a bias of integers, expected float"
    if node.op_type == "Conv" and grids[1]:
        dequantizer = makers[node.input[1]]
        count, channels = constants[dequantizer.input[1]].size, constants[dequantizer.input[0]].shape[0]
        if count != channels:
            yield f"{node.name} has {count} scales for {channels} channels of its weights, expected one for each"
