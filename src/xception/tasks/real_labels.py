"""Several right answers per image: the form of ReaL, the reassessed labels of ImageNet's validation images.

L. Beyer et al., Are we done with ImageNet? (2020)
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import msgspec

from xception import inputs
from xception.errors import InputError
from xception.labels import Labels

Entry = list[int | str]
"""The right classes of an image, by index or by name; none if it shows nothing that the model knows."""

IMAGENET_KEY = re.compile(r"ILSVRC2012_val_(\d{8})")
"""A validation image's place in the list, counted from one, is in its name."""


@dataclass(frozen=True)
class RealLabels:
    """The right classes of each image of a source; `images` is how many it has."""

    path: Path
    entries: list[Entry] | dict[str, Entry]
    labels: Labels
    images: int

    def valid(self, key: str, position: int) -> frozenset[int]:
        """The model's indices of an image's right classes, given its place in the source, counted from zero.

        Raises:
            InputError: the image has no entry, or one that names no class of the model.
        """
        if isinstance(self.entries, dict):
            entry = _by_name(self.entries, key)
        else:
            entry = _by_place(self.entries, key, position if len(self.entries) == self.images else None)
        if entry is None:
            raise InputError(
                f"{self.path} has no entry for {key}; expected one for every image, an empty list where no class is "
                "right, under the image's path or name, or in the order of the images"
            )
        return frozenset(self._index(key, name) for name in entry)

    def _index(self, key: str, name: int | str) -> int:
        if isinstance(name, str):
            return self._named[name]
        if not 0 <= name < len(self.labels):
            raise InputError(
                f"{self.path} gives {key} the class {name}; expected indices below {len(self.labels)}, or class names"
            )
        return name

    @property
    def digest(self) -> str:
        """SHA-256 of the entries, however they are laid out in the file."""
        return hashlib.sha256(msgspec.json.encode(self.entries, order="sorted")).hexdigest()

    @cached_property
    def _named(self) -> dict[str, int]:
        """The index of every class that is given by name anywhere."""
        entries = self.entries.values() if isinstance(self.entries, dict) else self.entries
        names = sorted({name for entry in entries for name in entry if isinstance(name, str)})
        return dict(zip(names, self.labels.targets(names), strict=True))


def read_real(path: Path, labels: Labels, images: int) -> RealLabels:
    """Read a JSON file: a list with an entry an image, in the order of the images, or a mapping from their names.

    Raises:
        InputError: the file cannot be read or is of another form.
    """
    try:
        entries = inputs.parse_json(inputs.read_bytes(path, inputs.LIST_LIMIT), list[Entry] | dict[str, Entry])
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; expected a JSON file of labels") from error
    except msgspec.DecodeError as error:
        raise InputError(
            f"{path} does not hold lists of classes: {error}; expected JSON, [[class, ...], ...] or "
            '{"image": [class, ...], ...}'
        ) from error
    return RealLabels(path, entries, labels, images)


def _by_name(entries: dict[str, Entry], key: str) -> Entry | None:
    path = PurePosixPath(key)
    return next((entries[name] for name in (key, path.name, path.stem) if name in entries), None)


def _by_place(entries: list[Entry], key: str, position: int | None) -> Entry | None:
    number = IMAGENET_KEY.search(key)
    place = int(number[1]) - 1 if number else position
    return entries[place] if place is not None and 0 <= place < len(entries) else None
