from pathlib import Path

import pytest

from tests.adoption.graphs import Style, write_ir, write_onnx, write_tflite
from xception.adoption.adopt import read_graph
from xception.adoption.arithmetic import arithmetic_inside, arithmetic_sentence, check_not_twice, value_range
from xception.convert.stated import Normalization
from xception.errors import UsageError
from xception.preprocess import Preprocess

CHAINS = (
    ((("Div", 127.5), ("Sub", 1.0)), 1 / 127.5, -1.0),
    ((("Mul", 1 / 255),), 1 / 255, 0.0),
    ((("Sub", 127.5), ("Div", 127.5)), 1 / 127.5, -1.0),
    ((("Sub", 0.5), ("Div", 0.5)), 2.0, -1.0),
)
ENDS = {"onnx": write_onnx, "xml": write_ir, "tflite": write_tflite}


@pytest.mark.parametrize(("chain", "factor", "shift"), CHAINS)
@pytest.mark.parametrize("form", ENDS)
def test_arithmetic_in_front_of_the_network_is_found_in_every_form(
    form: str, chain: tuple[tuple[str, float], ...], factor: float, shift: float, tmp_path: Path
) -> None:
    style = Style(layout="nhwc", arithmetic=chain)
    outline = read_graph(ENDS[form](tmp_path / f"model.{form}", style))
    found = arithmetic_inside(outline, outline.inputs[0].value)
    assert found is not None
    assert (found.factor, found.shift) == (pytest.approx((factor,)), pytest.approx((shift,)))


@pytest.mark.parametrize("form", ENDS)
def test_a_graph_without_arithmetic_has_none(form: str, tmp_path: Path) -> None:
    outline = read_graph(ENDS[form](tmp_path / f"model.{form}", Style()))
    assert arithmetic_inside(outline, outline.inputs[0].value) is None


def preprocess(low: float, high: float) -> Preprocess:
    std = 1 / (high - low)
    return Preprocess(mean=(-low * std,) * 3, std=(std,) * 3)


def test_the_range_of_a_preprocessing() -> None:
    assert value_range(preprocess(-1, 1)) == (-1, 1)
    assert value_range(Preprocess(divisor=1, mean=(0, 0, 0), std=(1, 1, 1))) == (0, 255)


LEVELS_TO_ONES = Normalization(factor=(1 / 127.5,), shift=(-1.0,))
LEVELS_LESS_MEANS = Normalization(shift=(-123.7, -116.8, -103.9))
UNIT = Normalization(factor=(4.0, 4.5, 4.4), shift=(-2.1, -2.0, -1.8))


@pytest.mark.parametrize(
    ("inside", "low", "high"),
    [(LEVELS_TO_ONES, 0, 255), (LEVELS_LESS_MEANS, 0, 255), (UNIT, 0, 1)],
)
def test_values_that_the_arithmetic_is_for_are_taken(inside: Normalization, low: float, high: float) -> None:
    check_not_twice(inside, preprocess(low, high))


@pytest.mark.parametrize(
    ("inside", "low", "high", "expected"),
    [
        (LEVELS_TO_ONES, -1, 1, "0..255"),
        (LEVELS_TO_ONES, 0, 1, "0..255"),
        (LEVELS_LESS_MEANS, -1, 1, "0..255"),
        (UNIT, -1, 1, "0..1"),
        (UNIT, 0, 255, "0..1"),
    ],
)
def test_values_that_are_normalised_twice_or_not_at_all_are_refused(
    inside: Normalization, low: float, high: float, expected: str
) -> None:
    with pytest.raises(UsageError, match=f"add range={expected} to --preprocess"):
        check_not_twice(inside, preprocess(low, high))


def test_the_arithmetic_in_words() -> None:
    assert arithmetic_sentence(Normalization(factor=(2.0, 3.0, 4.0), shift=(-1.0,))) == "value * (2, 3, 4) + -1"
