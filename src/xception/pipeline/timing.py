"""Timing of work, and figures from the times."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

Clock = Callable[[], float]
"""Seconds since any moment; for tests, one that they move by hand."""


BoundBy = Literal["shared cores", "slowest stage"]
"""`shared cores` where the stages together keep the cores busy, `slowest stage` where one of them keeps all waiting: an
accelerator, or a stage that cannot use all cores."""


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


class Bound(NamedTuple):
    """The most that stages allow together."""

    images_per_second: float
    bottleneck: str
    by: BoundBy


def bound(rates: Mapping[str, float], shares: Mapping[str, float]) -> Bound:
    """The most that stages can give together.

    Work is conserved: what the stages need of the same cores for one image adds up. And no stage is faster in company
    than by itself.

    Args:
        rates: of each stage by itself.
        shares: the share of the cores that it then uses; 0 for one that computes elsewhere.
    """
    costs = {name: share / rates[name] for name, share in shares.items()}
    slowest, together = min(rates, key=rates.__getitem__), sum(costs.values())
    if rates[slowest] * together < 1:
        return Bound(rates[slowest], slowest, "slowest stage")
    return Bound(1 / together, max(costs, key=costs.__getitem__), "shared cores")
