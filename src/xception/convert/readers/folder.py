"""Folders in which a network lies in one or several files, with descriptions of it next to them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from xception.byte_span import damaged
from xception.convert.readers.binary import decode_json, load_file
from xception.convert.readers.limits import MAX_SHARDS
from xception.errors import InputError

SHARD_INDEX = "model.weights.json"
"""Keras' list of the files over which weights are spread."""

SHARD_NAME = re.compile(r"\w[\w.-]{0,99}\.h5", re.ASCII)

KERAS_FILES = ("model.weights.h5", SHARD_INDEX)


class FolderKind(NamedTuple):
    """One kind of folder.

    Attributes:
        description: the file that describes the network, by which the kind is told.
        registered: the start of that description's "registered_name", where others have a file of the same name.
        weights: files of weights, of which the first that is there is read.
        more_weights: files of further weights, which are read where they are.
        descriptions: further descriptions that may be there, by the name that the metadata gives them.
    """

    description: str
    weights: tuple[str, ...]
    more_weights: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = {}
    registered: str = ""


FOLDER_KINDS: Mapping[str, FolderKind] = {
    "KerasHub": FolderKind(
        "config.json",
        KERAS_FILES,
        ("task.weights.h5",),
        {"task": "task.json", "preprocessor": "preprocessor.json", "image_converter": "image_converter.json"},
        "keras_hub>",
    ),
    "timm or Hugging Face": FolderKind("config.json", ("model.safetensors", "pytorch_model.bin")),
    "zeromodels": FolderKind("zm_config.json", KERAS_FILES, descriptions={"preprocessor": "zm_preprocessor.json"}),
}
"""Kinds by the source that writes them; of those with a description of one name, the one without a mark goes last."""


def folder_kind(folder: Path) -> FolderKind | None:
    """The kind of a folder by the files in it, None if it is no model folder."""
    kinds = (kind for kind in FOLDER_KINDS.values() if (folder / kind.description).is_file())
    return next((kind for kind in kinds if any((folder / name).is_file() for name in kind.weights)), None)


def described_kind(description: Path) -> FolderKind:
    """The kind of the folder that a file describes, whatever else is there.

    Raises:
        InputError: it is no JSON object.
    """
    name = str(decode_json(load_file(description).data, str(description)).get("registered_name", ""))
    kinds = [kind for kind in FOLDER_KINDS.values() if kind.description == description.name]
    return next(kind for kind in kinds if name.startswith(kind.registered))


def weight_files(folder: Path, kind: FolderKind) -> list[Path]:
    """All files with weights, the main ones first.

    Raises:
        InputError: the list of files over which the weights are spread names none, too many or others than lie there.
    """
    first = next(folder / name for name in kind.weights if (folder / name).is_file())
    more = [folder / name for name in kind.more_weights if (folder / name).is_file()]
    return [*(_shards(first) if first.name == SHARD_INDEX else (first,)), *more]


def descriptions(folder: Path, kind: FolderKind) -> dict[str, object]:
    """The descriptions that are there, the network's as "config".

    Raises:
        InputError: one is no JSON object.
    """
    found = {"config": kind.description, **kind.descriptions}
    return {
        name: decode_json(load_file(folder / file).data, str(folder / file))
        for name, file in found.items()
        if (folder / file).is_file()
    }


def folder_files() -> str:
    """The files of each kind, in a sentence's words."""
    return "; ".join(
        f"{kind.description} and {' or '.join(kind.weights)} ({source})" for source, kind in FOLDER_KINDS.items()
    )


def _shards(index: Path) -> list[Path]:
    names = shard_names(index)
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise InputError(f"{index} lists {missing[0]!r}, which is not next to it; fetch the whole folder")
    return [index.parent / name for name in names]


def shard_names(index: Path) -> list[str]:
    """The files over which weights are spread, by the file that lists them.

    Raises:
        InputError: it names none, too many, or what is no plain file's name.
    """
    names = list(dict.fromkeys(_listed(decode_json(load_file(index).data, str(index)).get("weight_map"))))
    if not 0 < len(names) <= MAX_SHARDS:
        raise damaged(f"{index} lists {len(names)} files of weights, expected 1 to {MAX_SHARDS}")
    for name in names:
        if not SHARD_NAME.fullmatch(name):
            raise damaged(f"{index} lists {name[:200]!r}, expected names such as model_00000.weights.h5")
    return names


def _listed(weight_map: object) -> Iterator[str]:
    """The names in the map from layers to files; a layer may be in several."""
    for files in weight_map.values() if isinstance(weight_map, Mapping) else ():
        for name in files if isinstance(files, list) else [files]:
            if not isinstance(name, str):
                raise damaged("its list of files names something that is no file")
            yield name
