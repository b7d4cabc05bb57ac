"""List files: a path and a class index per line, as PaddleClas' train_list.txt or Ascend's val_label.txt hold them."""

import re
from array import array
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from xception.data.classes import classes_of_indices, imagenet_classes, read_text
from xception.data.files import Files, exists
from xception.data.inventory import Inventory
from xception.data.locations import locate
from xception.data.source import Item, Lazy
from xception.data.splits import Split, split_part
from xception.errors import InputError

LIST_SUFFIXES = (".txt", ".lst", ".list")

ROOTS = ("", "val/")
"""Folders in which the paths of a list may begin, seen from the list's own folder; the first one that fits is taken."""

ROOT_SAMPLE = 20
"""Number of a list's first paths that are looked for in those folders."""

LIST_LINE = re.compile(r"\s*(\S|\S.*?\S)[ \t]+([0-9]{1,7})\s*")
"""A path, which may hold spaces, and an index behind the last of them."""

MAX_SHOWN_CHARACTERS = 80
"""Characters of a faulty line that messages show."""


class ListRow(NamedTuple):
    """A line of a list file."""

    path: str
    target: int


class BadLine(NamedTuple):
    """Number, from 1, and text of a line that holds something else, cut after `MAX_SHOWN_CHARACTERS` characters."""

    number: int
    text: str


def list_file(data: str, split: Split | None) -> Lazy:
    """The images of a list file, in its order; an item's key is its path as the list has it.

    Paths begin at the list's folder, or at `val` in it. ImageNet's validation images have ImageNet's classes; others
    have those of `labels.txt` next to the list, and without it the indices are the model's own. With a split, train and
    validation are parts of the list.

    Raises:
        OSError: the list cannot be read.
        InputError: a line of another form, or a list of whose images none is there.
    """
    files, name = locate(data)
    text = read_text(files, name)
    if text is None:
        raise InputError(f"{data} does not exist; expected a list file with a path and a class index per line")
    rows = parse_rows(text, data)
    root = find_root(files, rows)
    if root is None:
        raise InputError(
            f"none of the first {len(rows[:ROOT_SAMPLE])} images of {data}, such as {rows[0].path}, lies below "
            f"{files.place}; put the list where its paths begin"
        )
    paths = [row.path for row in rows]
    targets = array("i", (row.target for row in rows))

    def item(index: int) -> Item:
        return Item(paths[index], targets[index], partial(files.read, root + paths[index]))

    classes = imagenet_classes(paths, targets) or classes_of_indices([files], targets)
    inventory = Inventory(repeated=len(paths) - len(set(paths)))
    return split_part(Lazy(name, classes, range(len(rows)), item, inventory), split)


def parse_lines(text: str) -> tuple[list[ListRow], list[BadLine]]:
    """Split a list file into its rows and the lines that have another form; empty lines are neither."""
    rows: list[ListRow] = []
    bad: list[BadLine] = []
    for number, line in enumerate(text.split("\n"), 1):
        match = None if "\0" in line else LIST_LINE.fullmatch(line)
        if match:
            rows.append(ListRow(match[1], int(match[2])))
        elif line.strip():
            bad.append(BadLine(number, line.strip()[:MAX_SHOWN_CHARACTERS]))
    return rows, bad


def parse_rows(text: str, place: str) -> list[ListRow]:
    """Read all rows of a list file, `place` in messages.

    Raises:
        InputError: no rows, or the number of the first line that has another form.
    """
    rows, bad = parse_lines(text)
    if bad:
        raise InputError(
            f"line {bad[0].number} of {place} is {bad[0].text!r}; expected a path, a space and a class index from 0"
        )
    if not rows:
        raise InputError(f"{place} is empty; expected one line per image, with a path and a class index")
    return rows


def find_root(files: Files, rows: Sequence[ListRow]) -> str | None:
    """Find the folder in which the paths of a list begin, as one of `ROOTS`; None where none of the first is there.

    Raises:
        OSError: the folders cannot be read.
    """
    first = rows[:ROOT_SAMPLE]
    return next((root for root in ROOTS if any(exists(files, root + row.path) for row in first)), None)
