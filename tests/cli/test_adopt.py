"""`xception adopt`, and a graph of others in the verbs that take a model."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.adoption.graphs import PX, TF2ONNX, Style, looping, onnx_model, write_ir, write_onnx, write_tflite
from tests.cli.conftest import Command
from tests.support.samples import CLASSES, picture, write_folder
from xception.bundle import open_bundle

KERAS = Style(**{**vars(TF2ONNX), "classes": len(CLASSES)})
WORDS = ("--preprocess", f"squash={PX}", "range=0..255")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of tf2onnx, class names, and labelled photos. Not to be written to."""
    folder = tmp_path_factory.mktemp("adopt")
    write_onnx(folder / "keras.onnx", KERAS)
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    write_folder(folder / "photos", per_class=3)
    picture().save(folder / "photo.png")
    return folder


@pytest.fixture(scope="module")
def bundle(place: Path, xception: Command) -> Path:
    result = xception("adopt", place / "keras.onnx", *WORDS, "--labels", place / "labels.txt", "--out", place / "out")
    assert result.returncode == 0, result.stderr
    return place / "out"


def test_the_report_says_all_that_was_found_out(place: Path, tmp_path: Path, xception: Command) -> None:
    result = xception(
        "adopt", place / "keras.onnx", *WORDS, "--labels", place / "labels.txt", "--out", tmp_path / "out"
    )
    assert result.returncode == 0, result.stderr
    shown = " ".join(result.stdout.split())
    for words in (
        "graph ONNX, opset 13, written by some exporter 1.2, float32",
        f"input input_image/x:0: any x 3 x {PX} x {PX}, stored as NHWC",
        "output Identity:0",
        "values the graph itself first computes value * 0.00784314 + -1",
        "answers probabilities, since it ends in a softmax",
        "variant none: no variant has its layers",
        "classes 7 ('ant', 'bee', 'cat', ...), as stated",
        f"images rgb, squash to {PX} x {PX} px, bicubic with antialias",
    ):
        assert words in shown
    assert f"next: xception predict {tmp_path / 'out'} photo.jpg" in result.stderr


def test_json_is_the_bundles_document(place: Path, tmp_path: Path, xception: Command) -> None:
    result = xception("adopt", place / "keras.onnx", *WORDS, "--out", tmp_path / "out", "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["network"]["variant"] is None
    assert document["lineage"][0]["verb"] == "adopt"


def test_every_verb_takes_the_bundle(place: Path, bundle: Path, tmp_path: Path, xception: Command) -> None:
    photos = place / "photos"
    for arguments in (
        ("info", bundle),
        ("predict", bundle, place / "photo.png"),
        ("evaluate", bundle, photos, "--json"),
        ("evaluate", bundle, photos, "--html", tmp_path / "page.html"),
        ("compare", bundle, bundle, photos),
        ("benchmark", bundle, photos, "--images", "8", "--repeats", "1", "--warmup", "0"),
        ("data", "parity", bundle, photos, "--preprocess", "bilinear"),
    ):
        result = xception(*arguments)
        assert result.returncode == 0, f"{arguments}: {result.stderr}"


def test_info_shows_where_a_graph_came_from(bundle: Path, xception: Command) -> None:
    shown = " ".join(xception("info", bundle).stdout.split())
    assert "variant none of the variants" in shown
    assert "adopted from keras.onnx, opset 13, written by some exporter 1.2" in shown


def test_info_shows_who_wrote_a_graph_file_and_what_to_do_with_it(place: Path, xception: Command) -> None:
    shown = " ".join(xception("info", place / "keras.onnx").stdout.split())
    assert "producer some exporter 1.2 version opset 13 precision float32" in shown
    assert f"to use it xception adopt {place / 'keras.onnx'} --preprocess SOURCE --out DIR" in shown
    document = json.loads(xception("info", place / "keras.onnx", "--json").stdout)
    assert (document["producer"], document["version"]) == ("some exporter 1.2", "opset 13")


def test_info_says_why_a_graph_file_is_not_adopted(tmp_path: Path, xception: Command) -> None:
    model = onnx_model()
    looping(model)
    onnx.save(model, tmp_path / "model.onnx")
    result = xception("info", tmp_path / "model.onnx")
    assert result.returncode == 0
    assert "it branches or loops (If)" in " ".join(result.stdout.split())


@pytest.mark.parametrize("to", ["timm", "pt2"])
def test_an_adopted_graph_has_no_weights_for_a_target_that_needs_them(
    bundle: Path, tmp_path: Path, xception: Command, to: str
) -> None:
    result = xception("export", bundle, "--to", to, "--out", tmp_path / "out")
    assert result.returncode == 2
    assert "was adopted as a graph, of which there are no weights to export" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "does not say how images become its input (float32, 12x12 px); say so with --preprocess"),
        (("--preprocess", "keras_xception"), 2, "takes 12x12 px and the preprocessing makes 299x299 px"),
        (("--preprocess", f"squash={PX}", "range=-1..1"), 2, "add range=0..255 to --preprocess"),
        ((*WORDS, "--layout", "nchw"), 2, "--layout nchw makes 12 channels"),
        ((*WORDS, "--activation", "sigmoid"), 2, "contradicts"),
        ((*WORDS, "--labels", "two.txt"), 2, "gives 7 answers per image, but --labels names 2 classes"),
        ((*WORDS, "--answers", "logits"), 2, "has no output 'logits'; it gives Identity:0"),
        ((*WORDS, "--input", "y"), 2, "has no input 'y'; it takes input_image/x:0"),
    ],
)
def test_what_is_open_or_wrong_is_one_sentence(
    place: Path, tmp_path: Path, xception: Command, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "two.txt").write_text("a\nb\n")
    result = xception("adopt", place / "keras.onnx", *arguments, "--out", "out", cwd=tmp_path)
    assert result.returncode == code
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path, xception: Command) -> None:
    result = xception("adopt", "nowhere.onnx", "--out", "out", cwd=tmp_path)
    assert (result.returncode, "nowhere.onnx does not exist" in result.stderr) == (3, True)


