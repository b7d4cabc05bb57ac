"""Intervals for what was measured on a sample."""

from math import sqrt
from statistics import NormalDist

import msgspec


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fraction in [0, 1] with the bounds of its confidence interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, total: int, confidence: float = 0.95) -> Interval | None:
    """Wilson's score interval of a proportion (Wilson 1927); None without observations."""
    if total == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    # Rounding must not push a bound past the observed value or out of [0, 1].
    return Interval(value=p, low=max(0.0, min(p, centre - half)), high=min(1.0, max(p, centre + half)))
