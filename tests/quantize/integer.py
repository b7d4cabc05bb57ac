"""The right answer of an int8 graph: its layers in whole numbers, by NumPy.

Products of eight-bit integers are summed exactly, no processor's instructions take part, and the sum is brought to the
next grid by one multiplication and one rounding, half to even, as ONNX Runtime does it. ONNX Runtime multiplies in
single precision and this module in double, so that now and then a value between two integers falls on the other one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from xception.errors import CheckFailed, UsageError
from xception.extras import require
from xception.quantize.qdq import attributes_of

Real = NDArray[np.float64]

INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Quantized:
    """Integers on a grid: real value = (integers - zero) * scale, a scale for all or for each index of axis 0.

    Integers are kept in double precision, which holds them and their sums exactly.
    """

    integers: Real
    scale: Real
    zero: Real

    @property
    def centred(self) -> Real:
        return self.integers - _along_first(self.zero, self.integers.ndim)

    @property
    def real(self) -> Real:
        return self.centred * _along_first(self.scale, self.integers.ndim)


Value = Real | Quantized


def integer_values(
    model: Any, inputs: Mapping[str, NDArray[Any]], given: Mapping[str, NDArray[Any]]
) -> dict[str, Real]:
    """What every QuantizeLinear of the graph gives, by its output's name, as whole numbers.

    Args:
        model: an `onnx.ModelProto` in QDQ form.
        inputs: the graph's inputs.
        given: results to go on with in place of those found, so that each layer is judged by itself.

    Raises:
        UsageError: an operation that quantized graphs of these networks do not have.
        CheckFailed: a sum that 32 bits do not hold.
    """
    values: dict[str, Value] = {name: value.astype(np.float64) for name, value in inputs.items()}
    numpy_helper = require("onnx", "quantize").numpy_helper
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found: dict[str, Real] = {}
    for node in model.graph.node:
        output = node.output[0]
        if node.op_type == "QuantizeLinear":
            found[output] = _quantized(values[node.input[0]], *(constants[name] for name in node.input[1:]))
            values[output] = given[output].astype(np.float64) if output in given else found[output]
        elif node.op_type == "DequantizeLinear":
            scale, *zero = (constants[name].astype(np.float64) for name in node.input[1:])
            source = constants[node.input[0]] if node.input[0] in constants else values[node.input[0]]
            values[output] = Quantized(np.asarray(source, np.float64), scale, zero[0] if zero else np.zeros(()))
        elif node.op_type in INTEGER_FORMS:
            arguments = [values[name] if name in values else constants[name].astype(np.float64) for name in node.input]
            values[output] = INTEGER_FORMS[node.op_type](attributes_of(node), *arguments)
        else:
            raise UsageError(f"no integer form of {node.op_type} is known; expected {', '.join(INTEGER_FORMS)}")
    return found


def _quantized(value: Value, scale: NDArray[Any], zero: NDArray[Any]) -> Real:
    limits = np.iinfo(zero.dtype)
    # In single precision, as the standard has it: many images' values are ties there and nowhere else.
    steps = np.rint(_real(value).astype(np.float32) / scale.astype(np.float32)).astype(np.float64)
    return np.asarray((steps + zero).clip(limits.min, limits.max))


def _convolution(attributes: dict[str, Any], x: Value, weight: Value, bias: Value | None = None) -> Real:
    stride, dilation = attributes["strides"][0], attributes.get("dilations", [1])[0]
    top, left, bottom, right = attributes["pads"]

    def convolved(pixels: Real, kernel: Real) -> Real:
        padded = np.pad(pixels, ((0, 0), (0, 0), (top, bottom), (left, right)))
        reach = dilation * (kernel.shape[2] - 1) + 1
        windows = sliding_window_view(padded, (reach, reach), axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
        if attributes.get("group", 1) == 1:
            return np.moveaxis(np.tensordot(windows, kernel, axes=([1, 4, 5], [1, 2, 3])), 3, 1)
        return cast(Real, np.einsum("nchwij,cij->nchw", windows, kernel[:, 0]))

    return _weighted(convolved, x, weight, bias)


def _dense(_: dict[str, Any], x: Value, weight: Value, bias: Value) -> Real:
    return _weighted(lambda features, kernel: features @ kernel.T, x, weight, bias)


def _weighted(product: Callable[[Real, Real], Real], x: Value, weight: Value, bias: Value | None) -> Real:
    """A layer in whole numbers if its input and its weights are; channels are axis 1 of the result."""
    if not isinstance(x, Quantized) or not isinstance(weight, Quantized):
        total = product(_real(x), _real(weight))
        return total if bias is None else total + _channels(_real(bias), total.ndim)
    total = product(x.centred, weight.centred)
    if isinstance(bias, Quantized):
        total = total + _channels(bias.integers, total.ndim)
    if total.size and not INT32.min <= total.min() <= total.max() <= INT32.max:
        raise CheckFailed("a sum of products does not fit 32 bits; quantize with smaller ranges of the weights")
    result = total * x.scale * _channels(weight.scale, total.ndim)
    return result if bias is None or isinstance(bias, Quantized) else result + _channels(bias, total.ndim)


def _norm(attributes: dict[str, Any], x: Value, scale: Real, shift: Real, mean: Real, variance: Real) -> Real:
    factor, values = scale / np.sqrt(variance + attributes["epsilon"]), _real(x)
    return values * _channels(factor, values.ndim) + _channels(shift - mean * factor, values.ndim)


def _max_pool(attributes: dict[str, Any], x: Value) -> Value:
    if isinstance(x, Quantized):
        return Quantized(cast(Real, _max_pool(attributes, x.integers)), x.scale, x.zero)
    size, stride = attributes["kernel_shape"][0], attributes["strides"][0]
    padded = np.pad(x, ((0, 0), (0, 0), *_pool_padding(attributes, x.shape[2:])), constant_values=-np.inf)
    return cast(Real, sliding_window_view(padded, (size, size), axis=(2, 3))[:, :, ::stride, ::stride].max((4, 5)))


def _pool_padding(attributes: dict[str, Any], sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    if attributes.get("auto_pad") != b"SAME_UPPER":
        top, left, bottom, right = attributes.get("pads", [0] * 4)
        return [(top, bottom), (left, right)]
    size, stride = attributes["kernel_shape"][0], attributes["strides"][0]
    missing = [max(0, (-(-pixels // stride) - 1) * stride + size - pixels) for pixels in sizes]
    return [(total // 2, total - total // 2) for total in missing]


def _flatten(_: dict[str, Any], x: Value) -> Value:
    if isinstance(x, Quantized):
        return Quantized(x.integers.reshape(len(x.integers), -1), x.scale, x.zero)
    return x.reshape(len(x), -1)


INTEGER_FORMS: Mapping[str, Callable[..., Value]] = {
    "Add": lambda _, x, y: _real(x) + _real(y),
    "BatchNormalization": _norm,
    "Concat": lambda _, x, y: np.concatenate((_real(x), _real(y)), axis=1),
    "Conv": _convolution,
    "Flatten": _flatten,
    "Gemm": _dense,
    "GlobalAveragePool": lambda _, x: _real(x).mean((2, 3), keepdims=True),
    "GlobalMaxPool": lambda _, x: _real(x).max((2, 3), keepdims=True),
    "Identity": lambda _, x: x,
    "MaxPool": _max_pool,
    "Mul": lambda _, x, y: _real(x) * _real(y),
    "Relu": lambda _, x: np.maximum(_real(x), 0),
}


def _real(value: Value) -> Real:
    return value.real if isinstance(value, Quantized) else value


def _along_first(values: Real, axes: int) -> Real:
    return values.reshape(-1, *(1,) * (axes - 1)) if values.ndim and values.size > 1 else values.reshape(())


def _channels(values: Real, axes: int) -> Real:
    return values.reshape(1, -1, *(1,) * (axes - 2))
