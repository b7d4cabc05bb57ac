"""Checkpoints of every framework, read without the framework and without running anything that is in them.

read_checkpoint          what a file or folder is, told by its content, and what it holds
├── one module a format  torch_pickle, paddle_pickle, keras, mindspore_ckpt, tensorbundle, safetensors_file
├── a folder of files     folder
├── what lies next to it  run_config
├── what formats share   pickles, numpy_pickle, state_dicts, hdf5, zips, protobuf
├── what is none          foreign
└── the ground           checkpoint (the result), binary (bounded access), limits
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers import hdf5, mindspore_ckpt, paddle_pickle, tensorbundle, torch_pickle, zips
from xception.convert.readers.binary import LoadedFile, load_file
from xception.convert.readers.checkpoint import MODEL_FOLDER, Checkpoint, CheckpointContents, TensorGroups
from xception.convert.readers.folder import (
    SHARD_INDEXES,
    ModelFolder,
    descriptions,
    files_of_index,
    folder_around,
    folder_files,
    model_folder,
    weight_files,
)
from xception.convert.readers.foreign import foreign_archive, foreign_folder, foreign_format
from xception.convert.readers.keras import KERAS_WEIGHTS_FILE, complete_norms, read_keras_hdf5, read_keras_zip
from xception.convert.readers.mindspore_ckpt import read_mindspore, refuse_encrypted
from xception.convert.readers.paddle_pickle import read_paddle
from xception.convert.readers.run_config import run_config
from xception.convert.readers.safetensors_file import is_safetensors, read_safetensors
from xception.convert.readers.tensorbundle import index_path, read_tensorbundle
from xception.convert.readers.torch_pickle import PROGRAM, read_torch_legacy, read_torch_zip
from xception.convert.readers.zips import Archive
from xception.errors import InputError
from xception.forms import Form, describable

__all__ = [
    "CHECKPOINT_READERS",
    "Checkpoint",
    "CheckpointContents",
    "check_graph_file",
    "graph_form",
    "read_checkpoint",
]


class CheckpointReader(NamedTuple):
    """Recognises and reads one format."""

    recognises: Callable[[memoryview], bool]
    read: Callable[[Path, memoryview], CheckpointContents]


def read_checkpoint(path: Path) -> Checkpoint:
    """All weights in a checkpoint file, a TensorFlow checkpoint's prefix, or a model folder of any source.

    The content decides what a file is; its name never does. A file that lies next to the description of its network,
    under the names that its source gives both, is read with that folder. Nothing in a file is run, imported or
    unpickled, and the memory taken is a small multiple of the file's size at most. The arrays are views of the file,
    which must not be changed while they are in use.

    Raises:
        InputError: the path is unreadable, of no known format, damaged, hostile, or without weights.
        MissingExtra: a training's configuration lies next to it, and PyYAML is not installed.
    """
    try:
        folder = model_folder(path) if path.is_dir() else folder_around(path)
        if folder:
            return _read_folder(folder)
        if path.is_dir():
            raise _no_model_folder(path)
        if path.name in SHARD_INDEXES:
            return _joined(path, files_of_index(path))
        return _with_run_config(_read_file(path, load_file(index_path(path))))
    except OSError as error:
        raise InputError(
            f"{error.filename or path} cannot be read ({error.strerror}); expected a checkpoint file or a model folder"
        ) from error


def check_graph_file(path: Path) -> None:
    """Refuse what is called like a graph and is none, such as a pointer to it, before a runtime opens it.

    Raises:
        InputError: the file is empty, or of a kind that is no graph.
    """
    foreign = foreign_format(load_file(path).data)
    if foreign and not foreign.is_graph:
        raise InputError(f"{path} is no graph: it is {foreign.what}; {foreign.advice}")


def graph_form(path: Path) -> Form | None:
    """The form of a graph that is adopted; None for everything else, such as a folder. The content decides, and the
    name where the content is of no known kind, as that of a damaged file.

    Raises:
        InputError: it is named like such a graph and is something else.
    """
    if not path.is_file():
        return None
    data, named = load_file(path).data, describable().get(path.suffix.lower())
    foreign = foreign_format(data)
    if foreign and named and not foreign.is_graph:
        raise InputError(f"{path} is no graph: it is {foreign.what}; {foreign.advice}")
    if foreign:
        return foreign.form
    return None if any(reader.recognises(data) for reader in CHECKPOINT_READERS.values()) else named


def _read_file(path: Path, file: LoadedFile) -> Checkpoint:
    contents = _read_contents(file)
    return Checkpoint(
        path=path, file=file, container=contents.container, groups=contents.groups, metadata=contents.metadata
    )


def _with_run_config(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the configuration of its training that lies next to it, as the metadata's "run_config"."""
    config = run_config(checkpoint.path, checkpoint.container)
    return replace(checkpoint, metadata=checkpoint.metadata | {"run_config": config}) if config else checkpoint


