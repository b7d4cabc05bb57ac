"""Folders in which a network lies in one or several files, with descriptions of it next to them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from xception.byte_span import damaged
from xception.convert.readers.binary import decode_json, load_file
from xception.convert.readers.limits import MAX_SHARDS
from xception.errors import InputError

KERAS_INDEX = "model.weights.json"

HUB_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")

SHARD_INDEXES = (KERAS_INDEX, *HUB_INDEXES)
"""Lists of the files over which Keras, Hugging Face and Accelerate spread weights."""

SHARD_NAME = re.compile(r"\w[\w.-]{0,99}\.(h5|safetensors|bin)", re.ASCII)

KERAS_FILES = ("model.weights.h5", KERAS_INDEX)

_SHARD = re.compile(r"model_\d+\.weights\.h5|(pytorch_)?model-\d+-of-\d+\.(safetensors|bin)", re.ASCII)


class FolderKind(NamedTuple):
    """One kind of folder.

    Attributes:
        description: the file that describes the network, by which the kind is told.
        weights: files of weights, of which the first that is there is read.
        more_weights: files of further weights, which are read where they are.
        descriptions: further descriptions that may be there, by the name that the metadata gives them.
        mark: a key of the description and the start of its value, where others have a file of the same name.
        metadata_name: the name that the metadata gives the description.
    """

    description: str
    weights: tuple[str, ...]
    more_weights: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = {}
    mark: tuple[str, str] | None = None
    metadata_name: str = "config"

    def fits(self, description: Mapping[str, object]) -> bool:
        """Tell whether a description is one of this kind's."""
        if self.mark is None:
            return True
        key, start = self.mark
        return key in description and str(description[key]).startswith(start)


_CONFIG = "config.json"

FOLDER_KINDS: Mapping[str, FolderKind] = {
    "KerasHub": FolderKind(
        _CONFIG,
        KERAS_FILES,
        ("task.weights.h5",),
        {"task": "task.json", "preprocessor": "preprocessor.json", "image_converter": "image_converter.json"},
        ("registered_name", "keras_hub>"),
    ),
    "Keras": FolderKind(_CONFIG, KERAS_FILES, mark=("class_name", ""), metadata_name="model_config"),
    "timm or Hugging Face": FolderKind(
        _CONFIG, ("model.safetensors", HUB_INDEXES[0], "pytorch_model.bin", HUB_INDEXES[1])
    ),
    "zeromodels": FolderKind("zm_config.json", KERAS_FILES, descriptions={"preprocessor": "zm_preprocessor.json"}),
}
"""Kinds by the source that writes them; of those with a description of one name, the one without a mark goes last."""

_PARTS = frozenset(name for kind in FOLDER_KINDS.values() for name in (*kind.weights, *kind.more_weights))


class ModelFolder(NamedTuple):
    """A folder with a network: its kind, and the description by which it was told."""

    place: Path
    kind: FolderKind
    description: Mapping[str, object]


def model_folder(place: Path) -> ModelFolder | None:
    """The network in a folder, None if it is no model folder.

    Raises:
        InputError: a description is no JSON object.
    """
    for name in dict.fromkeys(kind.description for kind in FOLDER_KINDS.values()):
        found = _described(place / name) if (place / name).is_file() else None
        if found and any((place / weights).is_file() for weights in found.kind.weights):
            return found
    return None


def folder_around(file: Path) -> ModelFolder | None:
    """The folder whose network a file is a part of; None for a file next to which no network is described.

    Raises:
        InputError: the description of a network next to the file is no JSON object.
    """
    is_part = file.name in _PARTS or _SHARD.fullmatch(file.name)
    found = model_folder(file.parent) if is_part and file.is_file() else None
    # Anything may be called config.json.
    is_told = found and (found.kind.mark or found.kind.description != _CONFIG or "architecture" in found.description)
    return found if is_told else None


def described_kind(description: Path) -> FolderKind:
    """The kind of the folder that a file describes, whatever else is there.

    Raises:
        InputError: it is no JSON object.
    """
    return _described(description).kind


def _described(description: Path) -> ModelFolder:
    content = decode_json(load_file(description).data, str(description))
    kinds = [kind for kind in FOLDER_KINDS.values() if kind.description == description.name]
    return ModelFolder(description.parent, next(kind for kind in kinds if kind.fits(content)), content)


def weight_files(folder: ModelFolder) -> list[Path]:
    """All files with weights, the main ones first.

    Raises:
        InputError: the list of files over which the weights are spread names none, too many or others than lie there.
    """
    place, kind = folder.place, folder.kind
    first = next(place / name for name in kind.weights if (place / name).is_file())
    more = [place / name for name in kind.more_weights if (place / name).is_file()]
    return [*(files_of_index(first) if first.name in SHARD_INDEXES else (first,)), *more]


def descriptions(folder: ModelFolder) -> dict[str, object]:
    """The descriptions that are there, by the names that the metadata gives them.

    Raises:
        InputError: one is no JSON object.
    """
    more = {name: folder.place / file for name, file in folder.kind.descriptions.items()}
    return {
        folder.kind.metadata_name: folder.description,
        **{name: decode_json(load_file(file).data, str(file)) for name, file in more.items() if file.is_file()},
    }


def folder_files() -> str:
    """The files of each kind, in a sentence's words."""
    return "; ".join(
        f"{kind.description} and {' or '.join(kind.weights)} ({source})" for source, kind in FOLDER_KINDS.items()
    )


def files_of_index(index: Path) -> list[Path]:
    """The files over which weights are spread, by the file that lists them, next to which they lie.

    Raises:
        InputError: one is not there; see also `shard_names`.
    """
    names = shard_names(index)
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise InputError(f"{index} lists {missing[0]!r}, which is not next to it; fetch the whole folder")
    return [index.parent / name for name in names]


def shard_names(index: Path) -> list[str]:
    """The names of the files over which weights are spread.

    Raises:
        InputError: the list names none, too many, or what is no plain file's name.
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
