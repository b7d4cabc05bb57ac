"""The rows of list files: a path and a class, or several, per line or in the columns of a table."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from xception.data.classes import CLASS_INDEX, LABEL_COLUMNS, SEPARATOR, SET_COLUMNS, Stated, is_class, split_classes
from xception.data.files import is_image
from xception.data.list_table import TableLine, named_column, read_table
from xception.errors import InputError

SEPARATED = re.compile(r"\s*(\S|\S.*?\S)(?:[ \t]*[,;\t][ \t]*|[ \t]+)([0-9]{1,7})\s*")
"""A path, which may hold spaces, and an index behind the last of them, or behind a comma, a semicolon or a tab."""

NAMED = re.compile(r"\s*(\S|\S.*\S)[ \t]*[,;\t][ \t]*([^,;\t]+)")
"""A path and the name of a class behind a comma, a semicolon or a tab."""

SPACE = re.compile(r"[ \t]+")

SET_SEPARATORS = (SEPARATOR, ";", ",")
"""Characters between the classes in a cell, in a column that may hold several."""

CELLS_WITH_SPACES = "tags"
"""Column in which spaces separate classes too, which are single words there."""

BINARY = {"": False, "0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
"""Cells of a column that stands for a class, and whether the image has it."""

MAX_SHOWN_CHARACTERS = 80
"""Characters of a faulty line that messages show."""

MAX_SHOWN_COLUMNS = 5
"""Columns that messages name."""


class ListRow(NamedTuple):
    """A line of a list file: a path and a class, by its index or its name, or several classes."""

    path: str
    label: Stated

    @property
    def target(self) -> int:
        """The class index that the line states; -1 where it states a name or several classes."""
        return int(self.label) if isinstance(self.label, str) and CLASS_INDEX.fullmatch(self.label) else -1

    @property
    def is_set(self) -> bool:
        """True if the line may state several classes."""
        return isinstance(self.label, tuple) or SEPARATOR in self.label


class BadLine(NamedTuple):
    """Number, from 1, and text of a line that holds something else, cut after `MAX_SHOWN_CHARACTERS` characters."""

    number: int
    text: str


Line = tuple[int, str, ListRow | None]
"""Number, from 1, and text of a line, and what it says, if that can be told."""


def parse_lines(text: str, classes: Sequence[str] = ()) -> tuple[list[ListRow], list[BadLine]]:
    """Split a list file into its rows and its faulty lines; empty lines are skipped.

    All rows state their classes in one way, by index or by name: that of most lines, and the others are of another
    form.

    Args:
        text: the content of the file.
        classes: the names in a label file next to it, which tell the columns of classes from others.

    Raises:
        InputError: a table with a column per class has other columns, or cells that are neither 0 nor 1.
    """
    read = list(_table_lines(text, classes)) or list(_plain_lines(text))
    found = [row for _, _, row in read if row]
    are_sets = any(row.is_set for row in found)
    by_index = 2 * sum(row.target >= 0 for row in found) >= len(found)
    rows = [row for row in found if are_sets or (row.target >= 0) == by_index]
    bad = [
        BadLine(number, line.strip()[:MAX_SHOWN_CHARACTERS])
        for number, line, row in read
        if row is None or not (are_sets or (row.target >= 0) == by_index)
    ]
    return rows, bad


def parse_rows(text: str, place: str, classes: Sequence[str] = ()) -> list[ListRow]:
    """Read all rows of a list file, `place` in messages; see `parse_lines`.

    Raises:
        InputError: no rows, or the number of the first line that has another form.
    """
    rows, bad = parse_lines(text, classes)
    if bad:
        raise InputError(
            f"line {bad[0].number} of {place} is {bad[0].text!r}; expected a path, a space and a class index from 0, "
            "or the name of a class on every line"
        )
    if not rows:
        raise InputError(f"{place} is empty; expected one line per image, with a path and a class")
    return rows


def _table_lines(text: str, classes: Sequence[str]) -> Iterator[Line]:
    """The lines of a table whose head names a column of paths and its classes; none of any other text."""
    found = read_table(text)
    if found is None:
        return
    table, path = found.lines, found.path
    others = [name for name in found.head if name not in (path, "")]
    of_sets, label = (named_column(others, columns) for columns in (SET_COLUMNS, LABEL_COLUMNS))
    separator = ";" if found.delimiter != ";" else None
    if label:
        yield from _labelled(table, path, label, separator)
    elif of_sets:
        yield from _of_sets(table, path, of_sets)
    elif (classes and set(classes) <= set(others)) or (
        len(others) > 1 and any(_is_binary(table, name) for name in others)
    ):
        yield from _with_class_columns(table, path, others, classes)
    else:
        yield from _labelled(table, path, _only(others), separator)


def _only(columns: Sequence[str]) -> str:
    """The one column that is left for the classes.

    Raises:
        InputError: there are several, none of which is called like one of classes.
    """
    if len(columns) == 1:
        return columns[0]
    raise InputError(
        f"the list has the columns {', '.join(map(repr, columns[:MAX_SHOWN_COLUMNS]))}, any of which may be the class "
        f"of an image; call it {LABEL_COLUMNS[0]!r}"
    )


def _labelled(table: Sequence[TableLine], path: str, label: str, other_separator: str | None) -> Iterator[Line]:
    """The lines of a table with a column of classes, one per cell unless some cell separates several."""
    cells = [line.cells.get(label, "") for line in table]
    used = [each for each in (SEPARATOR, other_separator) if each and any(each in cell for cell in cells)]
    if used:
        yield from _split(table, path, label, used)
        return
    for line, cell in zip(table, cells, strict=True):
        yield line.number, line.text, _row(line.cells.get(path, ""), cell)


def _of_sets(table: Sequence[TableLine], path: str, column: str) -> Iterator[Line]:
    """The lines of a table with a column of sets of classes, whatever separates them."""
    cells = [line.cells.get(column, "") for line in table]
    used = [each for each in SET_SEPARATORS if any(each in cell for cell in cells)]
    yield from _split(table, path, column, used or [None if column.lower() == CELLS_WITH_SPACES else SEPARATOR])


def _split(table: Sequence[TableLine], path: str, column: str, separators: Sequence[str | None]) -> Iterator[Line]:
    """The lines of a table whose cells hold sets of classes.

    Raises:
        InputError: it cannot be told which of several characters separates the classes.
    """
    if len(separators) > 1:
        raise InputError(
            f"the column {column!r} of the list holds {' and '.join(map(repr, separators))}, of which one may separate "
            f"classes; expected {SEPARATOR!r} between the classes of an image and none of the others in their names"
        )
    for line in table:
        cell = line.cells.get(column, "")
        is_read = column in line.cells and not cell.startswith("[")
        found = split_classes(cell, separators[0]) if is_read else ("",)
        yield line.number, line.text, _set_row(line.cells.get(path, ""), found)


def _with_class_columns(
    table: Sequence[TableLine], path: str, others: Sequence[str], classes: Sequence[str]
) -> Iterator[Line]:
    """The lines of a table with a column for each class that holds 0 or 1; none of any other table.

    Raises:
        InputError: some columns are of that kind and others are not, and no label file tells them apart.
    """
    named = [name for name in others if name in set(classes)]
    if classes and len(named) < len(classes):
        named = []
    columns = named or [name for name in others if _is_binary(table, name)]
    if not columns:
        return
    strange = [name for name in others if name not in columns] if not named else []
    if strange:
        raise InputError(
            f"the list has columns of 0 and 1, such as {columns[0]!r}, and others, such as "
            f"{', '.join(map(repr, strange[:MAX_SHOWN_COLUMNS]))}; expected only the path and a column of 0 or 1 per "
            "class, or the names of the columns that are classes in labels.txt next to it"
        )
    for line in table:
        cells = [line.cells.get(name, "?").lower() for name in columns]
        known = all(cell in BINARY for cell in cells)
        own = tuple(name for name, cell in zip(columns, cells, strict=True) if known and BINARY[cell])
        yield line.number, line.text, _set_row(line.cells.get(path, ""), own) if known else None


def _is_binary(table: Sequence[TableLine], column: str) -> bool:
    cells = {line.cells.get(column, "?").lower() for line in table}
    return cells <= BINARY.keys() and cells != {""}


def _plain_lines(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line, _plain_row(line)


def _plain_row(line: str) -> ListRow | None:
    match = SEPARATED.fullmatch(line) or NAMED.fullmatch(line)
    if match:
        return _row(match[1].strip("\"'"), match[2].strip().strip("\"'"))
    # A name behind a space: the path ends where an image's name does.
    ends = (gap for gap in SPACE.finditer(line.strip()) if is_image(line.strip()[: gap.start()]))
    gap = next(ends, None)
    return _row(line.strip()[: gap.start()], line.strip()[gap.end() :]) if gap else None


def _row(path: str, label: str) -> ListRow | None:
    path, label = path.strip(), label.strip()
    return ListRow(path, label) if path and is_class(label) and "\0" not in path else None


def _set_row(path: str, labels: tuple[str, ...]) -> ListRow | None:
    return ListRow(path, labels) if path and all(map(is_class, labels)) and "\0" not in path else None
