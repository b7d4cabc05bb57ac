from pathlib import Path

import pytest

from tests.tasks.test_vendor_results import folder_of_pictures
from xception.bundle import Bundle
from xception.cli.app import run


@pytest.mark.parametrize("vendor", ["ascend", "vastai"])
def test_inputs_are_written_counted_and_judged(
    vendor: str, onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = str(folder_of_pictures(tmp_path / "data")), tmp_path / "out"
    given = ["data", "inputs", str(onnx_bundle.path), data, "--vendor", vendor, "--out"]
    assert run([*given, str(out)]) == 0
    said = capsys.readouterr()
    assert "15 = 14 written + 1 failed" in said.out
    assert "failed: bee/broken.png: not an image file of a known format" in said.err
    assert (out / ("inputs.info" if vendor == "ascend" else "datalist.txt")).is_file()
    assert run([*given, str(out)]) == 3
    assert run([*given, str(tmp_path / "other"), "--max-failed", "0"]) == 1
    assert run([*given[:4], "--vendor", "mindspore", "--out", str(tmp_path / "third")]) == 2
