"""Class names, and the identifiers by which data sets know them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from xception import inputs
from xception.errors import InputError


@dataclass(frozen=True)
class Labels:
    """Class names in the order of the logits; `ids` are the classes' folder names, such as ImageNet's WordNet ids."""

    names: tuple[str, ...]
    ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def targets(self, classes: Sequence[str]) -> tuple[int, ...]:
        """The logit index of each of a data set's classes, found by id or by name.

        A class without a name is called by its index, see `index_classes`, and is the logit of that index.

        Raises:
            InputError: a class that these labels do not hold, or hold twice. Order is never guessed.
        """
        # ImageNet has two cranes: a name that several classes bear identifies none of them.
        bearers = Counter(self.names)
        unique = {name: i for i, name in enumerate(self.names) if bearers[name] == 1}
        numbered = {name: i for i, name in enumerate(index_classes(len(self)))}
        index = numbered | unique | {name: i for i, name in enumerate(self.ids)}
        # macOS takes the accents in names of folders apart.
        composed = {_composed(name): i for name, i in index.items()}
        places = {name: index.get(name, composed.get(_composed(name))) for name in classes}
        found = {name: place for name, place in places.items() if place is not None}
        unknown = [name for name in classes if name not in found]
        if unknown:
            first = repr(self.names[0]) if self.names else "none"
            raise InputError(
                f"{len(unknown)} of the data's {len(classes)} classes are not among the model's {len(self)} labels, "
                f"or fit several (such as {unknown[0]!r}; the labels begin with {first}); "
                f"use data of the model's classes, or rename the folders{_hint(classes, len(self))}"
            )
        return tuple(found[name] for name in classes)


def _composed(name: str) -> str:
    """The name with each accent and its letter as one character, where there is one."""
    return unicodedata.normalize("NFC", name)


def _hint(classes: Sequence[str], count: int) -> str:
    """A remedy for names where the data's classes may be called by their indices."""
    if not all(name.isascii() and name.isdecimal() and len(name) < 8 and int(name) < count for name in classes):
        return ""
    return f"; if these names are indices, xception evaluate takes them as such with --class-map {INDICES}"


INDICES = "indices"
"""Takes the place of a class map: the data's classes are called by the model's indices."""

MAX_CLASSES = 1_000_000
"""Classes that data or a model may have; the largest public data sets have some 20,000."""

MAX_PLACE_DIGITS = len(str(MAX_CLASSES - 1))
"""Digits that the index of a class may have."""

COUNTED_LINE = re.compile(r"([0-9]+)[ \t]*[ \t:,;.][ \t]*(\S.*)")
"""A line of a list of classes that begins with the number of its class."""

NO_LABELS = Labels(())
"""Labels of a model that answers with embeddings."""


def index_classes(count: int) -> tuple[str, ...]:
    """Names of classes in data that hold nothing but class indices: `#0`, `#1`, ...

    They are not written as `0`, `1`, ..., which may be names: handwritten digits are not ImageNet's first ten classes.

    Raises:
        InputError: more than `MAX_CLASSES`.
    """
    if count > MAX_CLASSES:
        raise InputError(
            f"the data use the class index {count - 1}, where those below {MAX_CLASSES:,} are expected; check the "
            "labels"
        )
    return tuple(f"#{index}" for index in range(count))


def parse_labels(text: str) -> Labels:
    """Labels from one class per line: a name, or an id, a tab and a name. Empty lines at the end are none."""
    rows = [line.rstrip("\r").split("\t", 1) for line in text.rstrip("\r\n").split("\n")]
    if all(len(row) == 2 for row in rows):
        return Labels(tuple(row[1] for row in rows), tuple(row[0] for row in rows))
    return Labels(tuple("\t".join(row) for row in rows))


def labels_text(labels: Labels) -> str:
    """The inverse of `parse_labels`.

    Raises:
        InputError: a name that would be read back as another one, such as one with a line break.
    """
    rows = zip(labels.ids, labels.names, strict=True) if labels.ids else zip(labels.names)
    text = "".join("\t".join(row) + "\n" for row in rows)
    if parse_labels(text) != labels:
        raise InputError(
            "the class names cannot be written one per line: one is empty or holds a line break or a tab; rename it"
        )
    return text


def read_labels(path: Path) -> Labels:
    """Read labels that a user names: a text in the form of `parse_labels`, whose lines may be numbered from 0, or JSON
    in one of the forms of `named_classes`.

    Raises:
        InputError: the file is missing, empty, has an empty line, is not UTF-8, or JSON of another form.
    """
    try:
        text = _filled(inputs.decode_text(inputs.read_bytes(path, inputs.LABELS_LIMIT)), path)
    except (OSError, UnicodeDecodeError) as error:
        raise _no_labels(path, error) from error
    if text.lstrip()[:1] not in ("{", "["):
        return _without_numbers(_on_every_line(parse_labels(text), path))
    try:
        named = named_classes(inputs.parse_json(text, dict[str, object] | list[object]))
    except msgspec.DecodeError:
        return parse_labels(text)
    if named is None:
        raise InputError(
            f"the label file {path} is JSON of another form; expected a list of names, names by their indices, or "
            "indices by their names, for all indices from 0 on"
        )
    return named


