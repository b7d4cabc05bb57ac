"""Every schedule compared with its source's formula."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.formulas import CASES, COURSE, PEAK, TOTAL
from xception.train.schedule import SCHEDULES, Course, LearningRate, has_stalled
from xception.train.settings import ScheduleSettings

FALLING = st.sampled_from(["cosine", "linear", "poly", "constant"])


def rates(settings: ScheduleSettings, course: Course = COURSE, peak: float = PEAK) -> list[float]:
    learning_rate = LearningRate(settings, peak, course)
    return [learning_rate(step) for step in range(course.total_steps)]


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_is_its_sources_formula_at_every_step(name: str) -> None:
    settings, formula = CASES[name]
    expected = formula()
    assert len(expected) == TOTAL
    assert rates(ScheduleSettings(**settings)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_formulas_are_told_apart() -> None:
    made = [rates(ScheduleSettings(**settings)) for settings, _ in CASES.values()]
    for index, first in enumerate(made):
        for second in made[index + 1 :]:
            assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 1e-3


def keras_plateau(losses: list[float], patience: int, factor: float) -> float:
    """Keras' callback, epoch by epoch."""
    best, wait, lr = float("inf"), 0, PEAK
    for loss in losses:
        if loss < best - 1e-4:
            best, wait = loss, 0
            continue
        wait += 1
        if wait >= patience:
            lr, wait = lr * factor, 0
    return lr


@given(losses=st.lists(st.sampled_from([1.0, 0.9, 0.89995, 0.8, 1.5]), max_size=30), patience=st.integers(1, 5))
def test_a_plateau_lowers_the_rate_as_keras_does(losses: list[float], patience: int) -> None:
    settings = ScheduleSettings(name="plateau", patience=patience, factor=0.5)
    assert LearningRate(settings, PEAK, COURSE)(0, losses) == pytest.approx(
        keras_plateau(losses, patience, 0.5), rel=1e-12
    )


def test_a_plateau_lowers_the_rate_at_all() -> None:
    settings = ScheduleSettings(name="plateau", patience=2)
    assert LearningRate(settings, 1.0, COURSE)(0, [1.0, 1.0, 1.0]) == pytest.approx(0.1)
    assert LearningRate(settings, 1.0, COURSE)(0, [1.0, 0.9, 0.8]) == 1.0


@given(name=FALLING, warmup=st.floats(0, 3), steps=st.integers(1, 20), epochs=st.integers(4, 8))
def test_the_rate_rises_to_the_peak_and_falls_from_there(name: str, warmup: float, steps: int, epochs: int) -> None:
    course = Course(steps_per_epoch=steps, epochs=epochs, batch_size=1)
    values = rates(ScheduleSettings(name=name, warmup_epochs=warmup), course, 1.0)
    top = values.index(max(values))
    assert max(values) == pytest.approx(1)
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert min(values) > 0


def test_the_names_of_the_settings_are_those_of_the_table() -> None:
    (names,) = [field.type for field in msgspec.structs.fields(ScheduleSettings) if field.name == "name"]
    assert get_args(names) == tuple(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_has_a_rate_for_every_step_of_a_run_that_is_all_warm_up(name: str) -> None:
    staged = {"every_epochs": 1.0} if name == "staged" else {}
    values = rates(ScheduleSettings(name=name, warmup_epochs=100, **staged))
    assert values == sorted(values)
    assert 0 < values[-1] < PEAK


def test_a_run_has_stalled_when_no_epoch_of_late_is_better_than_one_before() -> None:
    assert not has_stalled([(-3.0,), (-2.0,), (-2.5,)], 2)
    assert has_stalled([(-3.0,), (-2.0,), (-2.5,), (-2.0,)], 2)
    assert not has_stalled([(-3.0,), (-2.0,), (-2.5,), (-1.9,)], 2)
    assert not has_stalled([(-1.0,), (-2.0,)], 2)
    assert not has_stalled([], 1)
