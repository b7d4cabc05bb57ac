"""Timing of work, and figures from the times."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

Clock = Callable[[], float]
"""Seconds since any moment; for tests, one that they move by hand."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Images per second: the median over the rounds, the slowest and the fastest, and the quartiles between."""

    images_per_second: float
    low: float
    high: float
    lower_quartile: float
    upper_quartile: float


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds: the median, and what 90 % and 99 % of `samples` do not exceed."""

    p50: float
    p90: float
    p99: float
    samples: int


@dataclass(frozen=True)
class Timed:
    """The duration of a piece of work, and its result."""

    seconds: float
    result: Any


Rounds = dict[str, list[Timed]]
"""Times of the rounds, in their order, by the name of the work."""


def interleaved(
    work: Mapping[str, Callable[[], object]],
    *,
    warmup: int,
    repeats: int,
    clock: Clock = perf_counter,
    after_round: Callable[[], object] = lambda: None,
) -> Rounds:
    """Time every piece of work in turn, round by round, so that a drifting machine hits all of them alike.

    Only the last `repeats` rounds are returned.
    """
    rounds = []
    for _ in range(warmup + repeats):
        rounds.append({name: timed(do, clock) for name, do in work.items()})
        after_round()
    return {name: [one[name] for one in rounds[warmup:]] for name in work}


def timed(do: Callable[[], object], clock: Clock = perf_counter) -> Timed:
    """Do it once."""
    start = clock()
    result = do()
    return Timed(clock() - start, result)


def alternated(
    first: Callable[[], Callable[[], object]],
    second: Callable[[], Callable[[], object]],
    *,
    repeats: int,
    clock: Clock = perf_counter,
) -> list[tuple[float, float]]:
    """Seconds of both, `repeats` pairs, each of two turns of one and two of the other in the order 1 2 2 1.

    A machine that becomes faster or slower at an even pace so favours neither. Both functions prepare a turn, which
    is not timed, and return what is.
    """
    pairs = []
    for _ in range(repeats):
        turns = [timed(prepare(), clock).seconds for prepare in (first, second, second, first)]
        pairs.append((turns[0] + turns[3], turns[1] + turns[2]))
    return pairs


def rate(seconds: Sequence[float], images: int) -> Rate:
    """The rate of rounds of `images` images each."""
    fastest, upper, middle, lower, slowest = np.quantile(seconds, (0, 0.25, 0.5, 0.75, 1)).tolist()
    return Rate(
        images_per_second=images / middle,
        low=images / slowest,
        high=images / fastest,
        lower_quartile=images / lower,
        upper_quartile=images / upper,
    )


def latency(seconds: Sequence[float]) -> Latency:
    """The percentiles of single times; each is one that was measured, since nothing lies between them."""
    p50, p90, p99 = np.quantile(seconds, (0.5, 0.9, 0.99), method="inverted_cdf") * 1000
    return Latency(p50=float(p50), p90=float(p90), p99=float(p99), samples=len(seconds))


def bound(rates: Iterable[float]) -> float:
    """The most that stages of these rates can give when the same cores do all of them: work is conserved,
    so the times for one image add up. Each rate is that of the stage by itself on all cores."""
    return 1 / sum(1 / rate for rate in rates)
