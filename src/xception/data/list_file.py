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
from xception.data.metadata import list_column
from xception.data.source import Item, Lazy, Target
from xception.data.splits import Split, split_part
from xception.errors import InputError
from xception.waits import TOLD_EVERY, each

LIST_SUFFIXES = (".txt", ".lst", ".list", ".csv", ".tsv", ".jsonl")

ROOTS = ("", "val/")
"""Folders in which the paths of a list begin first of all, seen from the list's own folder."""

ROOT_SAMPLE = 20
"""Number of a list's first paths that are looked for in folders, and of folders next to it that are looked into."""


def list_file(data: str, split: Split | None) -> Lazy:
    """The images of a list file, in its order; an item's key is its path as the list has it.

    Paths begin at the list's folder or at a folder in it, see `placed_rows`. ImageNet's validation images have
    ImageNet's classes; others have those of `labels.txt` next to the list, and without it the names that the list has,
    or its indices, which are the model's own. With a split, train and validation are parts of the list.

    Raises:
        OSError: the list cannot be read.
        InputError: a line of another form, or a list of whose images none is there.
    """
    files, name = locate(data)
    text = read_text(files, name)
    if text is None:
        raise InputError(f"{data} does not exist; expected a list file with a path and a class per line")
    listed = parse_rows(text, data, class_names([files], 0) or ())
    placed = placed_rows(listed, files, name)
    if placed is None:
        raise InputError(
            f"none of the first {len(listed[:ROOT_SAMPLE])} images of {data}, such as {listed[0].path}, lies below "
            f"{files.place}; put the list where its paths begin"
        )
    root, rows = placed
    paths = [row.path for row in rows]
    targets, classes = classes_of_rows(rows, files)

    inventory = Inventory(repeated=len(paths) - len(set(paths)))
    make = partial(_item, files, root, paths, targets)
    column = partial(list_column, files, name, len(rows))
    return split_part(Lazy(name, classes, range(len(rows)), make, inventory, column), split)


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
    for row in each(rows, "reading the list", len(rows), told_every=TOLD_EVERY):
        stated.add(row.label, row.path)
    by_index = all(row.target >= 0 for row in rows)
    if by_index and imagenet_classes([row.path for row in rows], [row.target for row in rows]):
        return array("q", (row.target for row in rows)), imagenet_classes([row.path for row in rows], ())
    return stated.finish(places)


def placed_rows(rows: list[ListRow], files: Files, name: str) -> tuple[str, list[ListRow]] | None:
    """Find the folder in which the paths of a list begin: one of `ROOTS`, or else a folder next to the list. Paths may
    lack the endings of images, or have the backslashes of Windows.

    Returns:
        The folder, `""` or ending in `/`, and the rows with whole paths in it, without a head; None where none of the
        first images is there.

    Raises:
        OSError: the folders cannot be read.
        InputError: the images lie in several folders next to the list.
    """
    for spelled in (rows, [row._replace(path=row.path.replace("\\", "/")) for row in rows]):
        found = next((found for root in ROOTS if (found := _rows_in(root, spelled, files))), None)
        if found := found or _next_to_it(spelled, files, name):
            return found
    return None


def _rows_in(root: str, rows: list[ListRow], files: Files) -> tuple[str, list[ListRow]] | None:
    """The rows with whole paths in a folder, if one of the first images is there."""
    whole = _without_head(_with_suffixes(rows, files, root))
    return (root, whole) if any(exists(files, root + row.path) for row in whole[:ROOT_SAMPLE]) else None


def _next_to_it(rows: list[ListRow], files: Files, name: str) -> tuple[str, list[ListRow]] | None:
    """The one folder next to a list in which its first images are, or the one that is called like the list."""
    folders = sorted(entry for entry in _entries(files, "") if entry.endswith("/") and entry not in ROOTS)
    found = [placed for folder in folders[:ROOT_SAMPLE] if (placed := _rows_in(folder, rows, files))]
    stem = PurePosixPath(name).stem.casefold()
    best = [placed for placed in found if placed[0].rstrip("/").casefold() == stem] or found
    if len(best) > 1:
        raise InputError(
            f"the images of {name} lie in {' and '.join(root for root, _ in best[:2])} of {files.place} alike; put the "
            "list in the folder where its paths begin"
        )
    return best[0] if best else None


def _without_head(rows: list[ListRow]) -> list[ListRow]:
    """The rows without the first one if it is none of an image, and all others are."""
    is_head = len(rows) > 1 and not is_image(rows[0].path) and all(is_image(row.path) for row in rows[1:])
    return rows[1:] if is_head else rows


def _with_suffixes(rows: list[ListRow], files: Files, folder: str) -> list[ListRow]:
    """The rows with whole file names, where the list has them without a suffix, as Planet's and ImageNet's have."""
    if all(is_image(row.path) for row in rows):
        return rows
    by_stem = {PurePosixPath(entry).stem: entry for entry in _entries(files, folder) if is_image(entry)}
    return [row if is_image(row.path) else row._replace(path=by_stem.get(row.path, row.path)) for row in rows]


def _entries(files: Files, folder: str) -> set[str]:
    """The files and folders in a folder; none where it cannot be listed."""
    try:
        return files.entries(folder)
    except OSError:
        return set()
