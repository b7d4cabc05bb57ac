"""Arithmetic on pixels inside of a graph, in front of its first layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.adoption.outline import GraphOperation, GraphOutline
from xception.convert.stated import Normalization
from xception.errors import UsageError
from xception.preprocess import Preprocess

UNCHANGING = frozenset(
    {"Cast", "CastLike", "Convert", "ConvertLike", "DEQUANTIZE", "CAST", "Identity", "Reshape", "RESHAPE", "Transpose"}
    | {"TRANSPOSE", "QUANTIZE", "Squeeze", "Unsqueeze", "DequantizeLinear", "QuantizeLinear"}
)
"""Operations that leave the values as they are, by the names of all formats."""

ARITHMETIC: Mapping[str, str] = {
    "Add": "add",
    "ADD": "add",
    "Sub": "sub",
    "SUB": "sub",
    "Subtract": "sub",
    "Mul": "mul",
    "MUL": "mul",
    "Multiply": "mul",
    "Div": "div",
    "DIV": "div",
    "Divide": "div",
}

MIN_SPREAD_OF_LEVELS = 10.0
"""Values that spread wider than this are levels from 0 to 255; images that are normalised spread by some units."""

UNIT_MEANS = (0.3, 0.7)
"""Bounds of the means that are subtracted from values from 0 to 1."""


def arithmetic_inside(outline: GraphOutline, value: str) -> Normalization | None:
    """The arithmetic that a graph does on its input first, by channel; None if there is none."""
    found, is_there = Normalization(), False
    while True:
        readers = list(outline.readers(value))
        if len(readers) != 1:
            break
        (operation,) = readers
        if operation.kind in UNCHANGING and operation.inputs[0] == value:
            value = operation.outputs[0]
            continue
        step = _step(outline, operation, value)
        if step is None:
            break
        found, is_there, value = found.then(*step), True, operation.outputs[0]
    return found if is_there else None


def _step(outline: GraphOutline, operation: GraphOperation, value: str) -> tuple[tuple[float, ...], ...] | None:
    """Factor and shift of one operation; None if it is no arithmetic with a number for each channel."""
    kind = ARITHMETIC.get(operation.kind)
    if kind is None or len(operation.inputs) != 2:
        return None
    is_first = operation.inputs[0] == value
    other = constant(outline, operation.inputs[1 if is_first else 0])
    if other is None or other.size not in (1, 3):
        return None
    numbers = other.ravel().astype(np.float64)
    ones, zeros = np.ones_like(numbers), np.zeros_like(numbers)
    match kind:
        case "add":
            factor, shift = ones, numbers
        case "sub":
            factor, shift = (ones, -numbers) if is_first else (-ones, numbers)
        case "mul":
            factor, shift = numbers, zeros
        case _ if is_first and numbers.all():
            factor, shift = 1 / numbers, zeros
        case _:
            return None
    return tuple(factor.tolist()), tuple(shift.tolist())


def constant(outline: GraphOutline, value: str) -> NDArray[Any] | None:
    """The numbers of a constant, also behind a change of its type; None for a value that is computed."""
    while value not in outline.constants:
        maker = outline.maker(value)
        if maker is None or maker.kind not in UNCHANGING or not maker.inputs:
            return None
        value = maker.inputs[0]
    return outline.constants[value]()


def check_not_twice(found: Normalization, preprocess: Preprocess) -> None:
    """Refuse preprocessing whose values are none that the arithmetic inside of the graph can be for.

    Raises:
        UsageError: values are normalised twice, or not enough; the sentence says what the graph expects.
    """
    channels = max(len(found.factor), len(found.shift))
    factor, shift = (np.resize(row, channels) for row in (found.factor, found.shift))
    low, high = value_range(preprocess)
    means = -shift / factor
    is_for_levels = bool(np.abs(factor).max() < 1 / MIN_SPREAD_OF_LEVELS or np.abs(means).max() > MIN_SPREAD_OF_LEVELS)
    is_for_unit = not is_for_levels and bool(((means > UNIT_MEANS[0]) & (means < UNIT_MEANS[1])).all())
    if is_for_levels and high - low < MIN_SPREAD_OF_LEVELS:
        expected = "0..255"
    elif (is_for_unit and (low < -1e-6 or high > 1 + 1e-6)) or (
        not is_for_levels and high - low > MIN_SPREAD_OF_LEVELS
    ):
        expected = "0..1"
    else:
        return
    words = f"{arithmetic_sentence(found)}, which is for values from {expected.replace('..', ' to ')}"
    raise UsageError(
        f"the graph first computes {words}, and the preprocessing makes values from {low:.4g} to {high:.4g}; "
        f"add range={expected} to --preprocess"
    )


def value_range(preprocess: Preprocess) -> tuple[float, float]:
    """The least and the largest value that a preprocessing makes of 8-bit images."""
    mean, std = np.array(preprocess.mean), np.array(preprocess.std)
    ends = [(level / preprocess.divisor - mean) / std for level in (0.0, 255.0)]
    return float(np.min(ends)), float(np.max(ends))


def arithmetic_sentence(found: Normalization) -> str:
    """The arithmetic in words."""
    factor, shift = (", ".join(f"{value:.6g}" for value in row) for row in (found.factor, found.shift))
    factor, shift = (f"({text})" if "," in text else text for text in (factor, shift))
    return f"value * {factor} + {shift}"
