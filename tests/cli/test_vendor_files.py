import json
from pathlib import Path

import pytest

from tests.interchange.test_contradictions import write_build, write_params
from tests.interchange.test_vdsp import CAFFE, IMAGENET, SQUASHED
from xception.cli.app import run


def test_info_says_what_one_file_does_to_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(tmp_path / "a-vdsp_params.json", SQUASHED)
    assert run(["info", str(tmp_path / "a-vdsp_params.json")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "squash to 324x324 px; crop of 299x299 px; (value - (127.5, 127.5, 127.5)) / (127.5, 127.5, 127.5)" in said


def test_info_names_contradictions_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(tmp_path / "keras-xception-vdsp_params.json", IMAGENET)
    write_build(tmp_path / "keras_xception.yaml", CAFFE)
    assert run(["info", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "contradiction 1" in said
    assert "2 normalisations for keras-xception" in said
    assert run(["info", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "vendor files"
    assert len(document["statements"]) == 2
    assert document["contradictions"][0]["what"] == "normalisation"


def test_a_folder_that_says_nothing_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    assert run(["info", str(tmp_path)]) == 3
    assert "is no bundle" in capsys.readouterr().err
