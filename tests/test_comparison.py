"""The judge of parity can say no."""

from math import inf, nan

import numpy as np
import pytest

from parity import cases
from parity.comparison import Comparison, worst_by_kind
from parity.ours import relative_difference
from xception.arch.variants import VARIANTS

MINI = next(case for case in cases.CASES if case.variant == "mini_xception")


def compared(**results: object) -> Comparison:
    return Comparison(case=MINI, **{"files": {"model.h5": ""}, **results})


def test_nothing_compared_is_not_a_pass() -> None:
    assert not compared().passed


def test_small_differences_pass() -> None:
    assert compared(sizes={"float32": {61: 9e-6}, "float64": {61: 9e-13}}, training={"loss": 0.0}).passed


@pytest.mark.parametrize(
    "results",
    [
        {"sizes": {"float32": {61: 1e-7, 64: 2e-5}}},
        {"sizes": {"float32": {61: 1e-7}, "float64": {61: 1e-7}}},
        {"sizes": {"float32": {61: 1e-7}}, "strides": {16: 1e-7}},
        {"sizes": {"float32": {61: 1e-7}}, "training": {"gradients": 1e-7}},
        {"sizes": {"float32": {61: inf}}},
        {"sizes": {"float32": {61: 1e-7}}, "files": {"model.h5": "fc.bias came back changed"}},
        {"sizes": {"float32": {61: 1e-7}}, "files": {}},
        {"sizes": {"float32": {61: 1e-7}}, "problem": "failed: something"},
    ],
)
def test_one_large_difference_or_a_problem_fails_the_case(results: dict[str, object]) -> None:
    assert not compared(**results).passed


@pytest.mark.parametrize("broken", [nan, inf])
def test_numbers_that_are_none_differ_infinitely(broken: float) -> None:
    assert relative_difference(np.array([1.0, broken]), np.ones(2)) == inf
    assert relative_difference(np.ones(2), np.array([1.0, broken])) == inf


@pytest.mark.parametrize("key", ["loss", "gradients/fc.weight", "running/bn1.running_mean"])
def test_a_training_step_that_differs_in_one_number_shows(key: str) -> None:
    theirs = {"loss": np.array(2.0), "gradients/fc.weight": np.ones(3), "running/bn1.running_mean": np.ones(3)}
    assert set(worst_by_kind(theirs, theirs).values()) == {0.0}
    ours = {name: value + (name == key) * 1e-6 for name, value in theirs.items()}
    assert worst_by_kind(ours, theirs)[key.partition("/")[0]] > 1e-7


def test_gradients_that_are_zero_by_theory_are_not_compared() -> None:
    theirs = {"gradients/a": np.ones(3), "gradients/b": np.full(3, 1e-18)}
    ours = {"gradients/a": np.ones(3), "gradients/b": np.full(3, -1e-18)}
    assert worst_by_kind(ours, theirs) == {"gradients": 0.0}


def test_every_variant_is_compared_at_odd_and_even_sizes() -> None:
    assert {case.variant for case in cases.CASES} == set(VARIANTS)
    assert all({px % 2 for px in (*case.golden_px, *case.px)} == {0, 1} for case in cases.CASES)
