"""Ranges of activations: a tensor's histogram, and the bounds at which each method clips it.

A range is (low, high) in the tensor's own units and always holds zero, so that zero has an integer of its own.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xception.errors import CheckFailed

Range = tuple[float, float]
RangeMethod = Literal["max", "percentile-99.9", "percentile-99.99", "percentile-99.999", "entropy", "mse"]

LEVELS = 256
"""Integers of eight bits."""

BINS_PER_SIDE = 4096
"""Bins on either side of zero: at least 16 to each of the 256 levels, whatever the values' order."""

SHARES_OF_RANGE = np.geomspace(1, 1 / 32, 81)
"""Shares of the full range that a search tries."""


class Histogram:
    """Counts of a tensor's values in equal bins on both sides of zero, kept while the values stream by."""

    def __init__(self) -> None:
        self.counts = np.zeros(2 * BINS_PER_SIDE, np.int64)
        self.limit = 0.0
        self.low = self.high = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values of any shape.

        Raises:
            CheckFailed: a value is not a number, or without bounds.
        """
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise CheckFailed("an activation of the model is not a finite number; convert or train it again")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(self.high, -self.low))
        scaled = (
            values.ravel() * np.float32(BINS_PER_SIDE / self.limit) if self.limit else np.zeros(values.size, np.float32)
        )
        index = np.floor(scaled).astype(np.int32) + BINS_PER_SIDE
        self.counts += np.bincount(index.clip(0, 2 * BINS_PER_SIDE - 1), minlength=2 * BINS_PER_SIDE)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The value that stands for each bin; zero stands for its own, since it is what a ReLU leaves most."""
        centres = np.asarray(
            (np.arange(-BINS_PER_SIDE, BINS_PER_SIDE) + 0.5) * (self.limit / BINS_PER_SIDE), np.float64
        )
        centres[BINS_PER_SIDE] = 0.0
        return centres

    def _widen(self, largest: float) -> None:
        """Let bins reach up to `largest`; merging pairs of them keeps every count exact."""
        if not self.limit:
            # Values at zero so far lie in the bin of zero already, whatever its width.
            self.limit = largest
        while self.limit < largest:
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.pad(merged, BINS_PER_SIDE // 2)
            self.limit *= 2


def symmetric(bounds: Range) -> Range:
    """The range about zero that holds the given one, as signed integers with the zero point 0 have it."""
    largest = max(-bounds[0], bounds[1])
    return -largest, largest


def squared_error(histogram: Histogram, bounds: Range) -> float:
    """Mean squared difference between the values and what eight bits over this range make of them."""
    low, high = bounds
    scale = (high - low) / (LEVELS - 1)
    if not scale:
        return 0.0
    used = np.flatnonzero(histogram.counts)
    counts, values = histogram.counts[used], histogram.centres[used]
    zero = np.rint(-low / scale)
    restored = ((np.rint(values / scale) + zero).clip(0, LEVELS - 1) - zero) * scale
    return float((counts * (values - restored) ** 2).sum() / counts.sum())


def divergence(histogram: Histogram, bounds: Range) -> float:
    """Kullback-Leibler divergence of the values, clipped to the range, from their 256 levels (Migacz 2017).

    Exact zeros are left out: every range represents them, and after a ReLU they would outweigh all else.
    """
    low, high = bounds
    counts, centres = histogram.counts.astype(np.float64), histogram.centres
    counts[BINS_PER_SIDE] = 0
    first, last = np.searchsorted(centres, (low, high))
    inside = counts[first : last + 1]
    if not inside.any():
        return np.inf
    clipped = inside.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last + 1 :].sum()
    level = np.arange(len(inside)) * LEVELS // len(inside)
    sums, occupied = (np.bincount(level, weights=weights) for weights in (inside, inside > 0))
    coarse = np.where(inside > 0, sums[level] / np.maximum(occupied[level], 1), 0)
    p, q = clipped / clipped.sum(), coarse / coarse.sum()
    held = p > 0
    return float((p[held] * np.log(p[held] / np.maximum(q[held], np.finfo(np.float64).tiny))).sum())


def _full(histogram: Histogram) -> Range:
    return histogram.low, histogram.high


def _percentile(histogram: Histogram, percent: float) -> Range:
    """The part of the full range that is no further from zero than `percent` of the values are."""
    magnitudes = histogram.counts[BINS_PER_SIDE:] + histogram.counts[:BINS_PER_SIDE][::-1]
    reached = np.searchsorted(np.cumsum(magnitudes), magnitudes.sum() * percent / 100)
    bound = float(reached + 1) * histogram.limit / BINS_PER_SIDE
    return max(histogram.low, -bound), min(histogram.high, bound)


def _least(histogram: Histogram, score: Callable[[Histogram, Range], float]) -> Range:
    """The shrunken full range with the least score."""
    largest = max(-histogram.low, histogram.high)
    candidates = [
        (max(histogram.low, -bound), min(histogram.high, bound)) for bound in (largest * SHARES_OF_RANGE).tolist()
    ]
    return min(candidates, key=lambda bounds: score(histogram, bounds))


RANGES: Mapping[RangeMethod, Callable[[Histogram], Range]] = {
    "max": _full,
    "percentile-99.999": partial(_percentile, percent=99.999),
    "percentile-99.99": partial(_percentile, percent=99.99),
    "percentile-99.9": partial(_percentile, percent=99.9),
    "entropy": partial(_least, score=divergence),
    "mse": partial(_least, score=squared_error),
}
"""Functions that choose a range from a tensor's histogram."""
