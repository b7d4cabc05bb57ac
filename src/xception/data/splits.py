"""Which part of a data set training, validation and test see."""

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

FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train/",),
    "validation": ("validation/", "val/"),
    "test": ("test/", "validation/", "val/"),
}
"""Under which names a data set's folder may hold each split, best first."""

BEGINNINGS = ("train", "validation", "val", "test")
"""With which the names of a split's files may begin, where several splits lie in one folder."""

HOLD_OUT = 0.1
"""Share of undivided data that training keeps for validation."""


def split_folder(files: Files, split: Split | None) -> str:
    """The folder of a split, or `""` where the data are not divided into folders.

    Raises:
        InputError: the data are divided, and no split was asked for or one that is not there.
    """
    folders = {entry for entry in files.entries() if entry.endswith("/") and entry[0] != "."} - {f"{DEVKIT}/"}
    found = next((name for name in FOLDERS[split] if name in folders), "") if split else ""
    names = {name for names in FOLDERS.values() for name in names}
    are_splits = folders <= names or ("train/" in folders and not folders.isdisjoint({"val/", "validation/"}))
    if folders and are_splits and not found:
        raise InputError(
            f"{files.place} holds the splits {', '.join(sorted(folders & names))} and no {split or 'classes'}; "
            f"write one of them as {files.place}:SPLIT, or name its folder itself"
        )
    return found


def split_files(names: list[str], split: Split | None, place: str) -> tuple[list[str], Split | None]:
    """Of files that lie in one folder those of a split, by how their names begin, and the split that is left to take.

    Raises:
        InputError: the files are those of several splits and none was asked for, or one that is not there.
    """
    own = {part: [name for name in names if re.match(rf"{part}(?![a-z])", name)] for part in BEGINNINGS}
    present = [part for part in BEGINNINGS if own[part]]
    if not present:
        return names, split
    if split is None and len(present) == 1:
        return names, None
    chosen = next((own[folder[:-1]] for folder in FOLDERS[split] if own[folder[:-1]]), []) if split else []
    if not chosen:
        raise InputError(f"{place} holds the splits {', '.join(present)}; write {place}:SPLIT with one of them")
    return chosen, None


def divided(source: Lazy, split: Split | None) -> Lazy:
    """The part of undivided data that a split sees: train and validation share it out, all others see all of it.

    Which part an item falls into depends on its key alone: neither on other items nor on where the data lie.
    """
    if split is None:
        return source
    name = f"{source.name}:{split}"
    if split == "test":
        return replace(source, name=name)
    return source.part(name, lambda item: _held_out(item.key) == (split == "validation"))


def _held_out(key: str) -> bool:
    return int.from_bytes(sha256(key.encode()).digest()[:8], "big") < HOLD_OUT * 2**64
