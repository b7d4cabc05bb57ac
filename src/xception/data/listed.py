"""List files: a path and a class index a line, as PaddleClas' train_list.txt or Ascend's val_label.txt hold them."""

import re
from array import array
from functools import partial
from typing import NamedTuple

from xception.data.classes import imagenet_classes, named_or_indexed, read_text
from xception.data.files import Files
from xception.data.places import locate
from xception.data.source import Item, Lazy
from xception.data.splits import Split, divided
from xception.errors import InputError

SUFFIXES = (".txt", ".lst", ".list")

ROOTS = ("", "val/")
"""Where, seen from the list's folder, its paths may begin."""

SAMPLE = 20
"""How many of a list's first paths decide where they begin."""


LINE = re.compile(r"\s*(\S|\S.*?\S)[ \t]+([0-9]{1,7})\s*")
"""A path, which may hold spaces, and an index behind the last of them."""


class Row(NamedTuple):
    """A line of a list file."""

    path: str
    target: int


def listed(data: str, split: Split | None) -> Lazy:
    """The images of a list file, in its order; an item's key is its path as the list has it.

    Paths begin at the list's folder, or at `val` in it. ImageNet's validation images have ImageNet's classes; others
    have those of `labels.txt` beside the list, and without it the indices are the model's own. With a split, train and
    validation are parts of the list.

    Raises:
        OSError: the list cannot be read.
        InputError: a line of another form, or a list of whose images none is there.
    """
    files, name = locate(data)
    text = read_text(files, name)
    if text is None:
        raise InputError(f"{data} does not exist; expected a list file with a path and a class index a line")
    rows = parse_rows(text, data)
    root = _root(files, rows, data)
    paths = [row.path for row in rows]
    targets = array("i", (row.target for row in rows))

    def item(index: int) -> Item:
        return Item(paths[index], targets[index], partial(files.read, root + paths[index]))

    classes = imagenet_classes(paths, targets) or named_or_indexed([files], targets)
    return divided(Lazy(name, classes, range(len(rows)), item), split)


def parse_rows(text: str, place: str) -> list[Row]:
    """The rows of a list file; empty lines are none.

    Raises:
        InputError: no rows, or the number of the first line that has another form.
    """
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        match = None if "\0" in line else LINE.fullmatch(line)
        if match:
            rows.append(Row(match[1], int(match[2])))
        elif line.strip():
            raise InputError(
                f"line {number} of {place} is {line.strip()[:80]!r}; expected a path, a space and a class index from 0"
            )
    if not rows:
        raise InputError(f"{place} is empty; expected a path and a class index a line")
    return rows


def _root(files: Files, rows: list[Row], place: str) -> str:
    for root in ROOTS:
        if any(_exists(files, root + row.path) for row in rows[:SAMPLE]):
            return root
    raise InputError(
        f"none of the first {len(rows[:SAMPLE])} images of {place}, such as {rows[0].path}, lies below {files.place}; "
        "put the list where its paths begin"
    )


def _exists(files: Files, name: str) -> bool:
    try:
        files.size(name)
    except FileNotFoundError:
        return False
    return True