def _read_folder(folder: ModelFolder) -> Checkpoint:
    """The weights of all files, with the descriptions as metadata."""
    joined = _joined(folder.place, weight_files(folder))
    return replace(joined, container=MODEL_FOLDER, metadata=joined.metadata | descriptions(folder))


def _joined(place: Path, files: list[Path]) -> Checkpoint:
    """The weights of all files as one checkpoint, whose path is `place`."""
    first, *others = [_read_file(place, load_file(file)) for file in files]
    joined = replace(first, more_files=tuple(part.file for part in others))
    for part in others:
        joined = replace(joined, groups=_merged(joined.groups, part.groups))
    return joined


def _no_model_folder(place: Path) -> InputError:
    foreign = foreign_folder(place)
    if foreign:
        return InputError(f"{place} is {foreign.what}, expected a model folder; {foreign.advice}")
    return InputError(f"{place} is no bundle and no model folder: expected {folder_files()} in it")


def _merged(groups: TensorGroups, others: TensorGroups) -> TensorGroups:
    """The tensors of two files that are one network's."""
    merged = {name: dict(tensors) for name, tensors in groups.items()}
    for name, tensors in others.items():
        both = merged.setdefault(name, {})
        twice = both.keys() & tensors.keys()
        if twice:
            raise damaged(f"two of its files hold a tensor named {min(twice)!r}")
        both |= tensors
    return {name: complete_norms(tensors) for name, tensors in merged.items()}


def _read_contents(file: LoadedFile) -> CheckpointContents:
    foreign = foreign_format(file.data)
    if foreign:
        raise InputError(f"{file.path} is no checkpoint: it is {foreign.what}; {foreign.advice}")
    for name, reader in CHECKPOINT_READERS.items():
        if reader.recognises(file.data):
            try:
                return reader.read(file.path, file.data)
            except InputError as error:
                raise InputError(f"{file.path} cannot be read as {name}: {error}") from error
    raise InputError(
        f"{file.path} is no checkpoint: it begins with the bytes {bytes(file.data[:8]).hex(' ')}, "
        f"expected {', '.join(CHECKPOINT_READERS)}"
    )


def _read_zip(_: Path, data: memoryview) -> CheckpointContents:
    archive = Archive(data)
    foreign = foreign_archive(archive.names)
    if foreign:
        raise InputError(f"it is {foreign.what}, expected weights; {foreign.advice}")
    if any(name.endswith(f"/{PROGRAM}") for name in archive.names):
        return read_torch_zip(archive, len(data))
    if KERAS_WEIGHTS_FILE in archive.names:
        return read_keras_zip(archive)
    raise InputError(
        f"it has neither torch's {PROGRAM} nor Keras' {KERAS_WEIGHTS_FILE}; if a checkpoint is in it, unpack it first"
    )


def _begins_with(*signatures: bytes) -> Callable[[memoryview], bool]:
    return lambda data: any(ByteSpan(data).starts_with(signature) for signature in signatures)


# In this order, because the last signatures are short and fit other files by chance.
CHECKPOINT_READERS = {
    "a zip archive of torch or Keras": CheckpointReader(_begins_with(zips.ZIP_SIGNATURE), _read_zip),
    "a Keras HDF5 file": CheckpointReader(_begins_with(hdf5.HDF5_SIGNATURE), read_keras_hdf5),
    "a TensorFlow checkpoint index": CheckpointReader(
        lambda data: data[-8:] == tensorbundle.TENSORBUNDLE_SIGNATURE, read_tensorbundle
    ),
    "a torch file from before version 1.6": CheckpointReader(
        _begins_with(torch_pickle.LEGACY_SIGNATURE), read_torch_legacy
    ),
    "a safetensors file": CheckpointReader(is_safetensors, read_safetensors),
    "an encrypted MindSpore checkpoint": CheckpointReader(
        _begins_with(*mindspore_ckpt.ENCRYPTED_SIGNATURES), refuse_encrypted
    ),
    "a Paddle pickle": CheckpointReader(_begins_with(paddle_pickle.PADDLE_SIGNATURE), read_paddle),
    "a MindSpore checkpoint": CheckpointReader(_begins_with(mindspore_ckpt.MINDSPORE_SIGNATURE), read_mindspore),
}
