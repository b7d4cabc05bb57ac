"""List files with faults: each faulty line becomes a finding, and the others still form a source."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from xception.checks.findings import Finding, finding
from xception.data.classes import class_names, imagenet_classes
from xception.data.files import Below, Files, is_image
from xception.data.list_file import LIST_SUFFIXES, classes_of_rows, placed_rows
from xception.data.list_rows import BadLine, ListRow, parse_lines
from xception.data.source import Item, Lazy, Target
from xception.errors import InputError
from xception.labels import index_classes


def survey_list(name: str, text: str, files: Files) -> tuple[Lazy, list[Finding]]:
    """The images of a list file in `files`, and the faults of the list.

    Raises:
        OSError: the files next to the list cannot be read.
        InputError: an empty list, or a label file that is no text.
    """
    rows, bad = parse_lines(text, class_names([files], 0) or ())
    if not rows and not bad:
        raise InputError(f"the list {name} is empty; expected one line per image, with a path and a class index")
    root, rows = _placed(rows, files, name)
    images = Below(files, root) if root else files
    paths = [row.path for row in rows]
    targets, classes = _classes(files, rows)
    found = [
        *_bad_lines(name, bad),
        *_out_of_range(rows, classes),
        *_listed_twice(paths),
        *_unlisted(images, {*paths, *_other_lists(files, name)}),
    ]
    return _source(name, paths, targets, classes, images), found


def _source(
    name: str, paths: Sequence[str], targets: Sequence[Target], classes: tuple[str, ...], images: Files
) -> Lazy:
    """All images of a list; one whose index has no class has no label."""

    def item(index: int) -> Item:
        path, target = paths[index], targets[index]
        is_known = isinstance(target, tuple) or target < len(classes)
        return Item(path, target if is_known else None, partial(images.read, path))

    return Lazy(name, classes, range(len(paths)), item)


def _bad_lines(name: str, lines: Iterable[BadLine]) -> Iterator[Finding]:
    for line in lines:
        yield finding(
            "bad_line", [f"{name}:{line.number}"], f"{line.text!r} is no path and class, in the form of most lines"
        )


def _out_of_range(rows: Sequence[ListRow], classes: tuple[str, ...]) -> Iterator[Finding]:
    used = {row.target for row in rows}
    hint = "; do the indices begin at 1?" if used and (min(used), max(used)) == (1, len(classes)) else ""
    for row in rows:
        if row.target >= len(classes):
            detail = f"index {row.target}, but the last of {len(classes)} classes has index {len(classes) - 1}{hint}"
            yield finding("index_out_of_range", [row.path], detail)


def _classes(files: Files, rows: Sequence[ListRow]) -> tuple[Sequence[Target], tuple[str, ...]]:
    """The class index of each row, and the classes: those that the list names, or the names in the label file, else
    ImageNet's ids for its images, or one class for each index in use."""
    if rows and any(row.target < 0 for row in rows):
        return classes_of_rows(rows, files)
    named = class_names([files], 0) or imagenet_classes([row.path for row in rows], ())
    targets = [row.target for row in rows]
    return targets, named or index_classes(max(targets, default=-1) + 1)


def _placed(rows: list[ListRow], files: Files, name: str) -> tuple[str, list[ListRow]]:
    """The folder in which the paths begin, or the list's own, where each image then tells why it is not there."""
    with suppress(OSError):
        return placed_rows(rows, files, name) or ("", rows)
    return "", rows


def _listed_twice(paths: Iterable[str]) -> Iterator[Finding]:
    return (finding("listed_twice", [path], f"{count} times") for path, count in Counter(paths).items() if count > 1)


def _other_lists(files: Files, name: str) -> Iterator[str]:
    """The paths in the other lists of the folder: images of another split are not left out."""
    for other in files.entries():
        if other != name and other.lower().endswith(LIST_SUFFIXES):
            rows, _ = parse_lines(files.read(other).decode("utf-8-sig", errors="replace"))
            yield from (row.path for row in rows)


def _unlisted(images: Files, listed: set[str]) -> Iterator[Finding]:
    """Images in the folders that the list uses."""
    folders = {path.rpartition("/")[0] for path in listed}
    for folder in sorted(folders):
        prefix = f"{folder}/" if folder else ""
        for entry in sorted(_entries(images, prefix)):
            if is_image(entry) and prefix + entry not in listed:
                yield finding("unlisted", [prefix + entry])


def _entries(files: Files, folder: str) -> set[str]:
    try:
        return files.entries(folder)
    except OSError:
        return set()  # its images are missing, and said to be
