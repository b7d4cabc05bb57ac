"""Files and folders that are not checkpoints, recognised by their bytes or content, with advice on what to do.

Nothing is read here beyond the start of a file and the names in a folder or an archive.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from xception.byte_span import ByteSpan
from xception.convert.readers.folder import SHARD_INDEXES
from xception.convert.readers.safetensors_file import is_safetensors
from xception.convert.readers.tensorbundle import TENSORBUNDLE_SIGNATURE
from xception.errors import InputError
from xception.forms import Form
from xception.protobuf import fields

_SPAN = 512
"""Bytes at the start of a file that are looked at, enough for the end of a tar file's first header."""

_LENGTH_ENDS, _LENGTH_SIZE = 4, 8
"""A safetensors header is shorter than four gigabytes, so that the last four of the eight bytes are zero."""

_GRAPH = "convert the checkpoint that it was made of"
_SAVED_MODEL = (
    f"{_GRAPH}, or export it: python -m tf2onnx.convert --saved-model FOLDER --output model.onnx, and xception adopt "
    "takes that"
)
_PADDLE = f"{_GRAPH}, or export it with paddle2onnx, and xception adopt takes that"
_ADOPT = "run xception adopt to make a bundle of it"
_UNPACK = "unpack it and pass the file that is in it"
_FETCH = "fetch the file itself and pass that"


class ForeignFormat(NamedTuple):
    """One kind of file or archive: what it is, and what to do."""

    what: str
    advice: str
    form: Form | None = None
    """The form of a graph that `xception adopt` takes."""

    @property
    def is_graph(self) -> bool:
        """True for a network in another form, which some runtime may open."""
        return self.advice.startswith((_GRAPH, _ADOPT))


class _Signature(NamedTuple):
    recognises: Callable[[memoryview], bool]
    format: ForeignFormat


def _begins(*starts: bytes, at: int = 0) -> Callable[[memoryview], bool]:
    return lambda data: any(ByteSpan(data).starts_with(start, at) for start in starts)


def _text(pattern: bytes) -> Callable[[memoryview], bool]:
    """A test of a text's start, without white space and the mark of UTF-8, against a pattern; case does not count."""
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)

    def recognises(data: memoryview) -> bool:
        start = bytes(data[:_SPAN]).removeprefix(b"\xef\xbb\xbf").lstrip()
        return 0 not in start[:8] and bool(compiled.match(start))

    return recognises


def _has_fields(*numbers: int, first: bytes) -> Callable[[memoryview], bool]:
    """A test for a protocol buffer that begins with these bytes and has these fields at its top."""

    def recognises(data: memoryview) -> bool:
        if not ByteSpan(data).starts_with(first):
            return False
        with suppress(InputError):
            return set(numbers) <= {number for number, _ in fields(data, _SPAN)}
        return False

    return recognises


