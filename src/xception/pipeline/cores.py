"""Slots for the threads that prepare images: one more than cores."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from PIL import Image

from xception import machine
from xception.backends.pool import HandlePool
from xception.pipeline.prepare import Preparation, PreparedImage, prepare_image
from xception.pipeline.preparing_process import PreparingProcess

MAX_CORES_BY_THREADS = 4
"""Cores that threads of one process keep busy. Of the 3.7 ms that a photograph takes, each holds the interpreter for
0.7 ms, so that a fifth core adds nothing; on 16 cores they made 841 images/s where one core makes 250."""

SPARE_WORKERS = 1
"""Threads beyond the cores that prepare images: a core has work while one of them waits for a file, or for its turn in
the interpreter. In front of a simulated GPU, three threads on two cores prepared 0.98 of the images that these cores
decode, and four of which two had to wait for a core 0.71: every hand-over of a core took as long as a switch of
threads."""

MIN_IMAGES_FOR_PROCESSES = 2000
"""Images from which on processes are worth their start, which takes a core a third of a second."""

Prepare = Callable[[bytes | Image.Image, Preparation], PreparedImage]
"""Prepares an image on a core: `prepare_image`, or a process that does the same."""


class Cores:
    """A number of cores, shared by all runs that prepare images at the same time.

    Inferences are counted apart, by the session that they are calls of: a core that was kept free for one would stand
    still whenever the one before it ends, and the system shares cores out well among few threads.

    Args:
        count: by default all that this process may use.
        processes: number of processes that prepare images in place of the calling threads; each counts as a core.
    """

    def __init__(self, count: int | None = None, *, processes: int = 0) -> None:
        self.count = processes or count or machine.cores()
        self.processes = tuple(PreparingProcess() for _ in range(processes))
        self._pool: HandlePool[Prepare] = HandlePool(self.processes or [prepare_image] * self.workers)

    @property
    def workers(self) -> int:
        """Threads that keep the cores busy, and for which there is a place at the same time."""
        return self.count + SPARE_WORKERS

    def lend(self) -> AbstractContextManager[Prepare]:
        """Hold a place on the cores for the time of a block, and get what prepares images there; waits until one is
        free."""
        return self._pool.lend()

    def close(self) -> None:
        """End the processes, which start again if another image comes."""
        for process in self.processes:
            process.close()


def processes_for(images: int | None) -> int:
    """Number of processes that pays off for a number of images (None if unknown): one per core, or none."""
    count = machine.cores()
    return count if count > MAX_CORES_BY_THREADS and (images or 0) >= MIN_IMAGES_FOR_PROCESSES else 0
