"""Every schedule beside its source's formula, written out step by step as the source does."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xception.train.schedule import DECAYS, Course, has_stalled, rate
from xception.train.settings import ScheduleSettings

STEPS_PER_EPOCH, EPOCHS, BATCH_SIZE, PEAK = 7, 20, 32, 0.4
TOTAL = STEPS_PER_EPOCH * EPOCHS
COURSE = Course(steps_per_epoch=STEPS_PER_EPOCH, epochs=EPOCHS, batch_size=BATCH_SIZE)
FALLING = st.sampled_from(["cosine", "linear", "poly", "constant"])


def rates(settings: ScheduleSettings, course: Course = COURSE, peak: float = PEAK) -> list[float]:
    return [rate(settings, peak, step, course) for step in range(course.total)]


def mindspore_zoo(mode: str, start: float, end: float, warmup_epochs: int) -> list[float]:
    warmup = warmup_epochs * STEPS_PER_EPOCH
    values = []
    for i in range(TOTAL):
        if mode == "steps":
            values.append(PEAK * 0.1 ** sum(i >= share * TOTAL for share in (0.3, 0.6, 0.8)))
        elif mode == "cosine" and i < warmup:
            values.append(start + (PEAK - start) / warmup * (i + 1))
        elif mode == "cosine":
            length = TOTAL - warmup
            line, wave = (TOTAL - i) / length, 0.5 * (1 + math.cos(math.pi * 2 * 0.47 * i / length))
            values.append(PEAK * (line * wave + 0.00001))
        elif i < warmup:
            values.append(start + (PEAK - start) / warmup * i)
        elif mode == "poly":
            values.append(PEAK * (1 - (i - warmup) / (TOTAL - warmup)) ** 2)
        else:
            values.append(PEAK - (PEAK - end) * (i - warmup) / (TOTAL - warmup))
    return values


def mindcv(warmup_epochs: int, decay_epochs: int) -> list[float]:
    rise = [PEAK * (i / STEPS_PER_EPOCH) / warmup_epochs for i in range(warmup_epochs * STEPS_PER_EPOCH)]
    span = range(decay_epochs * STEPS_PER_EPOCH)
    return rise + [0.5 * PEAK * (1 + math.cos(math.pi * (i / STEPS_PER_EPOCH) / decay_epochs)) for i in span]


def paddle(eta_min: float) -> list[float]:
    return [eta_min + (PEAK - eta_min) * (1 + math.cos(math.pi * i / TOTAL)) / 2 for i in range(TOTAL)]


def timm(warmup_epochs: int, start: float, lowest: float) -> list[float]:
    def of_epoch(t: int) -> float:
        if t < warmup_epochs:
            return start + t * (PEAK - start) / warmup_epochs
        return lowest + 0.5 * (PEAK - lowest) * (1 + math.cos(math.pi * t / EPOCHS))

    return [of_epoch(i // STEPS_PER_EPOCH) for i in range(TOTAL)]


def paper(every_epochs: int, factor: float) -> list[float]:
    return [PEAK * factor ** (i // (every_epochs * STEPS_PER_EPOCH)) for i in range(TOTAL)]


def paper_by_images(every_images: int, factor: float) -> list[float]:
    return [PEAK * factor ** (i * BATCH_SIZE // every_images) for i in range(TOTAL)]


CASES: dict[str, tuple[dict[str, Any], Callable[[], list[float]]]] = {
    "mindspore linear": (
        {"name": "linear", "warmup_epochs": 1, "warmup_from": 4e-5, "end_lr": 4e-5},
        lambda: mindspore_zoo("linear", 4e-5, 4e-5, 1),
    ),
    "mindspore poly": (
        {"name": "poly", "warmup_epochs": 2, "warmup_from": 1e-4},
        lambda: mindspore_zoo("poly", 1e-4, 0, 2),
    ),
    "mindspore cosine": (
        {"name": "mindspore_cosine", "warmup_epochs": 3, "warmup_from": 4e-5},
        lambda: mindspore_zoo("cosine", 4e-5, 0, 3),
    ),
    "mindspore steps": ({"name": "steps"}, lambda: mindspore_zoo("steps", 0, 0, 0)),
    "mindcv": ({"warmup_epochs": 5, "warmup_from": 0}, lambda: mindcv(5, EPOCHS - 5)),
    "paddle": ({"end_lr": 0.01}, lambda: paddle(0.01)),
    "timm": (
        {"warmup_epochs": 4, "warmup_from": 1e-5, "warmup_inside": True, "each_epoch": True, "end_lr": 1e-4},
        lambda: timm(4, 1e-5, 1e-4),
    ),
    "paper": ({"name": "staged", "factor": 0.94, "every_epochs": 2}, lambda: paper(2, 0.94)),
    "paper by images": (
        {"name": "staged", "factor": 0.9, "every_images": 500},
        lambda: paper_by_images(500, 0.9),
    ),
    "plain cosine": (
        {"warmup_epochs": 2},
        lambda: (
            [PEAK * (i + 1) / 14 for i in range(14)]
            + [PEAK * 0.5 * (1 + math.cos(math.pi * i / (TOTAL - 14))) for i in range(TOTAL - 14)]
        ),
    ),
}


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
    assert rate(settings, PEAK, 0, COURSE, losses) == pytest.approx(keras_plateau(losses, patience, 0.5), rel=1e-12)


def test_a_plateau_lowers_the_rate_at_all() -> None:
    settings = ScheduleSettings(name="plateau", patience=2)
    assert rate(settings, 1.0, 0, COURSE, [1.0, 1.0, 1.0]) == pytest.approx(0.1)
    assert rate(settings, 1.0, 0, COURSE, [1.0, 0.9, 0.8]) == 1.0


@given(name=FALLING, warmup=st.floats(0, 3), steps=st.integers(1, 20), epochs=st.integers(4, 8))
def test_the_rate_rises_to_the_peak_and_falls_from_there(name: str, warmup: float, steps: int, epochs: int) -> None:
    course = Course(steps_per_epoch=steps, epochs=epochs, batch_size=1)
    values = rates(ScheduleSettings(name=name, warmup_epochs=warmup), course, 1.0)  # type: ignore[arg-type]
    top = values.index(max(values))
    assert max(values) == pytest.approx(1)
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert min(values) > 0


@pytest.mark.parametrize("name", DECAYS)
def test_every_schedule_has_a_rate_for_every_step_of_a_run_that_is_all_warm_up(name: str) -> None:
    staged = {"every_epochs": 1.0} if name == "staged" else {}
    values = rates(ScheduleSettings(name=name, warmup_epochs=100, **staged))  # type: ignore[arg-type]
    assert values == sorted(values)
    assert 0 < values[-1] < PEAK


def test_a_run_has_stalled_when_no_loss_of_late_is_lower_than_one_before() -> None:
    assert not has_stalled([3.0, 2.0, 2.5], 2)
    assert has_stalled([3.0, 2.0, 2.5, 2.0], 2)
    assert not has_stalled([3.0, 2.0, 2.5, 1.9], 2)
    assert not has_stalled([1.0, 2.0], 2)
    assert not has_stalled([], 1)
