"""List files: a path and a class per line, as PaddleClas' train_list.txt or Ascend's val_label.txt hold them, or in the
columns of a table."""

import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from xception.data.classes import CLASS_INDEX, LABEL_COLUMNS, StatedClasses, imagenet_classes, is_class, read_text
from xception.data.files import Files, Stored, exists, is_image
from xception.data.inventory import Inventory
from xception.data.locations import locate
from xception.data.source import Item, Lazy
from xception.data.splits import Split, split_part
from xception.errors import InputError

LIST_SUFFIXES = (".txt", ".lst", ".list", ".csv", ".tsv")

ROOTS = ("", "val/")
"""Folders in which the paths of a list may begin, seen from the list's own folder; the first one that fits is taken."""

ROOT_SAMPLE = 20
"""Number of a list's first paths that are looked for in those folders."""

SEPARATED = re.compile(r"\s*(\S|\S.*?\S)(?:[ \t]*[,;\t][ \t]*|[ \t]+)([0-9]{1,7})\s*")
"""A path, which may hold spaces, and an index behind the last of them, or behind a comma, a semicolon or a tab."""

NAMED = re.compile(r"\s*(\S|\S.*\S)[ \t]*[,;\t][ \t]*([^,;\t]+)")
"""A path and the name of a class behind a comma, a semicolon or a tab."""

SPACE = re.compile(r"[ \t]+")

PATH_COLUMNS = ("path", "file_name", "filename", "file", "filepath", "image_path", "image", "img", "key")
"""Names of the column of paths in a table with a head, best first."""

DELIMITERS = (",", "\t", ";")

MAX_SHOWN_CHARACTERS = 80
"""Characters of a faulty line that messages show."""


class ListRow(NamedTuple):
    """A line of a list file: a path and a class, by its index or its name."""

    path: str
    label: str

    @property
    def target(self) -> int:
        """The class index that the line states; -1 where it states a name."""
        return int(self.label) if CLASS_INDEX.fullmatch(self.label) else -1


class BadLine(NamedTuple):
    """Number, from 1, and text of a line that holds something else, cut after `MAX_SHOWN_CHARACTERS` characters."""

    number: int
    text: str


def list_file(data: str, split: Split | None) -> Lazy:
    """The images of a list file, in its order; an item's key is its path as the list has it.

    Paths begin at the list's folder, or at `val` in it. ImageNet's validation images have ImageNet's classes; others
    have those of `labels.txt` next to the list, and without it the names that the list has, or its indices, which are
    the model's own. With a split, train and validation are parts of the list.

    Raises:
        OSError: the list cannot be read.
        InputError: a line of another form, or a list of whose images none is there.
    """
    files, name = locate(data)
    text = read_text(files, name)
    if text is None:
        raise InputError(f"{data} does not exist; expected a list file with a path and a class per line")
    rows = parse_rows(text, data)
    root = find_root(files, rows)
    if root is None:
        raise InputError(
            f"none of the first {len(rows[:ROOT_SAMPLE])} images of {data}, such as {rows[0].path}, lies below "
            f"{files.place}; put the list where its paths begin"
        )
    paths = [row.path for row in rows]
    targets, classes = classes_of_rows(rows, files)

    inventory = Inventory(repeated=len(paths) - len(set(paths)))
    make = partial(_item, files, root, paths, targets)
    return split_part(Lazy(name, classes, range(len(rows)), make, inventory), split)


def _item(files: Files, root: str, paths: Sequence[str], targets: Sequence[int], index: int) -> Item:
    return Item(paths[index], targets[index], Stored(files, root + paths[index]))


def classes_of_rows(rows: Sequence[ListRow], *places: Files) -> tuple["array[int]", tuple[str, ...]]:
    """The class index of each row of a list, and the classes, whose names may lie in a file in one of the places.

    Raises:
        OSError: the label file cannot be read.
        InputError: it does not name all classes.
    """
    stated = StatedClasses()
    for row in rows:
        stated.add(row.label, row.path)
    imagenet = imagenet_classes([row.path for row in rows], [row.target for row in rows])
    if imagenet:
        return array("q", (row.target for row in rows)), imagenet
    return stated.finish(places)


def parse_lines(text: str) -> tuple[list[ListRow], list[BadLine]]:
    """Split a list file into its rows and the lines that have another form; empty lines are neither.

    All rows state their classes in one way, by index or by name: that of most lines, and the others are of another
    form.
    """
    read = list(_table_lines(text)) or list(_plain_lines(text))
    found = [row for _, _, row in read if row]
    by_index = 2 * sum(row.target >= 0 for row in found) >= len(found)
    rows = [row for row in found if (row.target >= 0) == by_index]
    bad = [
        BadLine(number, line.strip()[:MAX_SHOWN_CHARACTERS])
        for number, line, row in read
        if row is None or (row.target >= 0) != by_index
    ]
    return rows, bad


Line = tuple[int, str, ListRow | None]
"""Number, from 1, and text of a line, and what it says, if that can be told."""


def _table_lines(text: str) -> Iterator[Line]:
    """The lines of a table whose head names a column of paths and one of classes; none of any other text."""
    lines = text.split("\n")
    for delimiter in DELIMITERS:
        head = [cell.strip().lower() for cell in next(csv.reader(lines[:1], delimiter=delimiter), [])]
        path = next((name for name in PATH_COLUMNS if name in head), None)
        label = next((name for name in LABEL_COLUMNS if name in head and name != path), None)
        if path and label:
            for number, line in enumerate(lines[1:], 2):
                if line.strip():
                    cells = dict(zip(head, next(csv.reader([line], delimiter=delimiter), []), strict=False))
                    yield number, line, _row(cells.get(path, ""), cells.get(label, ""))
            return


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


def parse_rows(text: str, place: str) -> list[ListRow]:
    """Read all rows of a list file, `place` in messages.

    Raises:
        InputError: no rows, or the number of the first line that has another form.
    """
    rows, bad = parse_lines(text)
    if bad:
        raise InputError(
            f"line {bad[0].number} of {place} is {bad[0].text!r}; expected a path, a space and a class index from 0, "
            "or the name of a class on every line"
        )
    if not rows:
        raise InputError(f"{place} is empty; expected one line per image, with a path and a class")
    return rows


def find_root(files: Files, rows: Sequence[ListRow]) -> str | None:
    """Find the folder in which the paths of a list begin, as one of `ROOTS`; None where none of the first is there.

    Raises:
        OSError: the folders cannot be read.
    """
    first = rows[:ROOT_SAMPLE]
    return next((root for root in ROOTS if any(exists(files, root + row.path) for row in first)), None)