def _binary(pattern: bytes) -> Callable[[memoryview], bool]:
    """A test of the start against a pattern."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda data: bool(compiled.match(bytes(data[:_SPAN])))


_SIGNATURES: tuple[_Signature, ...] = (
    _Signature(
        _begins(b"version https://git-lfs"),
        ForeignFormat("a Git LFS pointer", "run git lfs pull in its repository, or " + _FETCH),
    ),
    _Signature(
        _text(rb"<!doctype html|<html"),
        ForeignFormat("a web page, which servers send where a file is missing or needs a login", _FETCH),
    ),
    _Signature(_text(rb"(<\?xml[^>]*>\s*)?<net\b"), ForeignFormat("an OpenVINO graph", _ADOPT, "openvino")),
    _Signature(_text(rb"<\?xml"), ForeignFormat("an XML text, perhaps a server's refusal", _FETCH)),
    _Signature(_text(rb'\{\s*"base_code"\s*:\s*\{\s*"magic"\s*:\s*"pir"'), ForeignFormat("a Paddle program", _PADDLE)),
    _Signature(
        _text(rb'\{.*"weight_map"'),
        ForeignFormat(
            "the index of weights in several files", f"put it next to them and name it {' or '.join(SHARD_INDEXES)}"
        ),
    ),
    _Signature(_text(rb"[{\[]\s*[\"}\]]"), ForeignFormat("a JSON text", "pass the file with the weights")),
    _Signature(_begins(b"TFL3", at=4), ForeignFormat("a TensorFlow Lite graph", _ADOPT, "litert")),
    _Signature(_begins(b"MSL1", b"MSL2", at=4), ForeignFormat("a MindSpore Lite graph", _GRAPH)),
    _Signature(_has_fields(1, 7, 8, first=b"\x08"), ForeignFormat("an ONNX graph", _ADOPT, "onnx")),
    _Signature(_binary(rb"\x08\x01(\x12|$)"), ForeignFormat("a TensorFlow SavedModel", _SAVED_MODEL)),
    _Signature(_begins(b"\x0a\x050.1.", b"\x0a\x050.2."), ForeignFormat("a MindIR graph", _GRAPH)),
    _Signature(_binary(rb"\n[\x80-\xff]{0,4}[\x00-\x7f]\x08\x00"), ForeignFormat("a Paddle program", _PADDLE)),
    # A node: its name, and its operation in words, where MindSpore has a tensor.
    _Signature(
        _binary(rb"\n.{1,5}?\n.[\w/.-]+\x12.[A-Z][A-Za-z0-9]{3}"), ForeignFormat("a frozen TensorFlow graph", _GRAPH)
    ),
    _Signature(
        _begins(bytes(16)),
        ForeignFormat(
            "a Paddle file of parameters without names (.pdiparams), or a download that broke off",
            "pass the .pdparams file",
        ),
    ),
    _Signature(_begins(b"ptrt", b"ftrt"), ForeignFormat("a TensorRT engine", _GRAPH)),
    _Signature(_begins(b"RKNN"), ForeignFormat("a Rockchip graph", _GRAPH)),
    _Signature(_begins(b"IMOD"), ForeignFormat("an Ascend graph (.om)", _GRAPH)),
    _Signature(_begins(b"7767517"), ForeignFormat("an NCNN graph", _GRAPH)),
    _Signature(_begins(b"GGUF"), ForeignFormat("a GGUF file of a language model", "pass an Xception's checkpoint")),
    _Signature(
        _begins(b"\x93NUMPY"),
        ForeignFormat("a single NumPy array", "save all tensors by name, with safetensors.numpy.save_file"),
    ),
    _Signature(_begins(b"\x1f\x8b"), ForeignFormat("compressed with gzip", _UNPACK)),
    _Signature(_begins(b"BZh"), ForeignFormat("compressed with bzip2", _UNPACK)),
    _Signature(_begins(b"\xfd7zXZ\x00"), ForeignFormat("compressed with xz", _UNPACK)),
    _Signature(_begins(b"\x28\xb5\x2f\xfd"), ForeignFormat("compressed with Zstandard", _UNPACK)),
    _Signature(_begins(b"7z\xbc\xaf\x27\x1c"), ForeignFormat("a 7-Zip archive", _UNPACK)),
    _Signature(_begins(b"Rar!"), ForeignFormat("a RAR archive", _UNPACK)),
    _Signature(_begins(b"ustar", at=257), ForeignFormat("a tar archive", _UNPACK)),
    _Signature(_text(rb"[ -~\s]{4,}$"), ForeignFormat("a plain text, perhaps a server's refusal", _FETCH)),
)

_ARCHIVES: Mapping[str, ForeignFormat] = {
    r"[^/]+/constants\.pkl": ForeignFormat(
        "a TorchScript program",
        'this line saves its weights: torch.save(torch.jit.load("FILE").state_dict(), "weights.pth")',
    ),
    r"[^/]+/archive_format|serialized_exported_program\.(json|pt)": ForeignFormat(
        "a program of torch.export",
        'this line saves its weights: torch.save(torch.export.load("FILE").state_dict, "weights.pth")',
    ),
    r"MAR-INF/.*": ForeignFormat("a TorchServe archive", _UNPACK),
    r"[^/]+\.npy": ForeignFormat(
        "a NumPy archive (.npz)", "save its arrays with safetensors.numpy.save_file, and pass that file"
    ),
    r".*/saved_model\.pb|saved_model\.pb": ForeignFormat("a zipped TensorFlow SavedModel", _SAVED_MODEL),
}
"""Kinds of zip archives by the name of a member."""

_FOLDERS: Mapping[str, ForeignFormat] = {
    "saved_model.pb": ForeignFormat("a TensorFlow SavedModel", _SAVED_MODEL),
    ".metadata": ForeignFormat(
        "a distributed checkpoint of torch",
        "join it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pth",
    ),
    "Manifest.json": ForeignFormat("a Core ML package", _GRAPH),
    "inference.pdmodel": ForeignFormat("a Paddle program", _PADDLE),
    "inference.json": ForeignFormat("a Paddle program", _PADDLE),
}
"""Kinds of folders by the name of a file in them."""

_CHECKPOINT_ENDINGS = (
    *(".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar", ".h5", ".hdf5", ".keras", ".pdparams", ".index", ".pkl"),
)


def foreign_format(data: memoryview) -> ForeignFormat | None:
    """The kind of a file that is no checkpoint; None if nothing is known of it, or it may be one."""
    return None if _is_ours(data) else next((row.format for row in _SIGNATURES if row.recognises(data)), None)


def _is_ours(data: memoryview) -> bool:
    """True for formats whose first bytes may be anything: one has its signature at its end, and one begins with the
    length of its header, which may look like any signature of three bytes."""
    return data[-len(TENSORBUNDLE_SIGNATURE) :] == TENSORBUNDLE_SIGNATURE or (
        is_safetensors(data) and data[_LENGTH_ENDS:_LENGTH_SIZE] == bytes(_LENGTH_SIZE - _LENGTH_ENDS)
    )


def foreign_archive(names: Collection[str]) -> ForeignFormat | None:
    """The kind of a zip archive that is no checkpoint, by the names of its members; None for any other."""
    return next(
        (found for pattern, found in _ARCHIVES.items() if any(re.fullmatch(pattern, name) for name in names)), None
    )


def foreign_folder(folder: Path) -> ForeignFormat | None:
    """The kind of a folder that is no model folder, or the checkpoints that lie in it; None if there are none."""
    known = next((found for name, found in _FOLDERS.items() if (folder / name).is_file()), None)
    if known:
        return known
    lists = [name for name in SHARD_INDEXES if (folder / name).is_file()]
    files = lists or sorted(_checkpoints_in(folder))
    if not files:
        return None
    shown = " or ".join(str(folder / name) for name in files[:3])
    return ForeignFormat("a folder of checkpoints without a description (config.json)", f"pass the file: {shown}")


def _checkpoints_in(folder: Path) -> Iterator[str]:
    """Names of files that are called like checkpoints; TensorFlow's go by their prefix."""
    for path in folder.iterdir():
        if path.suffix in _CHECKPOINT_ENDINGS and path.is_file():
            yield path.name.removesuffix(".index")
