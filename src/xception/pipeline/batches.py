"""Items in batches: of a fixed size, or of what has arrived within a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread
from time import monotonic
from typing import Generic, Literal, TypeVar

from xception.pipeline.overlap import NOTHING, Nothing

T = TypeVar("T")


def batched(items: Iterable[T], size: int, at_once: int = 1) -> Iterator[list[T]]:
    """Batches of `size` items in a row, of which `at_once` are computed at the same time.

    The items that remain for the last of these times are shared out evenly, so that none of them computes a whole
    batch while the others have nothing left to do.
    """
    iterator = iter(items)
    while together := list(islice(iterator, size * at_once)):
        share = -(-len(together) // at_once)
        for start in range(0, len(together), share):
            yield together[start : start + share]


@dataclass(frozen=True, slots=True)
class _Arrived(Generic[T]):
    item: T
    at_s: float


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None


class Arrivals(Generic[T]):
    """Batches of the items of a live source, such as a camera or a queue, which a thread of its own waits for.

    A batch is handed on when it is full, when its first item has waited long enough, or when the source ends. An error
    of the source surfaces behind the items that came before it.

    Args:
        items: the source; a thread takes them, at most two batches ahead.
        size: items per batch.
        max_wait_s: seconds that an item waits for others.
    """

    def __init__(self, items: Iterable[T], size: int, max_wait_s: float) -> None:
        self._size = size
        self._max_wait_s = max_wait_s
        self._batch: list[_Arrived[T]] = []
        self._end: _Ended | None = None
        self._events: SimpleQueue[_Arrived[T] | _Ended | Literal[Nothing.NOTHING]] = SimpleQueue()
        self._room = Semaphore(2 * size)
        self._is_closed = Event()
        # A daemon, since nothing can interrupt a source that waits: it ends with the source's next item.
        Thread(target=self._fetch, args=(items,), name="arrivals", daemon=True).start()

    def __iter__(self) -> Iterator[list[T] | Literal[Nothing.NOTHING]]:
        return self

    def __next__(self) -> list[T] | Literal[Nothing.NOTHING]:
        """The next batch; `NOTHING` if it was woken before there is one."""
        while not self._end and len(self._batch) < self._size:
            try:
                event = self._events.get(timeout=self._patience_s())
            except Empty:
                break
            if event is NOTHING:
                return NOTHING
            if isinstance(event, _Ended):
                self._end = event
            else:
                self._batch.append(event)
        return self._handed_on()

    def wake(self) -> None:
        """Let the consumer look at something else; for any thread."""
        self._events.put(NOTHING)

    def close(self) -> None:
        """Take no more items."""
        self._is_closed.set()
        self._room.release()

    def _fetch(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                self._events.put(_Arrived(item, monotonic()))
                self._room.acquire()
                if self._is_closed.is_set():
                    return
        # The consumer raises it.
        except BaseException as error:
            self._events.put(_Ended(error))
        else:
            self._events.put(_Ended(None))

    def _patience_s(self) -> float | None:
        """Seconds until the batch is handed on as it is; None while it is empty."""
        return max(0.0, self._batch[0].at_s + self._max_wait_s - monotonic()) if self._batch else None

    def _handed_on(self) -> list[T]:
        batch, self._batch = [arrived.item for arrived in self._batch], []
        if batch:
            self._room.release(len(batch))
            return batch
        if self._end and self._end.error:
            raise self._end.error
        raise StopIteration