@pytest.mark.parametrize("name", ["keras.onnx", "model.xml", "model.tflite"])
def test_a_graph_file_is_a_model_where_its_neighbour_says_how_it_takes_images(
    tmp_path: Path, xception: Command, name: str
) -> None:
    style = Style(classes=len(CLASSES))
    writers = {".onnx": write_onnx, ".xml": write_ir, ".tflite": write_tflite}
    file = writers[Path(name).suffix](tmp_path / name, style)
    picture().save(tmp_path / "photo.png")
    result = xception("predict", file, tmp_path / "photo.png")
    assert result.returncode == 2
    assert f"these are options of xception adopt {file} --out DIR" in result.stderr
    config = {"pretrained_cfg": {"input_size": [3, PX, PX], "crop_pct": 1.0}, "label_names": list(CLASSES)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = xception("predict", file, tmp_path / "photo.png", "--csv")
    assert result.returncode == 0, result.stderr
    assert ",fox," in result.stdout
    assert "read as a graph with 7 classes; the bundle is kept in" in result.stderr
    assert "kept in" not in xception("predict", file, tmp_path / "photo.png", "--csv").stderr


def test_the_graph_file_of_a_bundle_is_the_bundle(bundle: Path, place: Path, xception: Command) -> None:
    by_file = xception("predict", bundle / "model.onnx", place / "photo.png", "--csv")
    assert by_file.returncode == 0, by_file.stderr
    assert by_file.stdout == xception("predict", bundle, place / "photo.png", "--csv").stdout


STRANGERS = {
    "lfs.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer"),
    "page.onnx": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
    "pointer.tflite": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "page.xml": (b"<html></html>", "a web page"),
    "engine.plan": (b"ptrt" + bytes(60), "a TensorRT engine"),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("verb", ["adopt", "predict", "evaluate", "info", "convert", "quantize", "export", "benchmark"])
def test_what_is_no_graph_is_named_by_every_verb(tmp_path: Path, xception: Command, verb: str, name: str) -> None:
    content, what = STRANGERS[name]
    (tmp_path / name).write_bytes(content)
    picture().save(tmp_path / "photo.png")
    more = {
        "adopt": ["--out", "out"],
        "convert": ["--out", "out"],
        "predict": ["photo.png"],
        "evaluate": ["digits"],
        "quantize": ["--calibration", "digits", "--out", "out"],
        "export": ["--to", "onnx", "--out", "out"],
    }
    result = xception(verb, name, *more.get(verb, []), cwd=tmp_path)
    assert result.returncode == 3
    assert f"it is {what}" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert bundle_free(tmp_path)


def bundle_free(folder: Path) -> bool:
    return not (folder / "out").exists()


def test_the_written_bundle_is_whole(bundle: Path) -> None:
    assert open_bundle(bundle, verify=True).model.network.num_classes == len(CLASSES)
