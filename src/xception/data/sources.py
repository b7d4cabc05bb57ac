"""From what a user writes (`DATA`) to a data source."""

from pathlib import Path
from typing import Literal, get_args

from xception.data.digits import digits
from xception.data.folder import image_folder
from xception.data.shards import is_shards, shards
from xception.data.source import Source
from xception.errors import InputError, UnknownName

Split = Literal["train", "validation", "test"]


def open_source(data: str, split: Split | None = None) -> Source:
    """Open a labelled data set.

    Args:
        data: the path of an image folder, of tar shards (`name-{000..009}.tar`), or `digits`; `:train`,
            `:validation` or `:test` behind it picks a split and overrides `split`.
        split: the part that the caller is to see. `digits` without any is its held-out test part.

    Raises:
        InputError: no such data, or none that can be used.
        UnknownName: no such split.
    """
    name, _, suffix = data.partition(":")
    if name == "digits":
        return digits(_split(suffix) or split or "test")
    if data and Path(data).is_dir():
        return image_folder(Path(data), split)
    if is_shards(data):
        return shards(data, split)
    path, _, suffix = data.rpartition(":")
    if path and Path(path).is_dir():
        return image_folder(Path(path), _split(suffix))
    if is_shards(path):
        return shards(path, _split(suffix))
    raise InputError(f"no data at {data!r}; expected 'digits' or an image folder with one folder a class")


def _split(text: str) -> Split | None:
    if text and text not in get_args(Split):
        raise UnknownName("split", text, get_args(Split))
    return text or None  # type: ignore[return-value]
