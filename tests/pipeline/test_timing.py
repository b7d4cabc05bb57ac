from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.speed.clocks import HandClock
from xception.pipeline.timing import alternated, bound, interleaved, latency, rate, timed


def test_work_is_timed_by_the_clock_it_is_given() -> None:
    clock = HandClock()
    done = timed(lambda: clock.move(3) or "result", clock)
    assert (done.seconds, done.result) == (3, "result")


def test_all_work_takes_turns_and_the_warm_up_does_not_count() -> None:
    clock, order = HandClock(), list[str]()

    def work(name: str, seconds: float) -> int:
        order.append(name)
        clock.move(seconds * len(order))
        return len(order)

    pieces, rounds = {"a": lambda: work("a", 1), "b": lambda: work("b", 10)}, list[int]()
    times = interleaved(pieces, warmup=1, repeats=2, clock=clock, after_round=lambda: rounds.append(len(order)))
    assert order == ["a", "b"] * 3
    assert rounds == [2, 4, 6]
    assert [(one.seconds, one.result) for one in times["a"]] == [(3, 3), (5, 5)]
    assert [(one.seconds, one.result) for one in times["b"]] == [(40, 4), (60, 6)]


def test_two_alternate_so_that_a_steady_drift_favours_neither() -> None:
    clock, order = HandClock(), list[str]()

    def contestant(name: str) -> Callable[[], object]:
        clock.move(1000)  # preparing, which is not timed

        def work() -> None:
            order.append(name)
            clock.move(1 + len(order))

        return work

    pairs = alternated(lambda: contestant("a"), lambda: contestant("b"), repeats=3, clock=clock)
    assert "".join(order) == "abba" * 3
    assert pairs == [(7, 7), (15, 15), (23, 23)]


def test_a_rate_is_the_median_with_extremes_and_quartiles() -> None:
    measured = rate([1.0, 2.0, 4.0, 8.0, 16.0], 16)
    assert (measured.low, measured.lower_quartile, measured.images_per_second) == (1, 2, 4)
    assert (measured.upper_quartile, measured.high) == (8, 16)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=9), st.integers(1, 1000))
def test_the_figures_of_a_rate_are_in_order(seconds: list[float], images: int) -> None:
    measured = rate(seconds, images)
    ordered = [
        measured.low, measured.lower_quartile, measured.images_per_second, measured.upper_quartile, measured.high
    ]  # fmt: skip
    assert all(low <= high * (1 + 1e-12) for low, high in pairwise(ordered))


def test_percentiles_are_times_that_occurred() -> None:
    times = latency([index / 1000 for index in range(1, 101)])
    assert (times.p50, times.p90, times.p99, times.samples) == (50, 90, 99, 100)
    assert latency([0.002]).p99 == 2


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=6))
def test_the_bound_is_below_the_slowest_stage(rates: list[float]) -> None:
    assert bound(rates) <= min(rates) * (1 + 1e-9)
    assert bound(rates) * len(rates) >= min(rates) * (1 - 1e-9)


def test_two_equal_stages_halve_the_rate() -> None:
    assert bound([100, 100]) == pytest.approx(50)
