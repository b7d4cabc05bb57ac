"""Every verb that takes a model takes it by any of its names."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.convert.checkpoints import drawn, write_keras
from tests.convert.file_server import Served, serving
from tests.support.samples import picture, write_folder
from xception.bundle import open_bundle
from xception.cli.app import run
from xception.cli.models import local_file
from xception.errors import InputError
from xception.resolve import look_up


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    assert local_file(look_up(tmp_path / "weights.pth")) == tmp_path / "weights.pth"


def test_what_lies_elsewhere_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    with serving() as server:
        server.files["/w.pth"] = Served(b"weights")
        assert local_file(look_up(f"{server.url}/w.pth")).read_bytes() == b"weights"
        with pytest.raises(InputError, match="does not exist"):
            local_file(look_up(f"{server.url}/other.pth"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a photograph, and images of two of the checkpoint's classes."""
    folder = tmp_path_factory.mktemp("models")
    write_keras(folder / "model.h5", drawn("mini_xception", width=0.5))
    write_folder(folder / "data", per_class=2, classes=("class 0", "class 1"))
    picture().save(folder / "photo.png")
    return folder


VERBS = {
    "predict": ["model.h5", "photo.png", "--json"],
    "evaluate": ["model.h5", "data", "--json"],
    "compare": ["model.h5", "model.h5", "data", "--json"],
    "benchmark": ["model.h5", "--images", "2", "--batch", "1", "--warmup", "1", "--repeats", "1", "--json"],
    "data parity": ["model.h5", "data", "--preprocess", "nearest", "--json"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_a_checkpoint_as_it_takes_a_bundle(
    verb: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    assert run([*verb.split(), *VERBS[verb]]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)
    assert "model.h5: read as mini_xception with 11 classes; the bundle is kept in" in captured.err
    assert run([*verb.split(), *VERBS[verb]]) == 0
    assert "read as" not in capsys.readouterr().err


def test_a_checkpoint_is_exported_as_its_bundle_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run(["export", str(folder / "model.h5"), "--to", "onnx", "--out", str(tmp_path / "onnx")]) == 0
    assert [step.verb for step in open_bundle(tmp_path / "onnx").model.lineage] == ["convert", "export"]


def test_quantize_takes_a_checkpoint_and_judges_the_calibration_images(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = str(folder / "data")
    assert run(["quantize", str(folder / "model.h5"), "--calibration", data, "--out", str(tmp_path / "int8")]) == 3
    assert "expected at least 16" in capsys.readouterr().err.splitlines()[-1]


def test_info_knows_published_weights_by_their_address_and_fetches_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XCEPTION_OFFLINE", "1")
    for name in ("hf-hub:timm/xception65.ra3_in1k", "xception65.ra3_in1k"):
        assert run(["info", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["name"] == "timm_xception65.ra3_in1k"
    assert run(["info", "hf-hub:timm/another"]) == 3
    assert "XCEPTION_OFFLINE is set" in capsys.readouterr().err
    monkeypatch.delenv("XCEPTION_OFFLINE")
    with serving() as server:
        server.files["/model.h5"] = Served((folder / "model.h5").read_bytes())
        assert run(["info", f"{server.url}/model.h5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variant"] == "mini_xception"


def test_all_that_a_request_lacks_is_named_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("httpx", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run(["predict", "keras_xception.imagenet", "photo.jpg"]) == 3
    said = capsys.readouterr().err
    assert re.search(r"'httpx' and 'torch', which are not installed; run: .*pip install", said), said
    assert list(tmp_path.iterdir()) == []
