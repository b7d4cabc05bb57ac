"""A model whose answers are no numbers classifies nothing, whatever way it is asked."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.samples import encoded, picture, write_folder
from xception.bundle import Bundle, write_bundle
from xception.classifier import load
from xception.cli.app import run
from xception.pipeline.prediction import NO_NUMBERS
from xception.weights import weights_bytes


@pytest.fixture
def diverged(weights_bundle: Bundle, tmp_path: Path) -> Bundle:
    """The weights of a training that diverged."""
    tensors = {name: value * np.float32("nan") for name, value in weights_bundle.tensors().items()}
    files = {"weights.safetensors": weights_bytes(tensors)}
    return write_bundle(tmp_path / "diverged", weights_bundle.model, weights_bundle.labels, files)


def test_every_image_fails_with_the_reason(
    diverged: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = str(write_folder(tmp_path / "photos", per_class=1))
    assert run(["predict", str(diverged.path), photos, "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["predictions"], found["seen"], found["failed"]) == ([], 0, 7)
    assert {failure["reason"] for failure in found["failures"]} == {NO_NUMBERS}
    assert "none of the 7 images was answered" in err
    run(["predict", str(diverged.path), photos, "--out", str(tmp_path / "shards")])
    assert "7 = 0 seen + 7 failed" in capsys.readouterr().out
    one = ["--vendor", "ascend", "--out", str(tmp_path / "vendor")]
    assert run(["predict", str(diverged.path), f"{photos}/ant", *one]) == 1
    assert "1 = 0 seen + 1 failed" in capsys.readouterr().out


def test_it_is_no_prediction_in_a_program(diverged: Bundle) -> None:
    with load(diverged) as model:
        (found,) = model(encoded(picture()))
    assert found.reason == NO_NUMBERS


def test_it_is_not_exported(diverged: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(diverged.path), "--to", "onnx", "--out", str(tmp_path / "out")]) == 3
    assert "holds values that are no finite numbers" in capsys.readouterr().err
