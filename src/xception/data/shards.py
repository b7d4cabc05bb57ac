"""Tar shards in the WebDataset layout: the files of a sample share a key, `KEY.jpg` beside `KEY.cls`."""

import re
import tarfile
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product
from pathlib import Path, PurePosixPath

from xception.data.folder import SUFFIXES, kept
from xception.data.source import Item, Items
from xception.errors import InputError
from xception.labels import read_labels

Span = tuple[Path, int, int]
"""Where a file lies: the shard, its first byte there, and its length in bytes."""

LABELS = ("labels.txt", "classes.txt")
"""Under which names the class names may lie beside the shards, one a line."""


def is_shards(data: str) -> bool:
    """Whether a name is one of tar shards, such as `train-{000000..000009}.tar`."""
    return data.endswith(".tar")


def shards(pattern: str, split: str | None) -> Items:
    """All samples of the shards, in order of shard and place; an item's key is `SHARD/KEY`.

    `KEY.cls` holds the class index as text. Class names come from `labels.txt` beside the shards; without it
    they are the indices. With a split, train and validation are parts of the shards, drawn by a hash of each key.

    Raises:
        InputError: a missing or broken shard, or a sample without an image or a class.
    """
    paths = [Path(path) for path in expand_braces(pattern)]
    rows = [(f"{path.stem}/{key}", files) for path in paths for key, files in _samples(path)]
    classes = [_class(key, files) for key, files in rows]
    names = _class_names(paths[0].parent, max(classes, default=0) + 1)
    items = (
        Item(key, target, partial(_read, _image(key, files)))
        for (key, files), target in zip(rows, classes, strict=True)
    )
    name = Path(pattern).name
    return Items(f"{name}:{split}" if split else name, names, tuple(kept(items, split)))


def expand_braces(pattern: str) -> list[str]:
    """`a-{08..10}.tar` as its three names; the zeros in front are kept."""
    parts = re.split(r"\{(\d+)\.\.(\d+)\}", pattern)
    fixed, firsts, lasts = parts[::3], parts[1::3], parts[2::3]
    ranges = [
        [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
        for first, last in zip(firsts, lasts, strict=True)
    ]
    return ["".join(_interleaved(fixed, numbers)) for numbers in product(*ranges)]


def _interleaved(fixed: list[str], numbers: Iterable[str]) -> Iterator[str]:
    yield fixed[0]
    for number, text in zip(numbers, fixed[1:], strict=True):
        yield from (number, text)


def _samples(path: Path) -> Iterator[tuple[str, dict[str, Span]]]:
    """Keys with their files by suffix; only neighbours belong together, as in WebDataset."""
    last, files = None, {}
    for name, span in _members(path):
        folder, base = PurePosixPath(name).parent, PurePosixPath(name).name
        stem, _, suffix = base.partition(".")
        key = str(folder / stem)
        if key != last and last is not None:
            yield last, files
            files = {}
        last = key
        files["." + suffix.lower()] = span
    if last is not None:
        yield last, files


def _members(path: Path) -> Iterator[tuple[str, Span]]:
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, (path, member.offset_data, member.size)
    except OSError as error:
        raise InputError(f"cannot read the shard {path}: {error.strerror or error}; expected a tar file") from error
    except tarfile.TarError as error:
        raise InputError(f"the shard {path} is broken or compressed: {error}; expected a plain tar file") from error


def _read(span: Span) -> bytes:
    path, first, length = span
    with path.open("rb") as file:
        file.seek(first)
        return file.read(length)


def _image(key: str, files: dict[str, Span]) -> Span:
    for suffix, span in files.items():
        if suffix in SUFFIXES:
            return span
    raise InputError(f"the sample {key} has no image, only {', '.join(files)}; expected one of {', '.join(SUFFIXES)}")


def _class(key: str, files: dict[str, Span]) -> int:
    if ".cls" not in files:
        raise InputError(f"the sample {key} has no class, only {', '.join(files)}; expected {key}.cls")
    text = _read(files[".cls"]).decode(errors="replace").strip()
    if not text.isdecimal():
        raise InputError(f"the class of the sample {key} is {text[:20]!r}; expected an index, counted from 0")
    return int(text)


def _class_names(folder: Path, count: int) -> tuple[str, ...]:
    for path in (folder / name for name in LABELS):
        if path.is_file():
            labels = read_labels(path)
            if len(labels) < count:
                raise InputError(f"{path} names {len(labels)} classes, but the shards use {count}; add the others")
            return labels.ids or labels.names
    return tuple(map(str, range(count)))
