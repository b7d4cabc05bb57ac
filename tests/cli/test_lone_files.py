"""A graph file by itself, in a folder where nothing else lies, as every command takes it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.reader import HELD_OUT
from xception.bundle import Bundle
from xception.cli.app import run
from xception.data.decode import loaded_image
from xception.export.export import export_bundle
from xception.export.program import GraphOptions


@pytest.fixture(scope="module", params=["onnx", "openvino", "litert"])
def lone(request: pytest.FixtureRequest, reader_weights: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(f"lone_{request.param}")
    options = GraphOptions(image_input=True, probabilities=True)
    exported = export_bundle(reader_weights, request.param, place / "bundle", options=options)
    (place / "alone").mkdir()
    for file in exported.path.glob(f"{exported.main_file.stem}.*"):
        if file.name != "model.json":
            shutil.copy(file, place / "alone" / f"digits{file.suffix}")
    return place / "alone" / f"digits{exported.main_file.suffix}"


def test_info_tells_classes_preprocessing_and_origin(
    lone: Path, reader_weights: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", str(lone), "--json"]) == 0
    own = json.loads(capsys.readouterr().out)["identity"]
    assert own["names"] == list(reader_weights.labels.names)
    assert own["model"]["lineage"][-1]["parent"] == reader_weights.model.digest
    assert own["model"]["preprocess"]["color"] == "gray"
    assert run(["info", str(lone)]) == 0
    assert "lineage" in capsys.readouterr().out


def test_predict_needs_nothing_but_the_file(
    lone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    chosen = HELD_OUT.items[:8]
    for index, item in enumerate(chosen):
        loaded_image(item.load()).save(tmp_path / f"{index}.png")
    images = [str(tmp_path / f"{index}.png") for index in range(8)]
    assert run(["predict", str(lone), *images, "--top", "1", "--csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    right = sum(
        f",1,{item.target},{HELD_OUT.classes[item.target or 0]}," in row
        for row, item in zip(rows[1:], chosen, strict=False)
    )
    assert right >= 7
