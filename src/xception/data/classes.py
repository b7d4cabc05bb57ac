"""The classes of data: as samples state them, by an index or a name, one or several each, and their names."""

import re
from array import array
from collections.abc import Iterable, Sequence
from typing import overload

from xception.data.files import Files
from xception.errors import InputError
from xception.inputs import decode_text
from xception.labels import MAX_CLASSES, imagenet1k, index_classes, parse_labels

IMAGENET = re.compile(r"(?:.*/)?ILSVRC2012_val_[0-9]{8}(?:\.JPEG)?", re.IGNORECASE)

DEVKIT = "ILSVRC2012_devkit_t12"
"""Name of ImageNet's development kit, as a folder and as an archive."""

LABEL_FILES = ("labels.txt", "classes.txt")
"""Names of the files with class names, one per line, that may lie next to the data."""


SET_COLUMNS = ("tags", "finding labels", "finding_labels", "label_set", "classes", "categories")
"""Names under which tables and records hold all classes of an image, best first."""

LABEL_COLUMNS = (
    *("label", "labels", "fine_label", "class", "class_id", "class_name", "cls", "target", "category"),
    *("label_name", "label_id", "class_label"),
)
"""Names under which tables and records hold a class, best first."""

MAX_INDEX_DIGITS = 7
"""Digits of a class index."""

CLASS_INDEX = re.compile(f"[0-9]{{1,{MAX_INDEX_DIGITS}}}")

NO_LABEL = -1
"""Class index of a sample that has none."""

SEPARATOR = "|"
"""Character between the classes of one image, which thus is in no class's name."""

Stated = str | tuple[str, ...]
"""The class of a sample as text, an index or a name; or all its classes, which may be none."""


class LabelSets(Sequence[int | tuple[int, ...]]):
    """The class indices of each sample of multi-label data, in two flat arrays; `NO_LABEL` of one that has no label.

    Args:
        indices: those of all samples, one after the other.
        ends: for each sample the number of indices up to and with its own.
    """

    def __init__(self, indices: "array[int]", ends: Sequence[int]) -> None:
        self.indices, self._ends = indices, ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int, /) -> int | tuple[int, ...]: ...

    @overload
    def __getitem__(self, place: slice, /) -> list[int | tuple[int, ...]]: ...

    def __getitem__(self, place: int | slice, /) -> int | tuple[int, ...] | list[int | tuple[int, ...]]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        end = self._ends[place]
        own = self.indices[self._ends[place - 1] if place % len(self) else 0 : end]
        return NO_LABEL if NO_LABEL in own else tuple(sorted(own))


Targets = Sequence[int | tuple[int, ...]]
"""The class index of each sample, or the set of them; `NO_LABEL` of one that has none."""


class StatedClasses:
    """The classes of samples that state them as text: all by an index, counted from 0, or all by a name.

    Where a sample states a set of classes, as a tuple or with `SEPARATOR` between them, the data are multi-label.
    """

    def __init__(self) -> None:
        self._targets = array("q")
        self._ends: array[int] | None = None
        self._names: dict[str, int] = {}
        self._first: tuple[str, str] | None = None

    def add(self, stated: Stated | None, place: str) -> None:
        """Note the class or the classes of the next sample, `place` in messages; None of one without a label.

        Raises:
            InputError: text that can be no class, or a name among indices.
        """
        if isinstance(stated, str) and SEPARATOR in stated:
            stated = split_classes(stated, SEPARATOR)
        if isinstance(stated, tuple):
            self._ends = array("q", range(1, len(self._targets) + 1)) if self._ends is None else self._ends
            for text in dict.fromkeys(stated):
                self._add(text, place)
        else:
            self._add(stated, place)
        if self._ends is not None:
            self._ends.append(len(self._targets))

    def _add(self, text: str | None, place: str) -> None:
        if text is None:
            self._targets.append(NO_LABEL)
            return
        self._check(text, place)
        is_index = CLASS_INDEX.fullmatch(text) is not None
        self._targets.append(int(text) if is_index else self._names.setdefault(text, len(self._names)))

    def _check(self, text: str, place: str) -> None:
        if text.isdecimal() and text.isascii() and int(text[: MAX_INDEX_DIGITS + 1]) >= MAX_CLASSES:
            raise InputError(
                f"{place} uses the class index {text[:20]}, where those below {MAX_CLASSES:,} are expected; check the "
                "labels"
            )
        if not is_class(text):
            raise InputError(f"the class of {place} is {text[:20]!r}; expected an index, counted from 0, or a name")
        first, where = self._first = self._first or (text, place)
        if bool(CLASS_INDEX.fullmatch(text)) != bool(CLASS_INDEX.fullmatch(first)):
            raise InputError(
                f"the class of {place} is {text[:20]!r} and that of {where} is {first[:20]!r}; expected indices "
                "everywhere, or names"
            )

    @property
    def by_name(self) -> bool:
        """True if the classes are stated by name."""
        return bool(self._names)

    @property
    def highest(self) -> int:
        """The highest index in use; `NO_LABEL` where no sample has a class."""
        return max(self._targets, default=NO_LABEL)

    def finish(self, places: Iterable[Files]) -> tuple[Targets, tuple[str, ...]]:
        """The class index, or the set of them, of each sample, and the classes by their names.

        Names have the order of a label file in one of the places, and without one that of the alphabet.

        Raises:
            OSError: a label file cannot be read.
            InputError: it names fewer classes than are in use, or not all names.
        """
        if not self._names:
            return self._arranged(self._targets), classes_of_indices(places, self._targets)
        classes = class_names(places, 0) or tuple(sorted(self._names))
        index = {name: place for place, name in enumerate(classes)}
        missing = sorted(self._names.keys() - index.keys())
        if missing:
            raise InputError(
                f"the class {missing[0]!r} of the data is none of the {len(classes)} in the label file next to them; "
                "add it"
            )
        order = [index[name] for name in self._names]
        targets = array("q", (target if target == NO_LABEL else order[target] for target in self._targets))
        return self._arranged(targets), classes

    def _arranged(self, targets: "array[int]") -> Targets:
        return targets if self._ends is None else LabelSets(targets, self._ends)


def split_classes(text: str, separator: str | None) -> tuple[str, ...]:
    """The classes in a text, each once, with white space between them if there is no `separator`."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(separator) if part.strip()))


def is_class(text: str) -> bool:
    """Tell whether text may be a class: an index from 0, or a name, which no other number is."""
    if CLASS_INDEX.fullmatch(text):
        return True
    try:
        float(text)
    except ValueError:
        return bool(text.strip()) and text.isprintable() and not text.isnumeric()
    return False


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
    """Read a text file, see `inputs.decode_text`; None if there is none.

    Raises:
        OSError: it cannot be read.
        InputError: it is not UTF-8.
    """
    try:
        return decode_text(files.read(name))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InputError(f"{files.place}/{name} is not UTF-8 text: {error}; save it as such") from error
