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


@given(st.lists(st.tuples(st.floats(0.1, 1e6), st.floats(0, 1)), min_size=1, max_size=6))
def test_stages_give_no_more_than_the_slowest_and_no_less_than_in_turn(stages: list[tuple[float, float]]) -> None:
    rates = {str(place): rate for place, (rate, _) in enumerate(stages)}
    most, bottleneck, _ = bound(rates, {str(place): share for place, (_, share) in enumerate(stages)})
    assert most <= min(rates.values()) * (1 + 1e-9)
    assert most * sum(1 / rate for rate in rates.values()) >= 1 - 1e-9
    assert bottleneck in rates


def test_two_equal_stages_of_the_same_cores_halve_the_rate() -> None:
    most, _, by = bound({"decode": 100, "infer": 100}, {"decode": 1, "infer": 1})
    assert (most, by) == (pytest.approx(50), "shared cores")


def test_the_cores_of_a_stage_elsewhere_are_free_for_the_others() -> None:
    device = {"read": 1.0, "preprocess": 1.0, "infer": 0.0}
    assert bound({"read": 900, "preprocess": 300, "infer": 200}, device) == (200, "infer", "slowest stage")
    most, bottleneck, by = bound({"read": 900, "preprocess": 300, "infer": 9000}, device)
    assert (most, bottleneck, by) == (pytest.approx(225), "preprocess", "shared cores")


def test_cores_that_a_stage_leaves_idle_are_used_by_the_others() -> None:
    rates = {"preprocess": 100, "infer": 100, "postprocess": 400}
    assert bound(rates, {"preprocess": 1, "infer": 0.5, "postprocess": 0.25}).images_per_second == pytest.approx(64)
