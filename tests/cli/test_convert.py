"""Conversion from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.convert.checkpoints import hollow, write_keras
from xception.bundle import open_bundle
from xception.cli.app import run
from xception.convert.adapt import STEM
from xception.labels import imagenet1k
from xception.weights import read_weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    values = hollow("keras", "mini_xception")
    rng = np.random.default_rng(0)
    return write_keras(tmp_path / "model.h5", {name: rng.random(v.shape, np.float32) for name, v in values.items()})


def test_a_checkpoint_becomes_a_bundle(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", str(file), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["network"]["variant"] == "mini_xception"
    bundle = open_bundle(tmp_path / "out", verify=True)
    assert (bundle.model.preprocess.color, bundle.model.preprocess.output_px) == ("gray", (64, 64))


def test_named_weights_give_their_labels(file: Path, tmp_path: Path) -> None:
    assert run(["convert", str(file), "--weights", "mini_xception.fer2013", "--out", str(tmp_path / "out")]) == 0
    assert open_bundle(tmp_path / "out").labels.names[:2] == ("angry", "disgust")


def test_the_stem_is_fitted_to_other_channels_and_the_history_says_so(file: Path, tmp_path: Path) -> None:
    assert run(["convert", str(file), "--out", str(tmp_path / "gray")]) == 0
    assert run(["convert", str(file), "--in-channels", "3", "--stem", "repeat", "--out", str(tmp_path / "rgb")]) == 0
    gray, rgb = (read_weights(tmp_path / name / "weights.safetensors")[STEM] for name in ("gray", "rgb"))
    np.testing.assert_allclose(rgb, gray.repeat(3, axis=1) / 3, rtol=1e-6)
    model = open_bundle(tmp_path / "rgb", verify=True).model
    assert (model.network.in_channels, model.preprocess.color) == (3, "rgb")
    assert model.lineage[-1].settings["stem"] == "repeat"


def test_a_thousand_classes_are_imagenets(tmp_path: Path) -> None:
    file = write_keras(tmp_path / "model.h5", hollow("keras", "keras_xception"))
    assert run(["convert", str(file), "--out", str(tmp_path / "out")]) == 0
    assert open_bundle(tmp_path / "out").labels == imagenet1k()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--variant", "timm_xception"], 3, "--variant mini_xception"),
        (["--variant", "no_such"], 2, "unknown variant"),
        (["--weights", "mini_xception.fer2014"], 2, "did you mean mini_xception.fer2013"),
        (["--leave-out", "nothing.*"], 2, "cannot be left out"),
        (["--certify", "--in-channels", "3"], 2, "leave --in-channels out"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    options: list[str], code: int, words: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", str(file), "--out", str(tmp_path / "out"), *options]) == code
    errors = capsys.readouterr().err
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_checkpoint_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pth").write_text("hello")
    assert run(["convert", str(tmp_path / "model.pth"), "--out", str(tmp_path / "out")]) == 3
    assert "is no checkpoint" in capsys.readouterr().err
