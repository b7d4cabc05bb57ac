import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from xception.statistics import wilson

COUNTS = st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(COUNTS, st.floats(0.5, 0.999))
def test_bounds_enclose_the_value_within_zero_and_one(counts: tuple[int, int], confidence: float) -> None:
    interval = wilson(*counts, confidence)
    assert interval
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.value == counts[0] / counts[1]


@given(COUNTS)
def test_hits_and_misses_have_mirrored_intervals(counts: tuple[int, int]) -> None:
    successes, total = counts
    hits, misses = wilson(successes, total), wilson(total - successes, total)
    assert hits
    assert misses
    assert (hits.low, hits.high) == pytest.approx((1 - misses.high, 1 - misses.low))


@pytest.mark.parametrize(("successes", "total"), [(0, 5), (5, 5), (7, 10), (812, 1000), (1, 100_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_is_scipys(successes: int, total: int, confidence: float) -> None:
    theirs = binomtest(successes, total).proportion_ci(confidence, method="wilson")
    ours = wilson(successes, total, confidence)
    assert ours
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_interval_is_the_textbooks() -> None:
    interval = wilson(81, 263)
    assert interval
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)


def test_more_observations_narrow_the_interval() -> None:
    few, many = wilson(8, 10), wilson(800, 1000)
    assert few
    assert many
    assert many.high - many.low < few.high - few.low


def test_without_observations_there_is_no_interval() -> None:
    assert wilson(0, 0) is None
