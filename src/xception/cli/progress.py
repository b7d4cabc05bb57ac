"""Progress on stderr, on a terminal only: bars, and a sign of life in every wait that is longer than a second."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Timer
from typing import TYPE_CHECKING

from xception import waits

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
    with _in_place_of_others(display):
        display.start()
        yield display


@contextmanager
def wait_shown(words: str, total: int | None, unit: waits.Unit) -> Iterator[waits.Advance]:
    """Show a wait on the display, once that has appeared; see `waits.Shown`."""
    display = DISPLAY.get()
    if display is None:
        yield lambda count: None  # noqa: ARG005
        return
    with _in_place_of_others(display):
        task = display.add_task(words, total=total, unit=unit)
        yield lambda count: display.advance(task, count)


@contextmanager
def _in_place_of_others(display: "Progress") -> Iterator[None]:
    """Hide the tasks of a display for the time of a block, at whose end those that it has added are gone."""
    before = {task.id: task.visible for task in display.tasks}
    for task in before:
        display.update(task, visible=False)
    try:
        yield
    finally:
        for task in set(display.task_ids) - before.keys():
            display.remove_task(task)
        for task, is_visible in before.items():
            display.update(task, visible=is_visible)


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
        with waits.shown_by(wait_shown):
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


def counts(done: float, total: float | None, unit: waits.Unit) -> str:
    """The part that is done of all, as far as either is known."""
    if not (done or total):
        return ""
    parts = [done, total] if total else [done]
    if unit == "bytes":
        return "/".join(f"{part / 1e6:,.1f}" for part in parts) + " MB"
    return "/".join(f"{part:,.0f}" for part in parts)


def _new_display() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.text import Text

    class Counts(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(counts(task.completed, task.total, task.fields.get("unit", "")), "progress.download")

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), Counts(), TimeElapsedColumn(), TimeLeft())
    is_shown, shares_screen = console.is_terminal, sys.stdout.isatty()
    # What goes to a file or a pipe must not pass through the display, which would send it to the terminal.
    return Progress(*columns, console=console, transient=True, disable=not is_shown, redirect_stdout=shares_screen)
