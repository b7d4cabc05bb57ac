"""The help on the screen: defaults where they say something."""

from typing import TYPE_CHECKING

from cyclopts.help import DefaultFormatter, HelpPanel

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

OFF = frozenset(("False", "()"))
"""Defaults that go without saying, as cyclopts writes them: a flag is off, a list is empty."""


class Formatter(DefaultFormatter):
    """Cyclopts' own panels without the defaults of flags and lists."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: HelpPanel) -> None:
        entries = [entry.copy(default=None) if entry.default in OFF else entry for entry in panel.entries]
        super().__call__(console, options, panel.copy(entries=entries))
