"""Layout of tables on a screen of any width: no number, name or header is broken across lines.

A table that is too wide takes the first of these forms that fits: each row's first cell on a line of its own, above the
rest; the table turned, so that each column is a line; or one block per row, with a line per column.
"""

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import TextIO

from rich.cells import cell_len

GAP = "  "
MIN_PROSE_COLUMNS = 28
"""Columns that a sentence has at least; with fewer it would become a tower of single words."""

LIKE_A_NUMBER = re.compile(r"[-+]?[\d.]|-?$")
TOGETHER = re.compile(
    r"(?<=\d|%|,) +(?=[-+]?[\d.]+%?\])|(?<=[\d%]) +(?=(?:points|[a-zA-Z]{1,5}(?:/[a-z]+)?)\b|\[[-+\d.])"
)
"""A space within an interval, or between a number and its unit or its interval, where no line ends."""

JOINED = "\N{NO-BREAK SPACE}"

RowLines = list[list[str]]
"""For each row, the header first, its cells or the lines that it takes."""

COMMAND_START = re.compile(r"(\S*[/\\])?(xception|pip|uv|python[\d.]*)(\.exe)? ")
"""Beginning of a command, which is left on one line, so that it can be pasted."""


def screen_columns(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal that a stream (by default stdout) is, or those that `COLUMNS` states; None for a file or
    a pipe, where each row is one line."""
    if columns := os.environ.get("COLUMNS", ""):
        return int(columns) if columns.isdecimal() and int(columns) else None
    stream = stream or sys.stdout
    return os.get_terminal_size(stream.fileno()).columns or None if stream.isatty() else None


def table_lines(
    header: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None, *, prose: bool = False
) -> list[str]:
    """The lines of a table.

    Args:
        header: names of the columns.
        rows: cells, as many per row as the header has.
        columns: columns of the screen; None if there is no limit.
        prose: the last column holds sentences, which may continue on another line.
    """
    table = [list(header), *map(list, rows)]
    for layout in (_table, _stacked, _turned):
        lines = [line for row in layout(table, columns, prose=prose) for line in row]
        if columns is None or max(map(cell_len, lines)) <= columns:
            return lines
    return _blocks(table, columns)


def fact_lines(facts: Sequence[tuple[str, str]], columns: int | None) -> list[str]:
    """Names and values, a line each; a value that is too long continues below where it began, or below its name."""
    width = max((cell_len(name) for name, _ in facts), default=0)
    indent = " " * width + GAP
    room = MIN_PROSE_COLUMNS if columns is None else columns - len(indent)
    lines = []
    for name, value in facts:
        if room < MIN_PROSE_COLUMNS and cell_len(value) > room:
            lines += [name, *wrapped(value, columns, GAP)]
            continue
        first, *others = wrapped(value, columns, indent)
        lines += [(_padded(name, width, right=False) + first[width:]).rstrip(), *others]
    return lines


def wrapped(text: str, columns: int | None, indent: str = "") -> list[str]:
    """Text in lines that end between words; a word that is longer than a line is left whole, and so is a command."""
    if columns is None or cell_len(indent + text) <= columns or COMMAND_START.match(text):
        return [indent + text]
    twice = cell_len(text) - len(text)  # characters that take two columns
    lines = textwrap.wrap(
        TOGETHER.sub(JOINED, text),
        max(1, columns - twice),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(JOINED, " ") for line in lines]


def _table(table: RowLines, columns: int | None, *, prose: bool) -> RowLines:
    """The lines of each row, with numbers aligned to the right; sentences in the last column take what is left."""
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    right = [
        index > 0 and all(map(LIKE_A_NUMBER.match, column[1:])) for index, column in enumerate(zip(*table, strict=True))
    ]
    last = None
    if prose and columns is not None:
        right[-1], last = False, max(MIN_PROSE_COLUMNS, columns - sum(widths[:-1]) - len(GAP) * (len(widths) - 1))
        widths[-1] = min(widths[-1], last)
    rows = []
    for row in table:
        lines = zip_longest(*([cell] for cell in row[:-1]), wrapped(row[-1], last), fillvalue="")
        rows.append([GAP.join(map(_padded, line, widths, right)).rstrip() for line in lines])
    return rows


def _stacked(table: RowLines, columns: int | None, *, prose: bool) -> RowLines:
    """The lines of each row, with its first cell by itself above the others."""
    if len(table[0]) == 1:
        return _table(table, columns, prose=prose)
    rest = _table([row[1:] for row in table], columns and columns - len(GAP), prose=prose)
    return [[row[0], *(GAP + line for line in lines)] for row, lines in zip(table, rest, strict=True)]


def _turned(table: RowLines, columns: int | None, *, prose: bool) -> RowLines:  # noqa: ARG001 - as every layout
    """The lines of a table whose rows are the columns of this one."""
    return _table([list(column) for column in zip(*table, strict=True)], None, prose=False)


def _blocks(table: RowLines, columns: int | None) -> list[str]:
    """Lines with a block per row, a line per column, and an empty line between blocks."""
    header, *rows = table
    lines = [line for row in rows for line in ("", *fact_lines(list(zip(header, row, strict=True)), columns))]
    return lines[1:]


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space
