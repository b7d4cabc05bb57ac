"""Files that are no checkpoint are named for what they are, with what to do, which is done here where it can be."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import save

from tests.convert.make_samples import SAMPLES
from xception.bundle import Bundle
from xception.convert.readers import check_graph_file, read_checkpoint
from xception.convert.readers.foreign import foreign_archive, foreign_format
from xception.errors import InputError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:aaaa\nsize 91000000\n"


def onnx_file() -> bytes:
    graph = onnx.helper.make_graph([], "empty", [], [])
    return onnx.helper.make_model(graph).SerializeToString()


def tar_file() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return buffer.getvalue()


def npy_file() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


# What TensorFlow, Paddle, MindSpore and others write is imitated by its first bytes.
FILES = {
    "a Git LFS pointer": POINTER,
    "a web page": b"\xef\xbb\xbf\n<!DOCTYPE HTML><html>Not found</html>",
    "an OpenVINO graph": b'<?xml version="1.0"?>\n<net name="x" version="11">',
    "an XML text": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "a Paddle program": b"\x0a\x8f\x01\x08\x00\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x10",
    "the index of weights in several files": b'{"metadata": {"total_size": 1}, "weight_map": {"a": "b"}}',
    "a JSON text": b'{"a": 1}',
    "a TensorFlow Lite graph": b"\x1c\0\0\0TFL3" + bytes(300),
    "a MindSpore Lite graph": b"\x1c\0\0\0MSL2" + bytes(300),
    "an ONNX graph": onnx_file(),
    "a TensorFlow SavedModel": b"\x08\x01\x12\xff\x01",
    "a MindIR graph": b"\x0a\x050.1.0\x12\x09MindSpore",
    "a frozen TensorFlow graph": b"\x0a\x1c\x0a\x05input\x12\x0bPlaceholder\x2a\x04\x0a\x00",
    "a Paddle file of parameters": bytes(16) + b"\x06\0\0\0\x08\x05\x10\x20" + bytes(100),
    "a TensorRT engine": b"ptrt" + bytes(100),
    "a Rockchip graph": b"RKNN" + bytes(100),
    "an Ascend graph": b"IMOD" + bytes(100),
    "an NCNN graph": b"7767517\n75 83\n",
    "a GGUF file": b"GGUF" + bytes(100),
    "a single NumPy array": npy_file(),
    "compressed with gzip": gzip.compress(POINTER),
    "compressed with bzip2": bz2.compress(POINTER),
    "compressed with xz": lzma.compress(POINTER),
    "compressed with Zstandard": b"\x28\xb5\x2f\xfd" + bytes(100),
    "a 7-Zip archive": b"7z\xbc\xaf\x27\x1c" + bytes(100),
    "a RAR archive": b"Rar!\x1a\x07\x01\x00",
    "a tar archive": tar_file(),
    "a plain text": b"Entry not found",
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_is_named_for_what_it_is_with_what_to_do(what: str, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(FILES[what])
    with pytest.raises(InputError, match=rf"model\.pth is no checkpoint: it is {what}.*; \w"):
        read_checkpoint(tmp_path / "model.pth")


def test_a_paddle_program_of_today_is_told_from_other_json() -> None:
    found = foreign_format(memoryview(b'{"base_code":{"magic":"pir","version":1}}'))
    assert found
    assert found.what == "a Paddle program"


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.iterdir()))
def test_no_checkpoint_is_taken_for_something_else(sample: str) -> None:
    assert foreign_format(memoryview((SAMPLES / sample).read_bytes())) is None


@pytest.mark.parametrize("start", [b"\x1f\x8b", b'{"', b"BZ", b"\x08\x01\x12", b"\n\x08\x00"])
def test_a_safetensors_file_whose_length_looks_like_a_signature_is_read(start: bytes, tmp_path: Path) -> None:
    length = int.from_bytes(start, "little")
    plain = save({"a": np.ones(1, np.float32)})
    header = plain[8 : 8 + int.from_bytes(plain[:8], "little")].ljust(length)
    (tmp_path / "model").write_bytes(length.to_bytes(8, "little") + header + plain[-4:])
    assert list(read_checkpoint(tmp_path / "model").groups[""]) == ["a"]


def net() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()


def write_torchscript(path: Path) -> None:
    torch.jit.trace(net(), torch.zeros(1, 3, 8, 8)).save(str(path))


def write_pt2(path: Path) -> None:
    torch.export.save(torch.export.export(net(), (torch.zeros(1, 3, 8, 8),)), str(path))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("write", "what"), [(write_torchscript, "a TorchScript program"), (write_pt2, "a program of torch.export")]
)
def test_a_program_of_torch_is_named_with_the_line_that_saves_its_weights(
    write: Callable[[Path], None], what: str, tmp_path: Path
) -> None:
    write(tmp_path / "model.pt2")
    with pytest.raises(InputError, match=f"it is {what}, expected weights; this line saves its weights: ") as refusal:
        read_checkpoint(tmp_path / "model.pt2")
    line = str(refusal.value).rpartition("weights: ")[2]
    exec(
        line.replace("FILE", str(tmp_path / "model.pt2")).replace("weights.pth", str(tmp_path / "new.pth")),
        {"torch": torch},
    )
    assert list(read_checkpoint(tmp_path / "new.pth").groups[""]) == ["0.weight", "0.bias"]


@pytest.mark.parametrize(
    ("member", "what"),
    [
        ("a.npy", "a NumPy archive"),
        ("MAR-INF/MANIFEST.json", "a TorchServe archive"),
        ("model/saved_model.pb", "a zipped TensorFlow SavedModel"),
    ],
)
def test_an_archive_is_named_by_what_lies_in_it_even_if_compressed(member: str, what: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(1000))
    with pytest.raises(InputError, match=f"it is {what}"):
        read_checkpoint(tmp_path / "model.zip")


@pytest.mark.parametrize(
    "names", [("model/data.pkl", "model/data/0"), ("config.json", "model.weights.h5", "assets/a.npy")]
)
def test_an_archive_of_weights_is_no_other(names: tuple[str, ...]) -> None:
    assert foreign_archive(names) is None


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("saved_model.pb", "is a TensorFlow SavedModel, expected a model folder; convert the checkpoint"),
        ("inference.pdmodel", "is a Paddle program"),
        (".metadata", "distributed checkpoint of torch, .* dcp_to_torch"),
        ("model.safetensors.index.json", "pass the file: .*index.json"),
        ("Manifest.json", "is a Core ML package"),
        ("model.ckpt.index", r"pass the file: .*model\.ckpt$"),
        ("last.ckpt", r"pass the file: .*last\.ckpt$"),
    ],
)
def test_a_folder_is_named_by_what_lies_in_it(file: str, words: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"x")
    with pytest.raises(InputError, match=words):
        read_checkpoint(tmp_path)


def test_a_pointer_to_a_graph_is_no_graph(onnx_bundle: Bundle, tmp_path: Path) -> None:
    check_graph_file(onnx_bundle.main_file)
    (tmp_path / "model.onnx").write_bytes(POINTER)
    with pytest.raises(InputError, match=r"model\.onnx is no graph: it is a Git LFS pointer; run git lfs pull"):
        check_graph_file(tmp_path / "model.onnx")
