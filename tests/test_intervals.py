from collections.abc import Callable
from fractions import Fraction
from math import comb

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import binomtest, bootstrap
from statsmodels.stats import contingency_tables

from xception.intervals import (
    Interval,
    bootstrap_difference,
    bootstrap_ratio,
    mcnemar,
    non_inferiority,
    paired_difference,
    wilson,
)

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


PAIRS = st.integers(1, 2000).flatmap(
    lambda total: st.integers(0, total).flatmap(
        lambda first: st.tuples(st.just(first), st.integers(0, total - first), st.just(total))
    )
)


@pytest.mark.parametrize("total", [30, 100, 1000, 10_000])
def test_wilsons_interval_covers_the_truth_95_times_in_100(total: int) -> None:
    # Of many models: at one accuracy, the coverage for few images swings with every fraction that they cannot show.
    rng = np.random.default_rng(0)
    truths = rng.uniform(0.5, 0.98, 40_000)
    counts = rng.binomial(total, truths)[:, None]
    assert coverage(counts, lambda count: wilson(count, total), truths) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(
    ("total", "first", "second"), [(100, 0.2, 0.1), (200, 0.1, 0.1), (1000, 0.03, 0.02), (5000, 0.004, 0.006)]
)
def test_the_paired_interval_covers_the_truth_95_times_in_100(total: int, first: float, second: float) -> None:
    counts = drawn_pairs(total, first, second, 40_000)
    covered = coverage(counts, lambda first, second: paired_difference(first, second, total), second - first)
    assert covered == pytest.approx(0.95, abs=0.01)


def test_the_bootstrap_interval_covers_the_truth_95_times_in_100() -> None:
    counts = drawn_pairs(2000, 0.02, 0.02, 1500)
    covered = coverage(counts, lambda first, second: bootstrap_difference(first, second, 2000), 0.0)
    assert covered == pytest.approx(0.95, abs=0.01)


def test_an_interval_of_90_in_100_would_be_noticed() -> None:
    counts = drawn_pairs(200, 0.1, 0.1, 40_000)
    assert coverage(counts, lambda first, second: paired_difference(first, second, 200, 0.9), 0.0) < 0.94


def drawn_pairs(total: int, first: float, second: float, times: int) -> np.ndarray:
    """Images that only the first and only the second model gets right, (times, 2), given the true shares."""
    return np.random.default_rng(0).multinomial(total, [first, second, 1 - first - second], times)[:, :2]


def coverage(
    counts: np.ndarray, interval: Callable[..., Interval | None], truth: float | npt.NDArray[np.float64]
) -> float:
    """In what share of the drawn counts, a row each, the interval holds the truth."""
    rows, inverse = np.unique(counts, axis=0, return_inverse=True)
    found = [interval(*map(int, row)) for row in rows]
    low, high = np.array([(one.low, one.high) for one in found if one])[inverse.ravel()].T
    return float(((low <= truth) & (truth <= high)).mean())


@given(st.integers(0, 600), st.integers(0, 600))
@example(10, 1065)  # 2.7e-300, where statsmodels gives 0
def test_mcnemars_test_is_the_exact_binomial_sum(first_only: int, second_only: int) -> None:
    total = first_only + second_only
    tail = sum(comb(total, count) for count in range(min(first_only, second_only) + 1))
    assert mcnemar(first_only, second_only) == float(min(1, Fraction(2 * tail, 2**total)))


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemars_test_is_statsmodels_far_from_the_smallest_floats(first_only: int, second_only: int) -> None:
    theirs = contingency_tables.mcnemar([[5, first_only], [second_only, 7]], exact=True).pvalue
    assert mcnemar(first_only, second_only) == pytest.approx(theirs, rel=1e-9, abs=0)


def test_mcnemars_test_is_the_binomial_test_by_hand() -> None:
    assert mcnemar(1, 5) == 14 / 64
    assert mcnemar(0, 0) == mcnemar(4, 4) == 1


