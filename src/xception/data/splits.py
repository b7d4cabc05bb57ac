"""The parts of a data set that training, validation and test see."""

import re
from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Literal, get_args

from xception.data.classes import DEVKIT
from xception.data.files import Files, is_image
from xception.data.hold_out import divide
from xception.data.source import Lazy
from xception.errors import InputError

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = get_args(Split)

SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}
"""Names that data sets give each split, best first; upper and lower case are the same."""

DECORATION = re.compile(r"([a-z]+?)(?:[\s_.-]*(?:set|data|dataset|split|part|imgs?|images?|photos|(?:19|20)[0-9]{2}))*")
"""The name of a split with what data sets put behind it, as in `training_set`, `val2017` and `Test Images`."""

STAND_INS: dict[Split, tuple[Split, ...]] = {"test": ("validation",)}
"""Splits that are taken where one is not there."""


def split_of(name: str) -> Split | None:
    """The split of a name, in upper or lower case and with or without `DECORATION`; None for a name of no split."""
    plain = undecorated(name)
    return next((split for split, names in SPLIT_NAMES.items() if plain in names), None)


def undecorated(name: str) -> str:
    """A name in lower case, without `DECORATION`."""
    match = DECORATION.fullmatch(name.casefold())
    return match[1] if match else name.casefold()


def split_folder(files: Files, split: Split | None) -> str:
    """The folder of a split, or `""` where the data are not divided into folders.

    Raises:
        OSError: the folder cannot be read.
        InputError: the data are divided, and no split was asked for or one that is not there.
    """
    folders = {entry for entry in files.entries() if entry.endswith("/") and entry[0] != "."} - {f"{DEVKIT}/"}
    named = {folder: part for folder in folders if (part := split_of(folder[:-1]))}
    if not named or not _are_parts(files, folders, named):
        return ""
    found = _best(named, split) if split else []
    if not found:
        raise InputError(
            f"{files.place} holds the splits {', '.join(sorted(named))} and no {split or 'classes'}; "
            f"write one of them as {files.place}:SPLIT, or name its folder itself"
        )
    if len(found) > 1:
        raise InputError(
            f"{files.place} holds {' and '.join(sorted(found))}, which are both called {split}; name one of them itself"
        )
    return found[0]


def _are_parts(files: Files, folders: Set[str], named: Mapping[str, Split]) -> bool:
    """Tell whether folders with the names of splits are splits, and not classes with such names (a train may be one).

    They are if there are no others, if two halves of a data set are among them, or if one holds folders of images in
    place of images.
    """
    if folders == named.keys() or {"train", "validation"} <= set(named.values()):
        return True
    return any(_holds_only_folders(files.entries(folder)) for folder in named)


def _holds_only_folders(entries: Set[str]) -> bool:
    return any(entry.endswith("/") for entry in entries) and not any(map(is_image, entries))


def _best(named: Mapping[str, Split], split: Split) -> list[str]:
    """The folders, or beginnings of names, with the best name of a split; several if they differ only in case."""
    for wanted in (split, *STAND_INS.get(split, ())):
        for name in SPLIT_NAMES[wanted]:
            if found := [each for each in named if undecorated(each.rstrip("/")) == name]:
                return found
    return []


def split_files(names: list[str], split: Split | None, place: str) -> tuple[list[str], Split | None]:
    """Choose the files of a split among those of one folder by their names; return also the split still to be taken.

    Raises:
        InputError: the files are those of several splits and none was asked for, or one that is not there.
    """
    own: dict[str, list[str]] = {}
    for name in names:
        own.setdefault(re.match("[a-z]*", name.casefold())[0], []).append(name)  # type: ignore[index] # it always matches
    present = {prefix: part for prefix in own if (part := split_of(prefix))}
    if not present:
        return names, split
    if split is None and len(present) == 1:
        return names, None
    chosen = _best(present, split) if split else []
    if not chosen:
        known = sorted(present, key=lambda prefix: (SPLITS.index(present[prefix]), prefix))
        raise InputError(f"{place} holds the splits {', '.join(known)}; write {place}:SPLIT with one of them")
    return own[chosen[0]], None


def split_part(source: Lazy, split: Split | None) -> Lazy:
    """The part of undivided data that a split sees: train and validation share it out, any other use sees all of it.

    Raises:
        InputError: all images of a class would be held out.
    """
    if split is None:
        return source
    if split == "test":
        return replace(source, name=f"{source.name}:{split}")
    training, held_out = divide(source)
    return training if split == "train" else held_out
