"""A LiteRT graph, written operation by operation, in float or in whole numbers; maps are (N, H, W, C).

An operation whose inputs have a grid computes in whole numbers, else in float. TensorFlow's own padding, `SAME`, is
used where it is the padding that is asked for; all other paddings are operations of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.arch.arithmetic import same_padding
from xception.errors import UsageError
from xception.flatbuffer import Flatbuffer, Grid

MAX_BIAS = 2**30
"""Bound of a bias in whole numbers; leaves as much room again for the products that are added to it."""

INT8_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 12}
"""Versions of operations on int8, FULLY_CONNECTED with a scale for each class; version 2 brought int8 to all others."""

FLOAT_VERSIONS = {"DEPTHWISE_CONV_2D": 2}
"""Versions of operations on float; the one here brought dilation."""

ACTIVATED = ("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL")
"""Operations that apply a ReLU to their result themselves."""

KERNEL_ORDER, DEPTHWISE_ORDER = (0, 2, 3, 1), (1, 2, 3, 0)
"""Order in which LiteRT has the axes of an (out, in, H, W) kernel."""


@dataclass(frozen=True, kw_only=True)
class OperationCall:
    """One operation about to be written: its name, the tensors that it reads, and the one that it writes."""

    name: str
    inputs: Sequence[int]
    output: int
    has_relu: bool = False
    """The operation takes the ReLU behind it along."""
    grid_in: Grid | None = None
    """Grid of the first input, where the operation computes in whole numbers."""


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """Kernel (out, in / groups, H, W) or matrix (out, in) of a layer, and its bias (out,)."""

    kernel: NDArray[Any]
    bias: NDArray[Any]
    scales: NDArray[Any] | None = None
    """Scales of the kernel's integers, one or one for each output; None in float."""
    is_half: bool = False
    """The kernel is stored in half precision and widened when the model is loaded."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The window of a convolution or pool, of `size` by `size` pixels."""

    size: int
    stride: int
    dilation: int = 1
    pads: tuple[int, ...] | None = None
    """Pixels of padding above, left, below and right; None is `SAME`."""

    @property
    def reach_px(self) -> int:
        """Side of the window with its dilation."""
        return self.dilation * (self.size - 1) + 1


