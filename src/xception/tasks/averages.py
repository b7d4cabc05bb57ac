"""Precision, recall and F1 over all classes, with intervals."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.intervals import CONFIDENCE, Interval
from xception.tasks.evaluation import ClassAverages

MATRICES = 1000
"""Matrices that are drawn."""

MATRICES_AT_ONCE = 50

CellCounts = NDArray[np.integer[Any]]


def averages(confusion: CellCounts, seed: int = 0) -> tuple[ClassAverages, ClassAverages] | None:
    """The means of the classes, each class counting the same and weighted by its images; None without images.

    A figure that no image decides counts as zero, and classes that have no images and were never predicted do not
    count, as in scikit-learn. The percentile intervals are of images drawn with replacement (Efron 1979), which makes
    the cells of the matrix multinomial.

    Args:
        confusion: (K, K) counts, row = true class.
        seed: of the resamples.
    """
    true, predicted = np.nonzero(confusion)
    counts = confusion[true, predicted]
    total = int(counts.sum())
    if not total:
        return None
    rng = np.random.Generator(np.random.PCG64(seed))
    figures = _Figures(true, predicted, len(confusion))
    drawn = [figures(rng.multinomial(total, counts / total, size)) for size in _sizes()]
    values, resampled = figures(counts[None])[0], np.concatenate(drawn)
    bounds = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    rows = [
        [Interval(value=float(value), low=float(low), high=float(high)) for value, low, high in zip(*kind, strict=True)]
        for kind in zip(values, *bounds, strict=True)
    ]
    macro, weighted = (ClassAverages(precision=row[0], recall=row[1], f1=row[2]) for row in rows)
    return macro, weighted


def _sizes() -> list[int]:
    return [MATRICES_AT_ONCE] * (MATRICES // MATRICES_AT_ONCE)


class _Figures:
    """The averages of many matrices that have counts in the same cells."""

    def __init__(self, true: CellCounts, predicted: CellCounts, classes: int) -> None:
        self._true, self._predicted, self._classes = true, predicted, classes

    def __call__(self, counts: CellCounts) -> NDArray[np.float64]:
        """(S, 2, 3) of the (S, C) counts of C cells: macro and weighted precision, recall and F1."""
        own, taken = self._sums(counts, self._true), self._sums(counts, self._predicted)
        right = self._sums(counts * (self._true == self._predicted), self._true)
        scores = np.stack([_ratio(right, taken), _ratio(right, own), _ratio(2 * right, taken + own)], axis=1)
        weights = np.stack([(own + taken > 0).astype(np.float64), own.astype(np.float64)], axis=1)
        sums = np.einsum("swk,sfk->swf", weights, scores)
        return np.asarray(sums / weights.sum(axis=2)[..., None])

    def _sums(self, counts: CellCounts, classes: CellCounts) -> CellCounts:
        """(S, K) sums of the cells of each class."""
        offsets = np.arange(len(counts))[:, None] * self._classes
        flat = np.bincount((offsets + classes).ravel(), counts.ravel(), len(counts) * self._classes)
        return flat.astype(np.int64).reshape(len(counts), self._classes)


def _ratio(part: CellCounts, whole: CellCounts) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
