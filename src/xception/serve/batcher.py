"""The micro-batcher: a bounded queue of images in front of a model, whose batches are as large as the queue allows.

Nobody waits while the model is idle: a thread that is free takes what is there. Requests gather while all are busy.
A request whose deadline would pass in the queue is refused at once instead.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

from xception.errors import first_line
from xception.serve.refusal import Refusal

_logger = logging.getLogger(__name__)

W = TypeVar("W")
R = TypeVar("R")

HEADROOM = 0.8
"""Share of the time until its deadline within which a request has to be expected to be done, since paces vary."""

ARRIVAL_S = 0.5
"""Time for which a request whose body comes has a place in the queue; those of slow clients would fill it."""

PACE_SMOOTHING = 0.2
"""Weight of the last batch in the pace."""

MAX_FAULTS = 3
"""Batches in a row that the model may fail at before it counts as broken."""


@dataclass(frozen=True)
class Done(Generic[R]):
    """The result of one image, with the time that it took."""

    result: R
    queue_s: float
    """Until its batch began."""
    run_s: float
    """The whole batch."""
    batch: int
    """Images of its batch."""


@dataclass(eq=False)
class Ticket(Generic[R]):
    """A request's images in the queue; `future` gives their outcomes in order."""

    deadline_s: float
    future: "Future[list[Done[R] | Refusal]]"
    outcomes: list[Any]
    missing: int
    left: bool = False
    """Its client is gone, or has been told of the deadline."""

    def leave(self) -> None:
        """Drop the images that are still in the queue."""
        self.left = True


@dataclass(frozen=True, eq=False)
class Arrival:
    """A request whose body comes."""

    since_s: float


@dataclass(frozen=True, eq=False)
class _Job(Generic[W]):
    work: W
    kind: Hashable
    ticket: Ticket[Any]
    place: int
    admitted_s: float


@dataclass
class QueueCounts:
    """Totals since the start."""

    images: int = 0
    batches: int = 0
    expired: int = 0
    """Images whose deadline passed in the queue."""
    wasted: int = 0
    """Images whose deadline passed while they were computed."""
    departed: int = 0
    """Images whose client left."""
    batch_sizes: dict[int, int] = field(default_factory=dict)


