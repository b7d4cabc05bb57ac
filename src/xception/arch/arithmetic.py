"""Arithmetic of single operations that every writer of a network repeats."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def norm_as_affine(
    weight: ArrayLike, bias: ArrayLike, running_mean: ArrayLike, running_var: ArrayLike, epsilon: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A batch normalisation with stored statistics as `value * factor + shift` per channel, in float64.

    They are in double precision, so that storing them rounds only once.
    """
    scale, offset, mean, variance = (np.asarray(row, np.float64) for row in (weight, bias, running_mean, running_var))
    factor = scale / np.sqrt(variance + epsilon)
    return factor, offset - mean * factor


def same_padding(sides_px: Sequence[int], reach_px: int, stride: int) -> tuple[int, ...]:
    """TensorFlow's `SAME` padding as ONNX writes it: before each axis, then behind each, in pixels.

    Args:
        sides_px: height and width.
        reach_px: side of the window with its dilation.
        stride: pixels from one window to the next.
    """
    totals = [max((-(-px // stride) - 1) * stride + reach_px - px, 0) for px in sides_px]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))