class LiteRtGraph:
    """A graph that grows by one operation per call."""

    def __init__(self, *, batch: int | None = None, has_free_size: bool = False) -> None:
        self.file = Flatbuffer()
        self.schema = self.file.schema
        self.batch, self.has_free_size = batch, has_free_size

    def value(self, name: str, shape: Sequence[int], grid: Grid | None = None, dtype: str | None = None) -> int:
        """A tensor that is computed, by default float32, and int8 on a grid; `shape` is that for one image, without
        the batch axis."""
        free = [0] if self.batch is None else []
        free += [1, 2] if self.has_free_size and len(shape) == 3 else []
        dtype = dtype or ("int8" if grid else "float32")
        return self.file.value(name, (self.batch or 1, *shape), dtype, free=free, grid=grid)

    def add(self, kind: str, call: OperationCall, inputs: Sequence[int] | None = None, **settings: Any) -> int:
        """Write the operation of a call, by default with the call's own inputs. Returns its output."""
        if kind in ACTIVATED:
            activation = self.schema.ActivationFunctionType
            settings["fusedActivationFunction"] = activation.RELU if call.has_relu else activation.NONE
        version = INT8_VERSIONS.get(kind, 2) if call.grid_in else FLOAT_VERSIONS.get(kind, 1)
        inputs = call.inputs if inputs is None else inputs
        return self.file.add(kind, inputs, [call.output], version=version, **settings)

    def conv(self, call: OperationCall, weights: LayerWeights, window: Window, *, is_depthwise: bool) -> None:
        """A convolution, of all channels or of each by itself."""
        order = DEPTHWISE_ORDER if is_depthwise else KERNEL_ORDER
        source, padding = self._padded(call, window)
        self.add(
            "DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D",
            call,
            [source, *self._stored(call, weights, order)],
            padding=padding,
            strideW=window.stride,
            strideH=window.stride,
            dilationWFactor=window.dilation,
            dilationHFactor=window.dilation,
            **({"depthMultiplier": 1} if is_depthwise else {}),
        )

    def max_pool(self, call: OperationCall, window: Window) -> None:
        """The largest value of each window; padding never wins."""
        source, padding = self._padded(call, window, lowest=True)
        sides = {"filterWidth": window.size, "filterHeight": window.size}
        strides = {"strideW": window.stride, "strideH": window.stride}
        self.add("MAX_POOL_2D", call, [source], options="Pool2DOptions", padding=padding, **strides, **sides)

    def dense(self, call: OperationCall, weights: LayerWeights) -> None:
        """A fully connected layer."""
        self.add("FULLY_CONNECTED", call, [*call.inputs, *self._stored(call, weights, (0, 1))])

    def mean(self, call: OperationCall) -> None:
        """The mean over height and width."""
        self._reduce("MEAN", call)

    def maximum(self, call: OperationCall) -> None:
        """The maximum over height and width."""
        self._reduce("REDUCE_MAX", call)

    def concatenate(self, call: OperationCall) -> None:
        """Two tables (N, C) in a row."""
        none = self.schema.ActivationFunctionType.NONE
        self.add("CONCATENATION", call, axis=1, fusedActivationFunction=none)

    def _reduce(self, kind: str, call: OperationCall) -> None:
        axes = self.file.constant(f"{call.name}.axes", np.array([1, 2], np.int32))
        self.add(kind, call, [*call.inputs, axes], options="ReducerOptions")

    def _padded(self, call: OperationCall, window: Window, *, lowest: bool = False) -> tuple[int, int]:
        """A window's input and the kind of its padding; where neither kind fits, the input is padded beforehand."""
        kinds, (source,) = self.schema.Padding, call.inputs
        if window.pads is None:
            return source, kinds.SAME
        if not any(window.pads):
            return source, kinds.VALID
        is_known = window.stride == 1 or not self.has_free_size
        if is_known and window.pads == same_padding(self.file.shape(source)[1:3], window.reach_px, window.stride):
            return source, kinds.SAME
        return self._pad(call, window.pads, lowest=lowest), kinds.VALID

    def _pad(self, call: OperationCall, pads: Sequence[int], *, lowest: bool) -> int:
        """The call's input with a margin: of zeros, or of the lowest number."""
        name, (_, rows, columns, channels) = f"{call.name}.pad", self.file.shape(call.inputs[0])
        top, left, bottom, right = pads
        padded = self.value(name, (rows + top + bottom, columns + left + right, channels), call.grid_in)
        widths = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        inputs, version = [call.inputs[0], self.file.constant(f"{name}.widths", widths)], 2 if call.grid_in else 1
        if not lowest:
            return self.file.add("PAD", inputs, [padded], version=version)
        least: NDArray[Any] = np.array(np.finfo(np.float32).min, np.float32)
        if call.grid_in:
            least = np.array(np.iinfo(np.int8).min, np.int8)
        inputs.append(self.file.constant(f"{name}.value", least, call.grid_in))
        return self.file.add("PADV2", inputs, [padded], options="PadV2Options", version=version)

    def _stored(self, call: OperationCall, weights: LayerWeights, order: Sequence[int]) -> list[int]:
        """The constants of a layer: its kernel, with its axes in another order, and its bias."""
        names = f"{call.name}.weight", f"{call.name}.bias"
        if call.grid_in is None or weights.scales is None:
            kernel, bias = weights.kernel.transpose(order).astype(np.float32), weights.bias.astype(np.float32)
            store = self._half if weights.is_half else self.file.constant
            return [store(names[0], kernel), self.file.constant(names[1], bias)]
        scale_in = call.grid_in.scales[0]
        scales = _coarse_enough(weights.bias, weights.scales, scale_in)
        return [
            self._rounded(names[0], weights.kernel, scales, order),
            self._rounded(names[1], weights.bias, scales * scale_in, (0,), np.int32),
        ]

    def _half(self, name: str, value: NDArray[Any]) -> int:
        with np.errstate(over="ignore"):
            stored = value.astype(np.float16)
        if not np.isfinite(stored).all():
            raise UsageError(f"{name} has values that float16 cannot hold; export in float32")
        source = self.file.constant(f"{name}.float16", stored)
        return self.file.add("DEQUANTIZE", [source], [self.file.value(name, value.shape)], version=3)

    def _rounded(
        self,
        name: str,
        values: NDArray[Any],
        scales: NDArray[Any],
        order: Sequence[int],
        dtype: type[np.signedinteger[Any]] = np.int8,
    ) -> int:
        integers: NDArray[Any] = np.rint(values / scales.reshape(-1, *(1,) * (values.ndim - 1))).astype(dtype)
        grid = Grid(tuple(scales.tolist()), (0,) * len(scales), order.index(0))
        return self.file.constant(name, integers.transpose(order), grid)


def _coarse_enough(bias: NDArray[Any], scales: NDArray[Any], scale_in: float) -> NDArray[Any]:
    """The scales of a kernel's integers, made coarser where the bias would not fit 32 bits with them."""
    least = np.abs(bias) / (MAX_BIAS * scale_in)
    return np.asarray(np.maximum(scales, least if scales.size > 1 else least.max()))
