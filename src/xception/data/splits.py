"""The parts of a data set that training, validation and test see."""

import re
from dataclasses import replace
from hashlib import sha256
from typing import Literal, get_args

from xception.data.classes import DEVKIT
from xception.data.files import Files
from xception.data.source import Lazy
from xception.errors import InputError

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = get_args(Split)

SPLIT_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train/",),
    "validation": ("validation/", "val/"),
    "test": ("test/", "validation/", "val/"),
}
"""Names of the folder of each split, best first."""

SPLIT_PREFIXES = ("train", "validation", "val", "test")
"""Beginnings of the names of a split's files, where several splits lie in one folder."""

VALIDATION_SHARE = 0.1
"""Share of undivided data that training keeps for validation."""


def split_folder(files: Files, split: Split | None) -> str:
    """The folder of a split, or `""` where the data are not divided into folders.

    Raises:
        InputError: the data are divided, and no split was asked for or one that is not there.
    """
    folders = {entry for entry in files.entries() if entry.endswith("/") and entry[0] != "."} - {f"{DEVKIT}/"}
    found = next((name for name in SPLIT_FOLDERS[split] if name in folders), "") if split else ""
    names = {name for names in SPLIT_FOLDERS.values() for name in names}
    are_splits = folders <= names or ("train/" in folders and not folders.isdisjoint({"val/", "validation/"}))
    if folders and are_splits and not found:
        raise InputError(
            f"{files.place} holds the splits {', '.join(sorted(folders & names))} and no {split or 'classes'}; "
            f"write one of them as {files.place}:SPLIT, or name its folder itself"
        )
    return found


def split_files(names: list[str], split: Split | None, place: str) -> tuple[list[str], Split | None]:
    """Choose the files of a split among those of one folder by their names; return also the split still to be taken.

    Raises:
        InputError: the files are those of several splits and none was asked for, or one that is not there.
    """
    own = {part: [name for name in names if re.match(rf"{part}(?![a-z])", name)] for part in SPLIT_PREFIXES}
    present = [part for part in SPLIT_PREFIXES if own[part]]
    if not present:
        return names, split
    if split is None and len(present) == 1:
        return names, None
    chosen = next((own[folder[:-1]] for folder in SPLIT_FOLDERS[split] if own[folder[:-1]]), []) if split else []
    if not chosen:
        raise InputError(f"{place} holds the splits {', '.join(present)}; write {place}:SPLIT with one of them")
    return chosen, None


def split_part(source: Lazy, split: Split | None) -> Lazy:
    """The part of undivided data that a split sees: train and validation share it out, any other use sees all of it.

    The part into which an item falls depends only on its key: neither on other items nor on the place of the data.
    """
    if split is None:
        return source
    name = f"{source.name}:{split}"
    if split == "test":
        return replace(source, name=name)
    return source.part(name, lambda item: _held_out(item.key) == (split == "validation"))


def _held_out(key: str) -> bool:
    return int.from_bytes(sha256(key.encode()).digest()[:8], "big") < VALIDATION_SHARE * 2**64
