"""A race between two ways to run a model, with a verdict only where the measurements give one."""

from functools import partial
from typing import Literal

import msgspec

from xception.errors import InputError, UsageError
from xception.intervals import Interval, bootstrap_ratio
from xception.pipeline.timing import Rate, alternated, rate
from xception.speed.workload import Stages, Workload, end_to_end

Place = Literal["first", "second"]

MIN_REPEATS = 4
"""Pairs of turns below which an interval says nothing."""


class Racer(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two, with its rate from end to end."""

    bundle: str
    backend: str
    end_to_end: Rate


class Race(msgspec.Struct, frozen=True, kw_only=True):
    """Both on the same images at one batch size, in turns 1 2 2 1 that make a pair each."""

    batch: int
    images: int
    first: Racer
    second: Racer
    ratio: Interval
    """The first's rate over the second's: the geometric mean over the pairs with its 95 % bootstrap-t interval."""
    faster: Place | None
    """None where the interval does not exclude that they are equally fast."""

    def sentence(self) -> str:
        """The verdict in words, with percentages."""
        if self.faster is None:
            value, difference = self.ratio.value, abs(self.ratio.value - 1)
            noise = max(self.ratio.high - value, value - self.ratio.low)
            return f"no verdict: the noise (±{noise:.1%}) is larger than the difference ({difference:.1%})"
        ways = [f"{side.bundle} ({side.backend})" for side in (self.first, self.second)]
        ratios = (self.ratio.value, self.ratio.low, self.ratio.high)
        if self.faster == "second":
            ways, ratios = ways[::-1], (1 / self.ratio.value, 1 / self.ratio.high, 1 / self.ratio.low)
        gain, low, high = (f"{ratio - 1:.1%}" for ratio in ratios)
        return f"{ways[0]} is faster than {ways[1]} by {gain} [{low}, {high}]"


def inference_ratio(first: Workload, second: Workload, *, warmup: int, repeats: int) -> Interval:
    """The first's rate over the second's in the runtime only, in turns on batches that were prepared before.

    Raises:
        UsageError: too few rounds for an interval.
        InputError: none of the images can be read.
    """
    require_enough_rounds(repeats)
    turns = [Stages(one).infer for one in (first, second)]
    for turn in turns * warmup:
        turn()
    pairs = alternated(*(lambda turn=turn: turn for turn in turns), repeats=repeats, clock=first.clock)
    return bootstrap_ratio([theirs / mine for mine, theirs in pairs])


def require_enough_rounds(repeats: int) -> None:
    """Refuse too few rounds for an interval.

    Raises:
        UsageError: less than `MIN_REPEATS`.
    """
    if repeats < MIN_REPEATS:
        raise UsageError(
            f"{repeats} rounds are too few to tell a difference from noise; expected at least {MIN_REPEATS}"
        )


def race(first: Workload, second: Workload, *, warmup: int, repeats: int) -> Race:
    """Run both from end to end on the same images, in turns.

    Raises:
        UsageError: too few rounds for an interval.
        InputError: none of the images can be read.
    """
    require_enough_rounds(repeats)
    workloads = (first, second)
    seen = [[end_to_end(one).seen for one in workloads] for _ in range(max(1, warmup))][-1]
    if not min(seen):
        raise InputError(f"none of the images of {first.data} can be read; expected at least one to race on")
    pairs = alternated(
        *(lambda one=one: partial(end_to_end, one) for one in workloads), repeats=repeats, clock=first.clock
    )
    racers = [
        Racer(
            bundle=str(one.engine.bundle.path),
            backend=one.session.facts.name,
            end_to_end=rate([pair[place] for pair in pairs], 2 * seen[place]),
        )
        for place, one in enumerate(workloads)
    ]
    ratio = bootstrap_ratio([(seen[0] / mine) / (seen[1] / theirs) for mine, theirs in pairs])
    faster: Place | None = "first" if ratio.low > 1 else "second" if ratio.high < 1 else None
    return Race(
        batch=first.engine.batch_size,
        images=first.images_per_run,
        first=racers[0],
        second=racers[1],
        ratio=ratio,
        faster=faster,
    )
