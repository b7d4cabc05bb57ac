"""One concurrent stage: ordered, bounded, with back-pressure, and ended with its consumer."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from typing import Final, Literal, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Nothing(Enum):
    """The type of `NOTHING`."""

    NOTHING = "nothing"


NOTHING: Final = Nothing.NOTHING
"""Stands among the items of a stage for none: the stage looks for finished results and asks for the next item."""


def overlap(
    items: Iterable[T | Literal[Nothing.NOTHING]],
    fn: Callable[[T], R],
    *,
    workers: int = 1,
    depth: int | None = None,
    on_done: Callable[[], object] = lambda: None,
) -> Generator[R, None, None]:
    """Apply `fn` to each item on worker threads, and yield the results in the order of the items.

    A result is yielded as soon as it exists and the next item has been taken. An error of `fn` surfaces here in its
    turn, one of `items` at once. However the consumer ends, no thread outlives this generator.

    Args:
        items: taken on the consumer's thread, with `NOTHING` wherever the next one is not there yet.
        fn: called on the workers.
        workers: threads.
        depth: items that are taken ahead of the consumer at most; by default two per worker.
        on_done: called on a worker whenever a result exists, to wake a source that waits for its next item.
    """
    depth = depth or 2 * workers
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="overlap") as pool:
        try:
            for item in items:
                if item is not NOTHING:
                    pending.append(pool.submit(fn, item))
                    pending[-1].add_done_callback(lambda _: on_done())
                if len(pending) >= depth or (pending and pending[0].done()):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
