"""Figures of multi-label answers with bootstrap intervals: whole images are drawn with replacement (Efron 1979)."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xception.intervals import CONFIDENCE, Interval
from xception.tasks.evaluation import ClassAverages

MAX_RESAMPLES, MIN_RESAMPLES = 1000, 100

MAX_DRAWN_CELLS = 200_000_000
"""Cells, images times classes times resamples, above which fewer resamples are drawn."""

RESAMPLES_AT_ONCE = 20

Average = Literal["micro", "macro", "weighted"]
Area = Literal["average_precision", "roc_auc"]

AVERAGES: tuple[Average, ...] = ("micro", "macro", "weighted")
CURVE_AREAS: tuple[Area, ...] = ("average_precision", "roc_auc")

Weights = NDArray[np.float64]


class ResampledSets:
    """The figures of all images, and of resamples of them.

    Args:
        scores: probabilities, (N, K).
        has: true for each class that an image has, (N, K).
        taken: true for each class that it is taken to have, (N, K).
        seed: of the resamples.
    """

    def __init__(
        self, scores: NDArray[np.float64], has: NDArray[np.bool_], taken: NDArray[np.bool_], seed: int = 0
    ) -> None:
        self._sets = [sets.astype(np.float64) for sets in (has & taken, has, taken)]
        self._ranks = [_Ranks(scores[:, place], has[:, place]) for place in range(has.shape[1])]
        rng, images = np.random.Generator(np.random.PCG64(seed)), len(has)
        count = min(MAX_RESAMPLES, max(MIN_RESAMPLES, MAX_DRAWN_CELLS // has.size))
        whole = np.ones((1, images))
        blocks = [
            np.stack([_drawn(rng, images) for _ in range(size)])
            for size in np.diff([*range(0, count, RESAMPLES_AT_ONCE), count])
        ]
        self._averages = np.concatenate([self._averaged(weights) for weights in (whole, *blocks)])
        self._areas = np.concatenate([self._areas_of(weights) for weights in (whole, *blocks)])

    def averages(self, kind: Average) -> ClassAverages:
        """Precision, recall and F1 over all classes."""
        rows = self._averages[:, AVERAGES.index(kind)]
        precision, recall, f1 = (_interval(rows[:, place]) for place in range(3))
        if precision is None or recall is None or f1 is None:  # never: 0 / 0 counts as zero
            raise ValueError("an average is not a number")
        return ClassAverages(precision=precision, recall=recall, f1=f1)

    def mean_of(self, area: Area) -> Interval | None:
        """The mean of an area over the classes that have it; None without any."""
        rows = self._areas[:, CURVE_AREAS.index(area)]
        known = ~np.isnan(rows)
        counts = known.sum(axis=1)
        sums = np.where(known, rows, 0).sum(axis=1)
        return _interval(np.divide(sums, counts, out=np.full(len(rows), np.nan), where=counts > 0))

    def of_class(self, area: Area, place: int) -> Interval | None:
        """An area of one class; None without images of both kinds."""
        return _interval(self._areas[:, CURVE_AREAS.index(area), place])

    def _averaged(self, weights: Weights) -> NDArray[np.float64]:
        """(S, 3, 3) of the weights (S, N) of images: micro, macro and weighted precision, recall and F1."""
        right, own, taken = (weights @ sets for sets in self._sets)
        pairs = (right, taken), (right, own), (2 * right, own + taken)
        scores = np.stack([_ratio(part, whole) for part, whole in pairs], axis=1)
        micro = np.stack([_ratio(part.sum(axis=1), whole.sum(axis=1)) for part, whole in pairs], axis=1)
        counted = np.stack([(own + taken > 0).astype(np.float64), own], axis=1)
        sums = np.einsum("swk,sfk->swf", counted, scores)
        means = _ratio(sums, np.broadcast_to(counted.sum(axis=2)[..., None], sums.shape))
        return np.concatenate([micro[:, None], means], axis=1)

    def _areas_of(self, weights: Weights) -> NDArray[np.float64]:
        """(S, 2, K) of the weights (S, N) of images: average precision and ROC-AUC of each class; NaN without both
        kinds."""
        return np.stack([ranks.areas(weights) for ranks in self._ranks], axis=2)


class _Ranks:
    """The images in the order of one class's scores, the highest first."""

    def __init__(self, scores: NDArray[np.float64], is_own: NDArray[np.bool_]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._last = np.flatnonzero(np.append(np.diff(scores[self._order]) != 0, True))
        self._own = is_own[self._order].astype(np.float64)

    def areas(self, weights: Weights) -> NDArray[np.float64]:
        """(S, 2) of the weights (S, N); see `RankedScores` for the two figures."""
        drawn = weights[:, self._order]
        everything = drawn.cumsum(axis=1)[:, self._last]
        own = (drawn * self._own).cumsum(axis=1)[:, self._last]
        others = everything - own
        gained = np.diff(own, prepend=0)
        precision = (gained * _ratio(own, everything)).sum(axis=1)
        twice = (np.diff(others, prepend=0) * (2 * own - gained)).sum(axis=1)
        has_both = (own[:, -1] > 0) & (others[:, -1] > 0)
        found = np.stack([_ratio(precision, own[:, -1]), _ratio(twice, 2 * own[:, -1] * others[:, -1])], axis=1)
        return np.where(has_both[:, None], found, np.nan)


def _drawn(rng: np.random.Generator, images: int) -> Weights:
    """The number of times that each of `count` images is drawn, in as many draws with replacement."""
    return np.bincount(rng.integers(images, size=images), minlength=images).astype(np.float64)


def _interval(values: NDArray[np.float64]) -> Interval | None:
    """The first value, which is that of all images, with the percentile interval of the others; None if it is none."""
    if np.isnan(values[0]):
        return None
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn if len(drawn) else values[:1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value=float(values[0]), low=float(low), high=float(high))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0))
