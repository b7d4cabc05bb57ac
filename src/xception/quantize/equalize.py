"""Cross-layer equalisation: channels that one scale has to serve are made alike, and the function stays the same.

Between two convolutions, with at most a ReLU between them that nothing else reads, a channel may be divided by any
positive number in the first if the second multiplies it again: ReLU(x / s) s = ReLU(x). Nagel et al., Data-Free
Quantization Through Weight Equalization and Bias Correction (2019), choose s from the ranges of both weights. Here
weights have a scale per channel anyway, so the first range is the one that calibration saw of the activation between.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xception.extras import require
from xception.quantize.observation import Observation

Initializers = dict[str, NDArray[np.float32]]


class ConvPair(NamedTuple):
    """Two convolutions and the tensor that goes from one to the other."""

    first: Any
    second: Any
    between: str


def equalized(model: Any, observation: Observation) -> Any:
    """A copy of an ONNX model that computes the same function with equalised channels."""
    onnx = require("onnx", "quantize")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor).copy() for tensor in result.graph.initializer}
    # From the end, so that what a pair does to its first kernel's outputs is known when that kernel's inputs are due.
    for pair in reversed(tuple(conv_pairs(result))):
        _rescale(pair, _divisors(pair, observation.peaks[pair.between], values), values)
    for tensor in result.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(values[tensor.name], tensor.name))
    return result


def conv_pairs(model: Any) -> Iterator[ConvPair]:
    """All pairs of convolutions, in the order of the graph."""
    nodes = model.graph.node
    readers = Counter(name for node in nodes for name in node.input)
    makers = {output: node for node in nodes for output in node.output}
    outputs = {output.name for output in model.graph.output}
    for second in nodes:
        first = makers.get(second.input[0]) if second.op_type == "Conv" else None
        passed = [second.input[0]]
        if first is not None and first.op_type == "Relu":
            passed.append(first.input[0])
            first = makers.get(first.input[0])
        is_only_reader = all(readers[name] == 1 and name not in outputs for name in passed)
        if (
            first is not None
            and first.op_type == "Conv"
            and is_only_reader
            and not {*first.input[1:]} & {*second.input[1:]}
        ):
            yield ConvPair(first, second, passed[0])


def _divisors(pair: ConvPair, peaks: NDArray[np.float32], values: Initializers) -> NDArray[np.float32]:
    """Divisors of the channels between; channels that are always or nowhere zero keep their scale."""
    kernel = values[pair.second.input[1]]
    if _groups(pair.second) == 1:
        # The second kernel mixes the channels under one scale, so that range and weights meet in the middle.
        reach = np.abs(kernel).max(axis=(0, *range(2, kernel.ndim)))
        wanted = np.sqrt(peaks / np.maximum(reach, np.finfo(np.float32).tiny))
    else:
        reach, wanted = np.abs(kernel).reshape(len(kernel), -1).max(1), peaks
    usable = (peaks > 0) & (reach > 0) & np.isfinite(wanted)
    return np.where(usable, wanted, 1).astype(np.float32)


def _rescale(pair: ConvPair, divisors: NDArray[np.float32], values: Initializers) -> None:
    for name in pair.first.input[1:]:
        values[name] = values[name] / divisors.reshape(-1, *(1,) * (values[name].ndim - 1))
    name = pair.second.input[1]
    shape = (-1, 1, 1, 1) if _groups(pair.second) > 1 else (1, -1, 1, 1)
    values[name] = values[name] * divisors.reshape(shape)


def _groups(node: Any) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "group"), 1)
