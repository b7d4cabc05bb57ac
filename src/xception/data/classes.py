"""The names of classes that data know only by index."""

import re
from collections.abc import Iterable

from xception.data.files import Files
from xception.errors import InputError
from xception.labels import imagenet1k, index_classes, parse_labels

IMAGENET = re.compile(r"(?:.*/)?ILSVRC2012_val_[0-9]{8}(?:\.JPEG)?", re.IGNORECASE)

DEVKIT = "ILSVRC2012_devkit_t12"
"""Name of ImageNet's development kit, as a folder and as an archive."""

LABEL_FILES = ("labels.txt", "classes.txt")
"""Names of the files with class names, one per line, that may lie next to the data."""


def class_names(places: Iterable[Files], count: int) -> tuple[str, ...] | None:
    """The classes from the first label file in one of these places, or None where there is none.

    Raises:
        OSError: a label file cannot be read.
        InputError: it is no UTF-8 text, or names fewer than the `count` classes that are in use.
    """
    for files in places:
        for name in LABEL_FILES:
            text = read_text(files, name)
            if text is not None:
                labels = parse_labels(text)
                if len(labels) < count:
                    raise InputError(
                        f"{files.place}/{name} names {len(labels)} classes, but the data use {count}; add the others"
                    )
                return labels.ids or labels.names
    return None


def imagenet_classes(names: Iterable[str], targets: Iterable[int]) -> tuple[str, ...]:
    """ImageNet's WordNet ids, where all names are those of its validation images; else an empty tuple."""
    ids = imagenet1k().ids
    return ids if all(map(IMAGENET.fullmatch, names)) and max(targets, default=0) < len(ids) else ()


def classes_of_indices(places: Iterable[Files], targets: Iterable[int]) -> tuple[str, ...]:
    """The classes of data that hold indices: by name where a label file gives any, else as the model's own indices."""
    count = max(targets, default=-1) + 1
    return class_names(places, count) or index_classes(count)


def read_text(files: Files, name: str) -> str | None:
    """Read a text file; None if there is none.

    Raises:
        OSError: it cannot be read.
        InputError: it is not UTF-8.
    """
    try:
        return files.read(name).decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InputError(f"{files.place}/{name} is not UTF-8 text: {error}; save it as such") from error
