from pathlib import Path

import pytest

from tests.support.rows import write_rows_of_sets
from tests.support.samples import write_folder
from xception.bundle import Bundle
from xception.cli.app import run


def test_a_mean_average_precision_below_the_gate_is_exit_code_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows_of_sets(tmp_path / "rows.jsonl", [3, -2, -3])
    command = ["evaluate", "--results", str(tmp_path / "rows.jsonl")]
    assert run([*command, "--min-map", "0.83"]) == 0
    assert run([*command, "--min-map", "0.84"]) == 1
    captured = capsys.readouterr()
    assert "mean average precision" in captured.out
    assert "is 83.33% [" in captured.err
    assert "expected at least 84.00%" in captured.err
    assert run([*command, "--min-map", "76"]) == 2
    capsys.readouterr()
    assert run([*command, "--min-top1", "0.5"]) == 2
    refused = capsys.readouterr()
    assert "may have several; take --min-map" in refused.err
    assert refused.out == ""


def test_a_gate_of_the_wrong_kind_is_refused_before_any_image_is_looked_at(
    onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_folder(tmp_path / "photos", per_class=1)
    command = ["evaluate", str(onnx_bundle.path), str(photos), "--predictions", str(tmp_path / "rows.csv")]
    assert run([*command, "--min-map", "0.5"]) == 2
    refused = capsys.readouterr()
    assert "have one class each; take --min-top1" in refused.err
    assert refused.out == ""
    assert not (tmp_path / "rows.csv").exists()
