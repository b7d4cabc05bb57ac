"""Stopwatches: the busy time of each stage, and its number of images."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Busy time of one stage, summed over all its threads."""

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.waiting_s = 0.0
        """Until what the stage needs was free."""
        self.images = 0
        self._lock = Lock()

    @contextmanager
    def measure(self, images: int = 1) -> Iterator[None]:
        """Count the time of a block, in which `images` images are processed."""
        start = perf_counter()
        try:
            yield
        finally:
            elapsed = perf_counter() - start
            with self._lock:
                self.busy_s += elapsed
                self.images += images

    @contextmanager
    def entering(self, resource: AbstractContextManager[T]) -> Iterator[T]:
        """Hold something for the time of a block, and count how long it was waited for."""
        start = perf_counter()
        with resource as held:
            elapsed = perf_counter() - start
            with self._lock:
                self.waiting_s += elapsed
            yield held
