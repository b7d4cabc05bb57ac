import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.support.samples import write_folder
from xception.bundle import Bundle


def test_all_alternatives_stand_in_the_table(xception: Command, onnx_bundle: Bundle, tmp_path: Path) -> None:
    result = xception("data", "parity", onnx_bundle.path, write_folder(tmp_path / "data", per_class=1))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("preprocessing")
    assert "the model's own" in result.stdout
    named = {"bicubic", "squash", "bgr", "caffe", "vastai"} & {*result.stdout.split()}
    assert len(named) == 5
    assert result.stdout.count("7 of 7") >= len(named)


def test_named_ones_are_measured_without_labels_too(xception: Command, onnx_bundle: Bundle, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", per_class=1)
    named = "squash,crop_pct=1"
    result = xception("data", "parity", onnx_bundle.path, data, "--unlabelled", "--preprocess", named, "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["unlabelled"] == "the data have no labels"
    assert [swap["name"] for swap in document["swaps"]] == ["squash", "crop_pct=1"]
    assert document["swaps"][0]["preprocess"]["resize"] == {"rule": "squash", "width_px": 36, "height_px": 36}


def test_a_failed_image_is_named_once(xception: Command, onnx_bundle: Bundle, tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", per_class=1)
    (data / "ant" / "bad.png").write_bytes(b"no image")
    result = xception("data", "parity", onnx_bundle.path, data)
    assert result.stderr.count("bad.png") == 1
    assert "failed: ant/bad.png: not an image file" in result.stderr
