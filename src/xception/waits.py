"""Waits of more than a moment: what is done, and how far it is, told to the function that shows it, if there is one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, TypeVar

TOLD_EVERY = 256
"""Items of a listing between two reports, since a million of them would take longer to report than to list."""

Unit = Literal["", "bytes"]
"""The things that are counted: bytes, or those that the words name."""

Advance = Callable[[int], object]
"""Told how many more are done."""

Shown = Callable[[str, int | None, Unit], AbstractContextManager[Advance]]
"""Shows a wait for the time of a block: its words, the number of all if it is known, and their unit."""

T = TypeVar("T")


def _unseen(words: str, total: int | None, unit: Unit) -> AbstractContextManager[Advance]:  # noqa: ARG001 - as `Shown`
    return nullcontext(lambda count: None)  # noqa: ARG005


_SHOWN: ContextVar[Shown] = ContextVar("_SHOWN", default=_unseen)


@contextmanager
def shown_by(shown: Shown) -> Iterator[None]:
    """Show the waits of a block, in this thread."""
    token = _SHOWN.set(shown)
    try:
        yield
    finally:
        _SHOWN.reset(token)


def counted(words: str, total: int | None = None, unit: Unit = "") -> AbstractContextManager[Advance]:
    """A wait as a block, which is told how many more are done.

    Args:
        words: what is done, such as "exporting".
        total: the number of all, if it is known.
        unit: bytes, if they are counted.
    """
    return _SHOWN.get()(words, total, unit)


def each(items: Iterable[T], words: str, total: int | None = None, *, told_every: int = 1) -> Iterator[T]:
    """The same items, counted as they are taken; for the arguments see `counted`."""
    with counted(words, total) as advance:
        number = 0
        for number, item in enumerate(items, 1):
            yield item
            if not number % told_every:
                advance(told_every)
        advance(number % told_every)


def each_listed(items: Iterable[T], place: str) -> Iterator[T]:
    """The same names, counted as the listing of a place is read."""
    return each(items, f"listing {place}", told_every=TOLD_EVERY)
