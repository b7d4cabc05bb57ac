"""The cores of the machine, lent to threads that prepare images."""

from contextlib import AbstractContextManager

from xception import machine
from xception.backends.pool import HandlePool


class Cores:
    """A number of cores, shared by all runs that prepare images at the same time.

    Inferences are counted apart, by the session that they are calls of: a core that was kept free for one would stand
    still whenever the one before it ends, and the system shares cores out well among few threads.

    Args:
        count: by default all that this process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or machine.cores()
        self._pool = HandlePool(range(self.count))

    def lend(self) -> AbstractContextManager[object]:
        """Hold a core for the time of a block; waits until one is free."""
        return self._pool.lend()
