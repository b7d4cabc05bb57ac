"""Intervals, tests and verdicts: how far a figure measured on a sample can be trusted.

For two models on the same images, `first_only` and `second_only` count the images that only one of them classified
rightly; a difference is always the second's accuracy less the first's.
"""

from collections.abc import Callable, Sequence
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 10_000
MAX_FOLD = 1000
MAX_IMAGES = 10**9
"""Number of images at which the search for a sufficient one ends."""


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fraction in [0, 1], a difference of two in [-1, 1] or a ratio, with the bounds of its confidence interval."""

    value: float
    low: float
    high: float


def points_text(fraction: float) -> str:
    """A share of accuracy in percentage points."""
    value = f"{100 * fraction:g}"
    return f"{value} point" if value == "1" else f"{value} points"


class NonInferiority(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on whether the second of two models loses less than a margin. Fractions, at 95 % confidence."""

    verdict: Literal["yes", "no", "undecided"]
    margin: float
    images: int
    images_needed: int | None
    """Approximate number of images that would decide it if they went on like these; None if it is decided, or if no
    number would."""

    def sentence(self) -> str:
        """The verdict in words, with percentages."""
        asked = f"within {points_text(self.margin)} with 95 % confidence"
        if self.verdict != "undecided":
            return f"{asked}: {self.verdict}"
        needed = f"about {self.images_needed:,}" if self.images_needed else "far more than can be had"
        return f"{asked}: not enough images ({self.images:,}), need {needed}"


def wilson(successes: int, total: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Wilson's score interval of a proportion (Wilson 1927); None without observations."""
    if total == 0:
        return None
    z = _quantile(confidence)
    p = successes / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    # Rounding must not push a bound past the observed value or out of [0, 1].
    return Interval(value=p, low=max(0.0, min(p, centre - half)), high=min(1.0, max(p, centre + half)))


def mcnemar(first_only: int, second_only: int) -> float:
    """The exact two-sided p-value of two equally accurate models differing so (McNemar 1947, binomial form)."""
    total = first_only + second_only
    term = tail = 1
    for count in range(min(first_only, second_only)):
        term = term * (total - count) // (count + 1)
        tail += term
    # Whole numbers of any length, so that no rounding enters before this division.
    return min(1.0, float(2 * tail / 2**total))


def paired_difference(
    first_only: float, second_only: float, total: float, confidence: float = CONFIDENCE
) -> Interval | None:
    """Tango's score interval of the difference of two accuracies on the same images; None without images.

    T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design, Statistics in Medicine 17 (1998). It holds for few images and for none on which the models differ.
    Counts need not be whole, so that a larger sample of the same kind can be asked about.
    """
    if total == 0:
        return None
    z = _quantile(confidence)
    value = (second_only - first_only) / total

    def score(difference: float) -> float:
        return _tango(difference, first_only, second_only, total)

    low, high = _crossing(score, -1.0, value, z), _crossing(score, value, 1.0, -z)
    return Interval(value=value, low=low, high=high)


def bootstrap_difference(
    first_only: int, second_only: int, total: int, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval | None:
    """The percentile interval of the same difference by resampling images (Efron 1979); None without images.

    Drawing images with replacement makes the three counts multinomial, so they are what is drawn.
    """
    if total == 0:
        return None
    rng = np.random.Generator(np.random.PCG64(seed))
    shares = np.array([first_only, second_only, total - first_only - second_only]) / total
    drawn = rng.multinomial(total, shares, RESAMPLES)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / total, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value=(second_only - first_only) / total, low=float(low), high=float(high))


def bootstrap_ratio(ratios: Sequence[float], confidence: float = CONFIDENCE, seed: int = 0) -> Interval:
    """The geometric mean of at least two measurements of one ratio, with its bootstrap-t interval (Efron 1981).

    Of five measurements the interval holds the truth in 94 % of all cases; the percentile interval does in 83 %.
    Bounds farther than `MAX_FOLD` from the mean are cut there: they only say that nothing is known.
    """
    logs = np.log(ratios)
    mean, error = logs.mean(), _standard_error(logs)
    drawn = np.random.Generator(np.random.PCG64(seed)).choice(logs, (RESAMPLES, len(logs)))
    errors = _standard_error(drawn)
    # A resample that repeats one measurement knows no spread; what is left by rounding is none either.
    spread = errors > 1e-9 * error
    scores = (drawn[spread].mean(axis=-1) - mean) / errors[spread]
    bounds = np.quantile(scores, [(1 + confidence) / 2, (1 - confidence) / 2]) * error if spread.any() else np.zeros(2)
    low, high = mean - np.clip(bounds, -log(MAX_FOLD), log(MAX_FOLD))
    return Interval(value=exp(mean), low=exp(low), high=exp(high))


def non_inferiority(first_only: int, second_only: int, total: int, margin: float) -> NonInferiority:
    """Judge whether the second model's accuracy is less than `margin` below the first's.

    Yes if all of the 95 % interval of the difference lies above `-margin`, no if all of it lies below.
    """
    verdict = _verdict(first_only, second_only, total, margin)
    needed = _images_needed(first_only, second_only, total, margin) if verdict == "undecided" and total else None
    return NonInferiority(verdict=verdict, margin=margin, images=total, images_needed=needed)


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _standard_error(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error of the mean, over the last axis."""
    return np.asarray(samples.std(axis=-1, ddof=1) / sqrt(samples.shape[-1]))


def _tango(difference: float, first_only: float, second_only: float, total: float) -> float:
    """Tango's score: the observed minus the given difference, in standard errors under the given difference."""
    b = (2 * total + first_only - second_only) * difference - first_only - second_only
    c = -first_only * difference * (1 - difference)
    # The likeliest share of `first_only` under the given difference.
    share = (sqrt(max(0.0, b * b - 8 * total * c)) - b) / (4 * total)
    variance = total * (2 * share + difference * (1 - difference))
    excess = second_only - first_only - total * difference
    if variance <= 0:
        return 0.0 if excess == 0 else excess * float("inf")
    return excess / sqrt(variance)


def _crossing(falling: Callable[[float], float], low: float, high: float, level: float) -> float:
    """The place where a falling function passes a level between two bounds, by bisection to the last bit."""
    for _ in range(64):
        middle = (low + high) / 2
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _verdict(first_only: float, second_only: float, total: float, margin: float) -> Literal["yes", "no", "undecided"]:
    interval = paired_difference(first_only, second_only, total)
    if interval is None:
        return "undecided"
    return "yes" if interval.low > -margin else "no" if interval.high < -margin else "undecided"


def _images_needed(first_only: int, second_only: int, total: int, margin: float) -> int | None:
    """The least number of images, with the same shares, that leaves nothing undecided."""

    def decides(images: int) -> bool:
        scale = images / total
        return _verdict(first_only * scale, second_only * scale, images, margin) != "undecided"

    few, many = total, 2 * total
    while not decides(many):
        few, many = many, 2 * many
        if many > MAX_IMAGES:
            return None
    while many - few > max(1, few // 1000):
        middle = (few + many) // 2
        few, many = (few, middle) if decides(middle) else (middle, many)
    return many