def decode_labels(content: bytes, place: Path) -> Labels:
    """Labels from the content of a file in the form of `parse_labels`; `place` names it in messages.

    Raises:
        InputError: it is empty or not UTF-8.
    """
    try:
        return parse_labels(_filled(content.decode("utf-8"), place))
    except UnicodeDecodeError as error:
        raise _no_labels(place, error) from error


def named_classes(value: object) -> Labels | None:
    """Labels from what programs keep them in; None for anything else.

    Args:
        value: a list of names; a dictionary of names by index, as numbers or text, such as transformers' `id2label`;
            one of indices by name, such as torchvision's `class_to_idx`; or Keras' dictionary of pairs of id and name.
    """
    if isinstance(value, Mapping):
        is_inverse = all(type(place) is int for place in value.values())
        pairs = ((place, name) for name, place in value.items()) if is_inverse else value.items()
        by_index = {int(place): name for place, name in pairs if type(place) is int or _is_number(place)}
        rows = [by_index.get(place) for place in range(len(value))]
    else:
        rows = list(value) if isinstance(value, list | tuple) else []
    if rows and all(map(_is_name, rows)):
        return Labels(tuple(map(str, rows)))
    if rows and all(isinstance(row, list | tuple) and len(row) == 2 and all(map(_is_name, row)) for row in rows):
        ids, names = zip(*rows, strict=True)
        return Labels(names, ids)
    return None


def _is_number(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= MAX_PLACE_DIGITS


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _on_every_line(labels: Labels, path: Path) -> Labels:
    """Labels of which none is empty, which would move those behind it.

    Raises:
        InputError: a line is empty.
    """
    empty = [place for place, name in enumerate(labels.names, 1) if not name.strip()]
    if empty:
        raise InputError(f"line {empty[0]} of the label file {path} is empty; expected one class on every line")
    return labels


def _without_numbers(labels: Labels) -> Labels:
    """The labels without the numbers in front of them, if those of all lines count them from 0."""
    lines = labels.names if not labels.ids else map(" ".join, zip(labels.ids, labels.names, strict=True))
    found = [COUNTED_LINE.fullmatch(line) for line in lines]
    names = [match[2] for place, match in enumerate(found) if match and match[1] == str(place)]
    return Labels(tuple(names)) if len(names) == len(labels) else labels


def _filled(text: str, place: Path) -> str:
    if not text.strip():
        raise InputError(f"the label file {place} is empty; expected one class per line")
    return text


def _no_labels(path: Path, error: Exception) -> InputError:
    return InputError(f"cannot read the label file {path}: {_reason(error)}; expected UTF-8 text, one class per line")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def class_map_of(place: str | None, classes: Sequence[str]) -> dict[str, str]:
    """The model's class for each of a data set's: none are said, `indices`, or those of a JSON file.

    Raises:
        InputError: the file cannot be read, or a class that is to be an index is none.
    """
    if place is None:
        return {}
    if place != INDICES:
        return read_class_map(Path(place))
    strange = [name for name in classes if not name.removeprefix("#").isdecimal()]
    if strange:
        raise InputError(f"the class {strange[0]!r} of the data is no index; expected --class-map FILE for such names")
    # `int` takes leading zeros away.
    return {name: f"#{int(name.removeprefix('#'))}" for name in classes}


def read_class_map(path: Path) -> dict[str, str]:
    """Read the model's class for each of a data set's, by id or name, from JSON: `{"DATA CLASS": "MODEL CLASS", ...}`.

    Raises:
        InputError: the file cannot be read or is of another form.
    """
    try:
        return inputs.parse_json(inputs.decode_text(inputs.read_bytes(path, inputs.DOCUMENT_LIMIT)), dict[str, str])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise InputError(
            f'cannot read the class map {path}: {_reason(error)}; expected JSON, {{"data class": "model class", ...}}'
        ) from error


@cache
def imagenet1k() -> Labels:
    """The 1,000 classes of ILSVRC 2012 in the order of their WordNet ids, which are the `ids` here."""
    rows = files("xception").joinpath("assets/imagenet1k.tsv").read_text(encoding="utf-8").splitlines()[1:]
    columns = tuple(zip(*(row.split("\t") for row in rows), strict=True))
    return Labels(names=columns[2], ids=columns[1])
