"""The rates of workers that share a run, and who of them may begin a shard: now and then one works by itself, to learn
what it loses to the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import harmonic_mean, quantiles
from time import monotonic

from xception.tasks.plan import ShardReport

SHARDS_PER_SOLO = 50
"""Shards per worker for each that one of them does by itself. The others wait for it, about three hundredths of the
time."""

MAX_SOLOS = 5
"""Shards that one worker does by itself in a run of any length."""

MAX_SPREAD = 1.25
"""The rate of a fast shard as a multiple of a slow one's, above which the few by themselves stand for no others."""

MAX_EFFICIENCY = 1.05
"""Above it, the rates do not belong together: workers have no more of a machine than one of them has by itself."""


@dataclass(frozen=True)
class WorkerRate:
    """The work that a worker has done."""

    images: int = 0
    busy_s: float = 0.0

    @property
    def images_per_s(self) -> float:
        """Images per second of its work, without the time in which it starts; 0 before the first shard."""
        return self.images / self.busy_s if self.busy_s else 0.0

    def __add__(self, other: "WorkerRate") -> "WorkerRate":
        return WorkerRate(self.images + other.images, self.busy_s + other.busy_s)


@dataclass(frozen=True)
class Scaling:
    """Rates of single shards in images/s, none of which was the first of its process."""

    together: tuple[list[float], ...]
    """The rates of each worker while all others worked as well."""
    solo: list[float] = field(default_factory=list)
    """The rates of workers while no other worked."""

    @property
    def is_measured(self) -> bool:
        """Tell whether there are rates of every worker among all others, and of one by itself."""
        return bool(self.solo) and all(self.together)

    @property
    def efficiency(self) -> float | None:
        """The rate of all workers together, as a fraction of as many times the rate of one by itself.

        None where it was not measured, and where the rates differ so much that it cannot be known.
        """
        if not self.is_measured:
            return None
        efficiency = self.together_images_per_s / (len(self.together) * self.solo_images_per_s)
        is_known = efficiency <= MAX_EFFICIENCY and self.spread <= MAX_SPREAD
        return efficiency if is_known else None

    @property
    def together_images_per_s(self) -> float:
        """The sum of the workers' rates while all of them worked."""
        return sum(harmonic_mean(rates) for rates in self.together)

    @property
    def solo_images_per_s(self) -> float:
        """The rate of one worker while no other worked."""
        return harmonic_mean(self.solo)

    @property
    def spread(self) -> float:
        """The rates of fast shards as multiples of those of slow ones; of both kinds of shards, the larger."""
        deciles = quantiles([rate for rates in self.together for rate in rates], n=10, method="inclusive")
        return max(deciles[-1] / deciles[0], max(self.solo) / min(self.solo))


@dataclass
class Watch:
    """The state of a run, for display."""

    left: int
    """Shards that are not done."""
    rates: dict[str, WorkerRate] = field(default_factory=dict)
    """The rate of each worker that has done a shard, by its name."""
    scaling: Scaling = field(default_factory=lambda: Scaling(()))
    failed: int = 0
    """Images that failed."""
    first_s: float | None = None
    """When the first shard was begun."""

    @property
    def images_per_s(self) -> float:
        """Images per second of all workers together, since the first of them was ready."""
        passed_s = 0.0 if self.first_s is None else monotonic() - self.first_s
        return sum(rate.images for rate in self.rates.values()) / passed_s if passed_s else 0.0

    def note(self, worker: str, report: ShardReport, busy_s: float) -> WorkerRate:
        """Count a shard that a worker has just done, in a time of which it returns the rate."""
        done = WorkerRate(report.seen + report.failed, busy_s)
        self.first_s = self.first_s or monotonic() - busy_s
        self.rates[worker] = self.rates.get(worker, WorkerRate()) + done
        self.failed += report.failed
        self.left -= 1
        return done


OnReport = Callable[[ShardReport, Watch], object]
"""Is told of a shard that was done."""


class Company:
    """The workers of a run: who may begin a shard, and what their rates tell of scaling."""

    def __init__(self, count: int, shards: int) -> None:
        """Begin with so many workers, of whom nobody has a shard."""
        self.scaling = Scaling(tuple([] for _ in range(count)))
        self._solos_at = solo_moments(count, shards)
        self._soloist: int | None = None
        self._warm: set[int] = set()
        self._at_work: dict[int, bool] = {}
        """The workers that have a shard, and for each whether all had one when it began."""

    def begin(self, ready: Sequence[int], left: int) -> list[int]:
        """The workers that begin a shard now.

        Args:
            ready: the workers that have opened the model and the images.
            left: shards that nobody has begun.
        """
        if self._soloist is not None:
            return []
        free = [number for number in ready if number not in self._at_work][:left]
        if self._solos_at and left <= self._solos_at[0] and len(ready) == self._count:
            if self._at_work:
                return []
            self._solos_at.pop(0)
            self._soloist, free = free[0], free[:1]
        is_whole = len(self._at_work) + len(free) == self._count
        self._at_work |= dict.fromkeys(free, is_whole)
        return free

    def end(self, number: int, images_per_s: float) -> None:
        """Note that a worker is done with its shard."""
        is_whole = self._at_work[number] and len(self._at_work) == self._count
        if number in self._warm and number == self._soloist:
            self.scaling.solo.append(images_per_s)
        elif number in self._warm and is_whole:
            self.scaling.together[number].append(images_per_s)
        self._leave(number)
        self._warm.add(number)

    def lose(self, number: int) -> None:
        """Note that a worker's process died, with or without a shard."""
        self._leave(number)
        self._warm.discard(number)

    def _leave(self, number: int) -> None:
        self._at_work.pop(number, None)
        self._soloist = None if self._soloist == number else self._soloist

    @property
    def _count(self) -> int:
        return len(self.scaling.together)


def solo_moments(count: int, shards: int) -> list[int]:
    """The numbers of shards that are left when a worker does one by itself: spread over the run, the first one first.

    Args:
        count: workers; one of them is by itself all the time.
        shards: all that there are to do.
    """
    solos = min(MAX_SOLOS, shards // (SHARDS_PER_SOLO * count)) if count > 1 else 0
    return [shards - (2 * place + 1) * shards // (2 * solos) for place in range(solos)]
