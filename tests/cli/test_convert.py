"""What a user does with somebody's file: asks what it is, makes a bundle of it, and gives it to timm."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.checkpoints import drawn, hollow, prefixed, write_keras, write_safetensors, write_torch
from xception.arch.compute import STEM_WEIGHT
from xception.backends.base import open_session
from xception.bundle import Bundle, open_bundle
from xception.cli.app import run
from xception.labels import imagenet1k
from xception.tasks.agreement import probe_pixels
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
    gray, rgb = (read_weights(tmp_path / name / "weights.safetensors")[STEM_WEIGHT] for name in ("gray", "rgb"))
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


def document(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert run([*map(str, arguments), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    code = run([*map(str, arguments)])
    printed = capsys.readouterr()
    assert printed.out == ""
    return code, printed.err


def test_info_tells_what_a_checkpoint_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_torch(tmp_path / "best.pth", prefixed(drawn("timm_xception41p"), "module."))
    found = document(capsys, "info", file)
    assert (found["kind"], found["container"], found["variant"]) == ("checkpoint", "torch_zip", "timm_xception41p")
    assert (found["num_classes"], found["in_channels"], found["prefixes"]) == (11, 3, ["module."])
    assert (found["missing"], found["unexpected"]) == ([], [])
    assert run(["info", str(file)]) == 0
    assert "timm_xception41p" in capsys.readouterr().out


def test_info_tells_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = drawn("timm_xception41p")
    del values["stem.0.bn.bias"]
    assert run(["info", str(write_safetensors(tmp_path / "file", values))]) == 0
    shown = capsys.readouterr().out
    assert "none for certain; candidates timm_xception41p" in shown
    assert "1: stem.0.bn.bias" in shown


def test_info_tells_what_a_graph_is(onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "info", onnx_bundle.main_file)
    assert (found["kind"], found["format"], found["inputs"][0]["name"]) == ("graph", "onnx", "pixels")
    assert run(["info", str(onnx_bundle.main_file)]) == 0
    assert "tensor(float), N x 3 x 32 x 32" in capsys.readouterr().out


def test_convert_makes_a_bundle_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_keras(tmp_path / "model.h5", drawn("tiny_xception", width=1.0))
    (tmp_path / "labels.txt").write_text("".join(f"mood {index}\n" for index in range(11)))
    assert run(["convert", str(file), "--out", str(tmp_path / "out"), "--labels", str(tmp_path / "labels.txt")]) == 0
    printed = capsys.readouterr()
    assert "80 matched, 0 missing, 0 unexpected" in printed.out
    assert f"next: xception predict {tmp_path / 'out'} photo.jpg" in printed.err
    bundle = open_bundle(tmp_path / "out", verify=True)
    assert bundle.labels.names[10] == "mood 10"
    assert open_session(bundle)(probe_pixels(bundle)).shape == (16, 11)


def test_convert_prints_the_bundle_s_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_safetensors(tmp_path / "file", drawn("gluon_xception65"))
    found = document(capsys, "convert", file, "--out", tmp_path / "out")
    assert found["network"]["variant"] == "gluon_xception65"
    assert found["lineage"][0]["settings"]["source"] == "gluon"


def test_a_bare_name_of_three_networks_is_a_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception41"))
    code, said = refused(capsys, "convert", file, "--out", tmp_path / "out", "--variant", "xception41")
    assert code == 2
    assert "choose one of ppcls_xception41, ppcls_xception41_deeplab, timm_xception41" in said


def test_superfluous_tensors_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = drawn("timm_xception41")
    extra = {"a.b": values["head.fc.bias"], "c.d": values["head.fc.bias"]}
    file = write_safetensors(tmp_path / "file", values | extra)
    out = ("--out", tmp_path / "out")
    code, said = refused(capsys, "convert", file, *out)
    assert code == 3
    assert "not part of it a.b, c.d" in said
    document(capsys, "convert", file, *out, "--leave-out", "a.*", "--leave-out", "c.d")
    assert (tmp_path / "out").exists()


def test_a_certificate_needs_an_interpreter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception41"))
    code, said = refused(capsys, "convert", file, "--out", tmp_path / "out", "--certify")
    assert code == 2
    assert "--upstream-python" in said


def test_a_taken_place_is_told_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").touch()
    code, said = refused(capsys, "convert", tmp_path / "nowhere.pth", "--out", tmp_path)
    assert code == 3
    assert "is not a bundle" in said


def test_a_folder_for_timm_is_written_and_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_safetensors(tmp_path / "file", drawn("timm_xception41p", width=1.0, num_classes=2))
    assert run(["convert", str(file), "--out", str(tmp_path / "bundle")]) == 0
    assert run(["export", str(tmp_path / "bundle"), "--to", "timm", "--out", str(tmp_path / "timm")]) == 0
    assert f'timm.create_model("local-dir:{tmp_path / "timm"}", pretrained=True)' in capsys.readouterr().err
    assert document(capsys, "info", tmp_path / "timm")["container"] == "model_folder"
