from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xception.train.recipe import ScheduleSettings
from xception.train.schedule import rate

NAMES = st.sampled_from(["cosine", "linear", "constant"])


def rates(settings: ScheduleSettings, steps_per_epoch: int, epochs: int, peak: float = 1.0) -> list[float]:
    return [rate(settings, peak, step, steps_per_epoch, epochs) for step in range(steps_per_epoch * epochs)]


@given(name=NAMES, warmup=st.floats(0, 3), steps=st.integers(1, 20), epochs=st.integers(4, 8))
def test_the_rate_rises_to_the_peak_and_falls_from_there(name: str, warmup: float, steps: int, epochs: int) -> None:
    values = rates(ScheduleSettings(name=name, warmup_epochs=warmup), steps, epochs)  # type: ignore[arg-type]
    top = values.index(max(values))
    assert max(values) == pytest.approx(1)
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert min(values) > 0


def test_warm_up_is_linear_and_its_last_step_is_the_peak() -> None:
    values = rates(ScheduleSettings(warmup_epochs=1), 4, 3, peak=2)
    assert values[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])


def test_cosine_is_the_formula() -> None:
    assert rates(ScheduleSettings(), 2, 4) == pytest.approx([0.5 * (1 + cos(pi * step / 8)) for step in range(8)])


def test_linear_falls_by_equal_steps_towards_zero() -> None:
    assert rates(ScheduleSettings(name="linear"), 2, 2) == pytest.approx([1, 0.75, 0.5, 0.25])


def test_constant_stays() -> None:
    assert rates(ScheduleSettings(name="constant"), 3, 2, peak=0.3) == [0.3] * 6


def test_a_warm_up_longer_than_the_run_is_a_rise_to_its_end() -> None:
    values = rates(ScheduleSettings(warmup_epochs=10), 2, 2)
    assert values == sorted(values)
    assert values[-1] < 1
