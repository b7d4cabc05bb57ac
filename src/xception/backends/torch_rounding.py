"""Rounding of the factors of float32 products to tf32, which torch sets for the whole process."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import torch


class Rounding:
    """A setting that any number of threads hold at once that want the same of it; who wants another waits.

    Were it held by one at a time, a thread that waits for it while it holds an instance would wait for a compiler that
    holds it and waits for all instances.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._holders = 0
        self._before = (False, False)

    @contextmanager
    def held(self, *, tf32: bool) -> Iterator[None]:
        """Round to tf32, or do not, for the time of a block; what torch did before is restored behind the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._holders == 0 or _current() == (tf32, tf32))
            if self._holders == 0:
                self._before = _current()
                _set((tf32, tf32))
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                if self._holders == 0:
                    _set(self._before)
                    self._changed.notify_all()


ROUNDING = Rounding()
"""The one of this process."""


def _current() -> tuple[bool, bool]:
    """The settings for matrices and for convolutions."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def _set(values: tuple[bool, bool]) -> None:
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = values
