"""The description that is written into a file, its place in each format, and how it is read again.

A file cannot hold its own hash, and so not the digest of the bundle that it lies in: it holds those of its parents.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from xception import inputs
from xception.errors import UsageError
from xception.forms import FORMS, Form
from xception.identity import litert, onnx, openvino, safetensors, torch_archive
from xception.labels import Labels
from xception.model_document import Model
from xception.version import __version__

IDENTITY_READERS: Mapping[str, Callable[[bytes], str | None]] = {
    ".onnx": onnx.read_onnx_text,
    ".xml": openvino.read_openvino_text,
    ".tflite": litert.read_litert_text,
    ".safetensors": safetensors.read_safetensors_text,
    ".pt2": torch_archive.read_torch_archive_text,
    ".pt": torch_archive.read_torch_archive_text,
}
"""Readers of the document by the end of the file's name; none of them needs a package of the format."""


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's description as a file holds it: that of its bundle, without hashes."""

    model: Model
    names: tuple[str, ...]
    """Class names in the order of the logits."""
    ids: tuple[str, ...] = ()
    """Names of these classes' folders, where they differ."""
    version: str = __version__
    """Version of this package."""

    @property
    def labels(self) -> Labels:
        """The classes."""
        return Labels(self.names, self.ids)


def identity_of(model: Model, labels: Labels) -> Identity:
    """The description of a model as its file holds it."""
    return Identity(
        model=msgspec.structs.replace(model, files={}, digest=""), names=tuple(labels.names), ids=tuple(labels.ids)
    )


def with_identity(files: Mapping[str, bytes], model: Model, labels: Labels) -> dict[str, bytes]:
    """The files of a form, of which those that can hold it also hold the model's description.

    Raises:
        MissingExtra: the package of the format is not installed.
    """
    facts = FORMS[model.form]
    if facts.identity is None:
        return dict(files)
    write: Callable[[bytes, Identity, str], bytes] = facts.function(facts.identity)
    identity, name = identity_of(model, labels), facts.files[0]
    return {**files, name: write(files[name], identity, msgspec.json.encode(identity).decode())}


def read_identity(path: Path) -> Identity | None:
    """The description in a file of this package; None for every other file, or one of another version's form.

    Raises:
        OSError: the file cannot be read.
        InputError: it is no regular file, or larger than any model.
    """
    read = IDENTITY_READERS.get(path.suffix.lower())
    text = read(inputs.read_bytes(path, inputs.MODEL_LIMIT)) if read else None
    if text is None:
        return None
    try:
        return inputs.parse_json(text, Identity)
    except (msgspec.DecodeError, UsageError):
        return None


def writes_identity(form: Form) -> bool:
    """Tell whether the files of a form hold their model's description."""
    return FORMS[form].identity is not None
