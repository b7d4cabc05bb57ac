"""Bundles of which something was changed after they were written: every verb and Python refuse them alike."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support.samples import encoded, picture
from xception import bundle as bundles
from xception.bundle import Bundle, open_bundle
from xception.classifier import load
from xception.cli.app import run
from xception.errors import InputError


def sealed(folder: Path) -> None:
    """Make the description fit the files again, as whoever changes both can."""
    document = json.loads((folder / "model.json").read_text())
    for name in document["files"]:
        data = (folder / name).read_bytes()
        document["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    restated(folder, document)


def restated(folder: Path, document: dict) -> None:
    document["digest"] = ""
    empty = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    document["digest"] = hashlib.sha256(empty).hexdigest()
    (folder / "model.json").write_bytes(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")


def lie(*path: str, value: object) -> Callable[[Path], None]:
    """A description that is changed in one place, with a digest that fits."""

    def change(folder: Path) -> None:
        document = json.loads((folder / "model.json").read_text())
        part = document
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = value
        restated(folder, document)

    return change


def flip(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 0x40
    (folder / "model.onnx").write_bytes(data)


def take_out(folder: Path) -> None:
    """The weights in a file of their own, which no hash covers."""
    model = onnx.load(folder / "model.onnx")
    onnx.save_model(model, str(folder / "model.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    document = json.loads((folder / "model.json").read_text())
    document["files"]["w.bin"] = {"sha256": "", "size_bytes": 0}
    (folder / "model.json").write_text(json.dumps(document))
    sealed(folder)


def from_memory(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "*/_ORT_MEM_ADDR_/*"), ("offset", "94000000000000"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    sealed(folder)


def add_file(folder: Path) -> None:
    (folder / "w.bin").write_bytes(b"x")


def link(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)

    return change


def pipe(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def unlisted_labels(folder: Path) -> None:
    document = json.loads((folder / "model.json").read_text())
    del document["files"]["labels.txt"]
    restated(folder, document)


def cut_labels(folder: Path) -> None:
    (folder / "labels.txt").write_text("a\nb\n")


def fewer_labels(folder: Path) -> None:
    cut_labels(folder)
    sealed(folder)


def space(folder: Path) -> None:
    description = folder / "model.json"
    description.write_text(description.read_text().replace('"divisor"', ' "divisor"'))


def deep(folder: Path) -> None:
    (folder / "model.json").write_bytes(b'{"a":' + b"[" * 300_000 + b"]" * 300_000 + b',"format_version":1}')


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit": (flip, r"model\.onnx is not the file"),
    "weights in another file": (take_out, "takes values from outside itself"),
    "weights at an address": (from_memory, "takes values from outside itself"),
    "an added file": (add_file, r"w\.bin is not listed"),
    "a linked graph": (link("model.onnx"), r"model\.onnx is a link"),
    "linked labels": (link("labels.txt"), r"labels\.txt is a link"),
    "a linked description": (link("model.json"), r"model\.json is a link"),
    "a pipe as graph": (pipe("model.onnx"), r"model\.onnx is a pipe"),
    "unlisted labels": (unlisted_labels, "labels.txt among them"),
    "cut labels": (cut_labels, r"labels\.txt is not the file"),
    "fewer labels": (fewer_labels, "2 labels for a network of 10 classes"),
    "more classes": (lie("network", "num_classes", value=11), "10 labels for a network of 11 classes"),
    "far too many classes": (lie("network", "num_classes", value=300_000_000), "cannot have 300000000 classes"),
    "an endless width": (lie("network", "width", value=1e300), "cannot have the width 1e[+]?300"),
    "other channels": (lie("network", "in_channels", value=3), "makes 1 channels and the network takes 3"),
    "other channels of the graph": (
        lie("graph", "input_shape", value=[None, 3, 32, 32]),
        "the graph takes 3 channels and the network 1",
    ),
    "another size": (lie("graph", "input_shape", value=[None, 1, 64, 64]), "makes 32x32 px and the graph takes 64x64"),
    "a listed name with a NUL": (
        lie("files", "a\0b", value={"sha256": "0" * 64, "size_bytes": 1}),
        "expected plain names",
    ),
    "a space more": (space, "was changed after it was written"),
    "a deep description": (deep, "is not a valid bundle description"),
}

AT_THE_RUNTIME: dict[str, tuple[Callable[[Path], None], str]] = {
    "another input": (
        lie("graph", "input_name", value="other"),
        "has the inputs pixels, and .* states one called other",
    ),
    "another output": (lie("graph", "output_name", value="other"), "states one called other"),
    "another layout": (lie("graph", "input_layout", value="nhwc"), "an input of the shape"),
    "images for pixels": (lie("graph", "input_values", value="image"), "states one of image"),
}


@pytest.fixture
def changed(reader: Bundle, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(reader.path, folder)
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_bundle_is_not_opened(change: str, changed: Path) -> None:
    make, words = CHANGES[change]
    make(changed)
    with pytest.raises(InputError, match=words):
        open_bundle(changed)


@pytest.mark.parametrize("change", AT_THE_RUNTIME)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_description_of_another_graph_is_refused_by_every_runtime(change: str, backend: str, changed: Path) -> None:
    make, words = AT_THE_RUNTIME[change]
    make(changed)
    with pytest.raises(InputError, match=words):
        load(changed, backend=backend)


@pytest.mark.parametrize("change", ["a flipped bit", "weights in another file", "an added file", "a linked graph"])
@pytest.mark.parametrize(
    "verb", ["predict", "evaluate", "export", "quantize", "benchmark", "compare", "info", "data parity"]
)
def test_every_verb_refuses_it(
    verb: str, change: str, changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = CHANGES[change]
    make(changed)
    (tmp_path / "photo.png").write_bytes(encoded(picture()))
    bundle, photo, out = str(changed), str(tmp_path / "photo.png"), str(tmp_path / "out")
    arguments = {
        "predict": [bundle, photo],
        "evaluate": [bundle, "digits"],
        "export": [bundle, "--to", "openvino", "--out", out],
        "quantize": [bundle, "--calibration", "digits", "--out", out],
        "benchmark": [bundle, "digits"],
        "compare": [bundle, bundle, "digits"],
        "info": [bundle],
        "data parity": [bundle, "digits"],
    }[verb]
    assert run([*verb.split(), *arguments]) == 3
    assert any(word in capsys.readouterr().err for word in (words.replace("\\", ""), "model.onnx", "w.bin"))
    assert not Path(out).exists()


def test_without_verification_it_is_said_what_is_skipped(
    changed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    flip_a_weight(changed)
    (tmp_path / "photo.png").write_bytes(encoded(picture()))
    assert run(["predict", str(changed), str(tmp_path / "photo.png"), "--no-verify"]) == 0
    assert f"{changed} is not verified: neither its files are compared" in capsys.readouterr().err
    caplog.clear()
    open_bundle(changed, verify=False)
    assert "is not verified" in caplog.text
    caplog.clear()
    with pytest.raises(InputError):
        open_bundle(changed)
    assert not caplog.text


@pytest.mark.parametrize("change", ["weights in another file", "weights at an address", "an added file"])
def test_what_comes_from_elsewhere_is_refused_even_then(change: str, changed: Path) -> None:
    make, words = CHANGES[change]
    make(changed)
    with pytest.raises(InputError, match=words):
        load(changed, verify=False)


def flip_a_weight(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = np.frombuffer(tensor.raw_data, np.float32).copy()
    values[0] = -values[0] - 1
    tensor.raw_data = values.tobytes()
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_runtime_gets_the_bytes_that_were_compared(backend: str, changed: Path) -> None:
    untouched = load(changed, backend=backend)
    opened = open_bundle(changed)
    (changed / "model.onnx").write_bytes(b"exchanged after it was opened")
    pixels = np.zeros((1, 1, 32, 32), np.float32)
    with untouched, load(opened, backend=backend) as late:
        assert np.array_equal(late.engine.session(pixels), untouched.engine.session(pixels))
    with pytest.raises(InputError, match=r"model\.onnx is not the file"):
        load(opened, backend=backend)


def test_the_tests_lies_have_digests_that_fit(changed: Path) -> None:
    lie("name", value="another name")(changed)
    assert bundles.open_bundle(changed).model.name == "another name"
