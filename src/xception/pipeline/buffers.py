"""Arrays for whole batches, which are reused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray


class Buffers:
    """A number of arrays: as many as were held at the same time. Each is used again once it is given back.

    Args:
        allocate: makes an array for a number of images, (N, C, H, W).
        capacity: images for which every array has room; one for more is made for those who ask for more.
    """

    def __init__(self, allocate: Callable[[int], NDArray[Any]], capacity: int = 1) -> None:
        self._allocate, self._capacity = allocate, capacity
        self._free: list[NDArray[Any]] = []
        self.made = 0

    @contextmanager
    def lend(self, images: int) -> Iterator[NDArray[Any]]:
        """An array for this number of images, during a block; its old content is not cleared."""
        array = self._taken(images)
        try:
            yield array[:images]
        finally:
            self._free.append(array)

    def _taken(self, images: int) -> NDArray[Any]:
        # The last one that was given back is the likeliest to be in the processor's caches. One that is too small is
        # not kept, so that there are never more than were held at once.
        while self._free:
            try:
                array = self._free.pop()
            except IndexError:  # another thread was faster
                break
            if len(array) >= images:
                return array
        self.made += 1
        return self._allocate(max(images, self._capacity))
