"""The cores of the machine, lent to threads that compute: never do more of them compute than there are cores."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from xception import machine


class Cores:
    """A number of cores, shared by all stages of one run or several.

    Args:
        count: by default all that this process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or machine.cores()
        self._free = self.count
        self._changed = Condition()

    @contextmanager
    def lend(self, wanted: int = 1) -> Iterator[None]:
        """Hold `wanted` cores, or all if there are fewer, for the time of a block; waits until they are free."""
        held = min(wanted, self.count)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
        try:
            yield
        finally:
            with self._changed:
                self._free += held
                self._changed.notify_all()