def test_the_paired_interval_is_the_published_one() -> None:
    # Fagerland, Lydersen & Laake, Statistics in Medicine 33 (2014): airway hyper-responsiveness before and after
    # transplantation, where 1 and 7 of 21 children differ.
    interval = paired_difference(7, 1, 21)
    assert interval
    assert (round(interval.low, 3), round(interval.high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(("first_only", "second_only", "total"), [(7, 1, 21), (3, 9, 500), (0, 4, 60), (40, 41, 300)])
def test_the_bounds_are_where_the_score_test_rejects(first_only: int, second_only: int, total: int) -> None:
    interval = paired_difference(first_only, second_only, total)
    assert interval
    for bound in (interval.low, interval.high):
        share = likeliest_share(bound, first_only, second_only, total)
        error = np.sqrt((2 * share + bound - bound**2) / total)
        assert abs(interval.value - bound) / error == pytest.approx(1.959964, rel=1e-4)


def likeliest_share(difference: float, first_only: int, second_only: int, total: int) -> float:
    """The most probable share of images that only the first gets right, given the true difference."""

    def surprise(share: float) -> float:
        same = total - first_only - second_only
        shares = (share, share + difference, 1 - 2 * share - difference)
        return -sum(xlogy(count, part) for count, part in zip((first_only, second_only, same), shares, strict=True))

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    return float(minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)


@given(PAIRS)
def test_the_paired_interval_encloses_the_difference_and_mirrors_it(counts: tuple[int, int, int]) -> None:
    first_only, second_only, total = counts
    interval, mirrored = paired_difference(*counts), paired_difference(second_only, first_only, total)
    assert interval
    assert mirrored
    assert -1 <= interval.low <= interval.value <= interval.high <= 1
    assert (interval.low, interval.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)


def test_the_bootstrap_is_scipys() -> None:
    differences = np.repeat([-1, 1, 0], [40, 25, 935])
    theirs = bootstrap(
        (differences,), np.mean, n_resamples=5000, batch=500, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap_difference(40, 25, 1000)
    assert ours
    assert ours.value == -0.015
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.0011)
    assert bootstrap_difference(40, 25, 1000) == ours
    others = [bootstrap_difference(400, 250, 10_000, seed=seed) for seed in range(3)]
    assert others[0] != others[1] != others[2]


def test_without_images_there_is_no_difference() -> None:
    assert paired_difference(0, 0, 0) is None
    assert bootstrap_difference(0, 0, 0) is None
    nothing = non_inferiority(0, 0, 0, 0.01)
    assert (nothing.verdict, nothing.images_needed) == ("undecided", None)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((3, 2, 1000), "yes"),
        ((0, 0, 1000), "yes"),
        ((2, 30, 1000), "yes"),
        ((30, 2, 1000), "no"),
        ((12, 5, 1000), "undecided"),
        ((0, 0, 100), "undecided"),
    ],
)
def test_the_verdict_follows_from_the_interval(counts: tuple[int, int, int], verdict: str) -> None:
    assert non_inferiority(*counts, 0.01).verdict == verdict


def test_a_model_at_the_margin_passes_at_most_5_times_in_100() -> None:
    rows, times = np.unique(drawn_pairs(1000, 0.04, 0.03, 20_000), axis=0, return_counts=True)
    passed = [non_inferiority(int(first), int(second), 1000, 0.01).verdict == "yes" for first, second in rows]
    assert 0.015 < times[passed].sum() / times.sum() < 0.05


@pytest.mark.parametrize("counts", [(12, 5, 1000), (0, 0, 100), (1, 0, 60)])
def test_the_needed_number_of_images_decides_and_a_tenth_less_does_not(counts: tuple[int, int, int]) -> None:
    needed = non_inferiority(*counts, 0.01).images_needed
    assert needed
    for images, decided in ((needed, True), (0.9 * needed, False)):
        interval = paired_difference(*(count * images / counts[2] for count in counts))
        assert interval
        assert (interval.low > -0.01 or interval.high < -0.01) is decided


def test_a_loss_of_exactly_the_margin_is_decided_by_no_number_of_images() -> None:
    assert non_inferiority(10, 0, 1000, 0.01).images_needed is None


def test_the_verdict_is_said_in_words() -> None:
    assert non_inferiority(3, 2, 1000, 0.01).sentence() == "within 1 point with 95 % confidence: yes"
    assert non_inferiority(30, 2, 1000, 0.005).sentence() == "within 0.5 points with 95 % confidence: no"
    undecided = non_inferiority(0, 0, 100, 0.01).sentence()
    assert undecided == "within 1 point with 95 % confidence: not enough images (100), need about 381"
    assert non_inferiority(10, 0, 1000, 0.01).sentence().endswith("need far more than can be had")


def test_a_ratio_is_the_geometric_mean_with_the_studentised_bootstraps_interval() -> None:
    interval = bootstrap_ratio([1.1, 1.2, 1.15, 1.12, 1.18])
    assert interval.value == pytest.approx(np.exp(np.log([1.1, 1.2, 1.15, 1.12, 1.18]).mean()))
    assert interval.low < 1.11
    assert interval.high > 1.19
    assert bootstrap_ratio([1.1, 1.2, 1.15, 1.12, 1.18]) == interval
    inverse = bootstrap_ratio([1 / 1.1, 1 / 1.2, 1 / 1.15, 1 / 1.12, 1 / 1.18])
    assert (1 / inverse.high, 1 / inverse.low) == pytest.approx((interval.low, interval.high), rel=0.01)


def test_ratios_that_are_all_alike_leave_no_doubt() -> None:
    interval = bootstrap_ratio([1.25] * 5)
    assert interval.low == pytest.approx(1.25)
    assert interval.high == pytest.approx(1.25)


@pytest.mark.parametrize("ratios", [[1, 1.0000001, 2, 2.0000001], [1, 1, 1, 50], [1e-3, 1e3], [1, 1, 1, 1 + 1e-15]])
def test_measurements_of_which_hardly_two_differ_have_bounds_all_the_same(ratios: list[float]) -> None:
    interval = bootstrap_ratio(ratios)
    assert 0 < interval.low <= interval.value * (1 + 1e-12)
    assert interval.value * (1 - 1e-12) <= interval.high <= 1000 * interval.value * (1 + 1e-12)


@pytest.mark.parametrize("count", [5, 10])
def test_the_interval_of_a_ratio_holds_the_truth_in_19_of_20_cases(count: int) -> None:
    rng = np.random.default_rng(0)
    intervals = [bootstrap_ratio(np.exp(rng.normal(0.1, 0.05, count))) for _ in range(250)]
    held = sum(interval.low <= np.exp(0.1) <= interval.high for interval in intervals)
    assert 0.9 < held / 250 < 0.985
