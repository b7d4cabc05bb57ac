"""List files: a path and a class per line, as PaddleClas' train_list.txt or Ascend's val_label.txt hold them, or in the
columns of a table."""

from array import array
from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath

from xception.data.classes import StatedClasses, Targets, class_names, imagenet_classes, read_text
from xception.data.files import Files, Stored, exists, is_image
from xception.data.inventory import Inventory
from xception.data.list_rows import ListRow, parse_rows
from xception.data.locations import locate
from xception.data.source import Item, Lazy, Target
from xception.data.splits import Split, split_part
from xception.errors import InputError

LIST_SUFFIXES = (".txt", ".lst", ".list", ".csv", ".tsv")

ROOTS = ("", "val/")
"""Folders in which the paths of a list may begin, seen from the list's own folder; the first one that fits is taken."""

ROOT_SAMPLE = 20
"""Number of a list's first paths that are looked for in those folders."""


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
    rows = with_suffixes(parse_rows(text, data, class_names([files], 0) or ()), files)
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


def _item(files: Files, root: str, paths: Sequence[str], targets: Sequence[Target], index: int) -> Item:
    return Item(paths[index], targets[index], Stored(files, root + paths[index]))


def classes_of_rows(rows: Sequence[ListRow], *places: Files) -> tuple[Targets, tuple[str, ...]]:
    """The class index or indices of each row of a list, and the classes, whose names may lie in a file in one of the
    places.

    Raises:
        OSError: the label file cannot be read.
        InputError: it does not name all classes.
    """
    stated = StatedClasses()
    for row in rows:
        stated.add(row.label, row.path)
    by_index = all(row.target >= 0 for row in rows)
    if by_index and imagenet_classes([row.path for row in rows], [row.target for row in rows]):
        return array("q", (row.target for row in rows)), imagenet_classes([row.path for row in rows], ())
    return stated.finish(places)


def find_root(files: Files, rows: Sequence[ListRow]) -> str | None:
    """Find the folder in which the paths of a list begin, as one of `ROOTS`; None where none of the first is there.

    Raises:
        OSError: the folders cannot be read.
    """
    first = rows[:ROOT_SAMPLE]
    return next((root for root in ROOTS if any(exists(files, root + row.path) for row in first)), None)


def with_suffixes(rows: list[ListRow], files: Files) -> list[ListRow]:
    """The rows with whole file names, where the list has them without a suffix, as Planet's and ImageNet's have."""
    if all(is_image(row.path) for row in rows):
        return rows
    try:
        by_stem = {PurePosixPath(entry).stem: entry for entry in files.entries() if is_image(entry)}
    except OSError:
        return rows
    return [row if is_image(row.path) else row._replace(path=by_stem.get(row.path, row.path)) for row in rows]