class Batcher(Generic[W, R]):
    """A queue, and the threads that empty it.

    Args:
        run: the results of one batch, or refusals, in their order; called by `calls_at_once` threads.
        kind: works of one kind may share a batch.
        batch_size: images per batch at most.
        calls_at_once: threads.
        max_queued: images that wait at most.
        clock: seconds.
    """

    def __init__(
        self,
        run: Callable[[Sequence[W]], Sequence[R | Refusal]],
        *,
        kind: Callable[[W], Hashable] = lambda _: None,
        batch_size: int,
        calls_at_once: int,
        max_queued: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._kind, self._clock = run, kind, clock
        self.batch_size, self.calls_at_once, self.max_queued = batch_size, calls_at_once, max_queued
        self.counts = QueueCounts()
        self.pace_s: float | None = None
        """Seconds per image with all threads at work; None before the first batch."""
        self._queue: deque[_Job[W]] = deque()
        self._arrivals: dict[Arrival, None] = {}  # in their order
        self._running = self._busy = self._faults = 0
        self._closed = False
        self._changed = Condition()
        self._threads: list[Thread] = []

    @property
    def queued(self) -> int:
        """Images that wait."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Images that are computed."""
        return self._running

    @property
    def works(self) -> bool:
        """False after the model failed several times in a row."""
        return self._faults < MAX_FAULTS

    def start(self) -> None:
        """Start the threads."""
        self._threads = [Thread(target=self._serve, name=f"batch-{n}", daemon=True) for n in range(self.calls_at_once)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Take no more requests, answer those that were taken, and end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def expected_s(self, waiting: int) -> float:
        """Seconds until all images would be done if that many waited."""
        if self.pace_s is None:
            return 0.0
        last_batch = min(self.batch_size, waiting)
        return self.pace_s * (self._running + waiting - last_batch + last_batch * self.calls_at_once)

    def check(self, images: int, timeout_s: float) -> None:
        """Refuse images that would not be done in time; an idle model takes any.

        Raises:
            Refusal: the queue is full, or the deadline would pass.
        """
        if self._closed:
            raise Refusal(503, "draining", "the server is shutting down; ask another one", retry_after_s=1, closes=True)
        queued = len(self._queue) + self._arriving()
        if not queued and self._busy < self.calls_at_once and images <= self.max_queued:
            return
        expected = self.expected_s(queued + images)
        if queued + images > self.max_queued:
            sentence = f"{queued} images wait, and {self.max_queued} may; ask again later"
            raise Refusal(503, "saturated", sentence, retry_after_s=expected)
        if expected > HEADROOM * timeout_s:
            sentence = (
                f"{images} more images would take {expected:.3g} s, and the deadline is in {timeout_s:.3g} s; "
                "ask again later"
            )
            raise Refusal(503, "saturated", sentence, retry_after_s=expected - HEADROOM * timeout_s)

    @contextmanager
    def arriving(self, timeout_s: float) -> Iterator[Arrival]:
        """A request of one image or more for the time in which its body comes, until it is admitted.

        It has a place in the queue meanwhile, so that of a crowd those are refused at once, with their bodies unread,
        whom the others leave none.

        Raises:
            Refusal: see `check`.
        """
        with self._changed:
            self.check(1, timeout_s)
            arrival = Arrival(self._clock())
            self._arrivals[arrival] = None
        try:
            yield arrival
        finally:
            with self._changed:
                self._arrivals.pop(arrival, None)

    def _arriving(self) -> int:
        """Requests whose bodies come, and have not for long."""
        now = self._clock()
        while self._arrivals and (first := next(iter(self._arrivals))).since_s < now - ARRIVAL_S:
            del self._arrivals[first]
        return len(self._arrivals)

    def admit(self, works: Sequence[W], timeout_s: float, arrival: Arrival | None = None) -> Ticket[R]:
        """Put a request's images into the queue.

        Args:
            works: the images.
            timeout_s: time until the deadline.
            arrival: the place that the request has already.

        Raises:
            Refusal: see `check`.
        """
        with self._changed:
            if arrival:
                self._arrivals.pop(arrival, None)
            self.check(len(works), timeout_s)
            now = self._clock()
            ticket: Ticket[R] = Ticket(now + timeout_s, Future(), [None] * len(works), len(works))
            if not works:
                ticket.future.set_result([])
            self._queue.extend(_Job(work, self._kind(work), ticket, place, now) for place, work in enumerate(works))
            self._changed.notify(len(works))
        return ticket

    def take(self) -> list[_Job[W]]:
        """The next batch; waits for one, and is empty once the queue is closed and empty."""
        with self._changed:
            while not (first := self._next()):
                if self._closed:
                    return []
                self._changed.wait()
            free = max(1, self.calls_at_once - self._busy)
            size = min(self.batch_size, -(-(1 + len(self._queue)) // free))
            batch = [first]
            while len(batch) < size and (job := self._next(first.kind)):
                batch.append(job)
            self._running += len(batch)
            self._busy += 1
            return batch

    def answer(self, batch: Sequence[_Job[W]]) -> None:
        """Compute a batch that was taken, and deliver its results."""
        began = self._clock()
        results = self._results([job.work for job in batch])
        ended = self._clock()
        with self._changed:
            self._count(batch, ended - began)
            for job, result in zip(batch, results, strict=True):
                done: Done[Any] | Refusal = Done(result, began - job.admitted_s, ended - began, len(batch))
                if isinstance(result, Refusal):
                    done = result
                elif ended > job.ticket.deadline_s:
                    self.counts.wasted += 1
                    done = _too_late("while it was computed")
                self._deliver(job, done)

    def _serve(self) -> None:
        while batch := self.take():
            self.answer(batch)

    def _results(self, works: Sequence[W]) -> Sequence[R | Refusal]:
        """Results of a batch; where it fails as a whole, each image is tried by itself, so that none spoils others."""
        try:
            results = self._run(works)
        except Exception as error:
            _logger.error("the model failed at %d images: %s", len(works), first_line(error))
            if len(works) > 1:
                return [self._results([work])[0] for work in works]
            self._faults += 1
            return [Refusal(500, "broken", "the model failed at this image; its server's log says why")]
        self._faults = 0
        return results

    def _next(self, *kinds: Hashable) -> _Job[W] | None:
        """Take the next image out of the queue, if it is of the kind, past those whose clients have disconnected."""
        now = self._clock()
        while self._queue and (not kinds or self._queue[0].kind in kinds):
            job = self._queue.popleft()
            if job.ticket.left:
                self.counts.departed += 1
            elif now > job.ticket.deadline_s:
                self.counts.expired += 1
            else:
                return job
            self._deliver(job, _too_late("in the queue"))
        return None

    def _count(self, batch: Sequence[_Job[W]], elapsed_s: float) -> None:
        self._running -= len(batch)
        self._busy -= 1
        self.counts.images += len(batch)
        self.counts.batches += 1
        self.counts.batch_sizes[len(batch)] = self.counts.batch_sizes.get(len(batch), 0) + 1
        pace = elapsed_s / len(batch) / self.calls_at_once
        self.pace_s = pace if self.pace_s is None else (1 - PACE_SMOOTHING) * self.pace_s + PACE_SMOOTHING * pace

    def _deliver(self, job: _Job[W], outcome: Done[Any] | Refusal) -> None:
        ticket = job.ticket
        ticket.outcomes[job.place] = outcome
        ticket.missing -= 1
        if not ticket.missing and not ticket.future.done():
            ticket.future.set_result(ticket.outcomes)


def _too_late(where: str) -> Refusal:
    return Refusal(504, "deadline", f"the deadline passed {where}; allow more time, or ask again later")
