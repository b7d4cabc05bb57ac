"""Handles of a runtime, each of which one thread at a time may use."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class HandlePool(Generic[T]):
    """A number of equal handles; a caller waits if none is free."""

    def __init__(self, handles: Iterable[T]) -> None:
        self._free: SimpleQueue[T] = SimpleQueue()
        for handle in handles:
            self._free.put(handle)

    @contextmanager
    def lend(self) -> Iterator[T]:
        """A handle, for the time of a block."""
        handle = self._free.get()
        try:
            yield handle
        finally:
            self._free.put(handle)
