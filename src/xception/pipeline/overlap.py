"""One concurrent stage: ordered, bounded, back-pressured, and gone when its consumer is."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def overlap(
    items: Iterable[T], fn: Callable[[T], R], *, workers: int = 1, depth: int | None = None
) -> Generator[R, None, None]:
    """Apply `fn` to each item on worker threads, and yield the results in the order of the items.

    At most `depth` items (two a worker by default) are taken ahead of the consumer. An error of `fn`
    surfaces here in its turn, one of `items` at once. However the consumer ends, no thread outlives this generator.
    """
    iterator = iter(items)
    depth = depth or 2 * workers
    with ThreadPoolExecutor(workers, thread_name_prefix="overlap") as pool:
        pending: deque[Future[R]] = deque()
        try:
            pending.extend(pool.submit(fn, item) for item in islice(iterator, depth))
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(fn, item) for item in islice(iterator, 1))
        finally:
            for future in pending:
                future.cancel()
