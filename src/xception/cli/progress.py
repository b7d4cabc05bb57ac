"""Progress on stderr, on a terminal only: bars, and a sign of life in every wait that is longer than a second."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

SHOWN_AFTER_S = 1.0
"""Seconds for which a command may be silent before its sign of life appears."""

DISPLAY: ContextVar["Progress | None"] = ContextVar("DISPLAY", default=None)
"""The display of the command that is running; there is one at most, since two would overwrite each other."""


@contextmanager
def progress_bar() -> Iterator["Progress"]:
    """The display of progress; tasks that are added to it are gone when the block ends."""
    display = DISPLAY.get()
    if display is None:
        with _new_display() as display:
            yield display
        return
    before = set(display.task_ids)
    for task in before:
        display.update(task, visible=False)
    display.start()
    try:
        yield display
    finally:
        for task in set(display.task_ids) - before:
            display.remove_task(task)
        for task in before:
            display.update(task, visible=True)


@contextmanager
def sign_of_life(words: str) -> Iterator[None]:
    """Show after `SHOWN_AFTER_S` that a command is at work, and for how long, unless a bar of its own says more."""
    if not sys.stderr.isatty():
        yield
        return
    display = _new_display()
    display.add_task(words, total=None)
    later = Timer(SHOWN_AFTER_S, display.start)
    later.daemon = True
    token = DISPLAY.set(display)
    later.start()
    try:
        yield
    finally:
        later.cancel()
        later.join()
        display.stop()
        DISPLAY.reset(token)


def clear_display() -> None:
    """Take the display off a terminal that is about to show results."""
    display = DISPLAY.get()
    if display is not None and sys.stdout.isatty():
        display.stop()


def _new_display() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.text import Text

    class Counts(MofNCompleteColumn):
        def render(self, task: Task) -> Text:
            return super().render(task) if task.total or task.completed else Text()

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), Counts(), TimeElapsedColumn(), TimeLeft())
    is_shown, shares_screen = console.is_terminal, sys.stdout.isatty()
    # What goes to a file or a pipe must not pass through the display, which would send it to the terminal.
    return Progress(*columns, console=console, transient=True, disable=not is_shown, redirect_stdout=shares_screen)
