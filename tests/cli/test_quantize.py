import json
from pathlib import Path

import pytest
from PIL import Image

from xception.bundle import Bundle, open_bundle
from xception.cli.app import run
from xception.data.digits import digits

Captured = pytest.CaptureFixture[str]


def quantize(bundle: Bundle, out: Path, *options: object) -> int:
    return run(["quantize", str(bundle.path), "--calibration", "digits", "--out", str(out), *map(str, options)])


def test_a_good_model_is_written_and_its_record_printed(reader: Bundle, tmp_path: Path, capsys: Captured) -> None:
    table = tmp_path / "scales.json"
    page = tmp_path / "page.html"
    code = quantize(
        reader,
        tmp_path / "q",
        "--calibration-images",
        100,
        "--json",
        "--scales",
        table,
        "--tolerance",
        0.05,
        "--html",
        page,
    )
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (document["passed"], document["chosen"], document["calibration"]["images"]) == (True, "max", 100)
    assert open_bundle(tmp_path / "q", verify=True).model.passed_gate is True
    assert json.loads(table.read_bytes()) == document["scales"]
    text = page.read_text(encoding="utf-8")
    assert "of float32" in text
    assert "<svg" in text


def test_a_bad_one_is_reported_with_exit_code_1(blown_up: Bundle, tmp_path: Path, capsys: Captured) -> None:
    files = ("--scales", tmp_path / "scales.csv", "--html", tmp_path / "page.html")
    code = quantize(blown_up, tmp_path / "q", "--method", "per-tensor", *files)
    printed = capsys.readouterr()
    assert code == 1
    assert "failed" in printed.out
    assert "no bundle was written" in printed.err
    assert "more than the 0.5 points allowed" in printed.err
    assert not (tmp_path / "q").exists()
    assert "more than the 0.5 points allowed" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "scales.csv").read_text().startswith("tensor,kind,dtype,channel,scale,zero_point\n")


def test_a_bad_one_may_be_kept_marked_as_failed(blown_up: Bundle, tmp_path: Path, capsys: Captured) -> None:
    assert quantize(blown_up, tmp_path / "q", "--method", "max", "--keep-failed") == 1
    assert "is marked as failed" in capsys.readouterr().err
    assert open_bundle(tmp_path / "q").model.passed_gate is False


def test_a_folder_of_nothing_but_images_has_no_labels(reader: Bundle, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "flat").mkdir()
    for item in digits("validation").items[:40]:
        image = item.load()
        assert isinstance(image, Image.Image)
        image.save(tmp_path / "flat" / f"{item.key}.png")
    quantize(reader, tmp_path / "q", "--validation", tmp_path / "flat", "--method", "equalized")
    assert "of 40 held-out images without labels" in " ".join("".join(capsys.readouterr()).split())


@pytest.mark.parametrize("options", [("--scales", "table.txt"), ("--method", "best"), ("--weight-bits", 4)])
def test_what_makes_no_sense_is_a_usage_error(options: tuple[object, ...], reader: Bundle, tmp_path: Path) -> None:
    assert quantize(reader, tmp_path / "q", *options) == 2


def test_an_overlap_is_an_input_error(reader: Bundle, tmp_path: Path, capsys: Captured) -> None:
    assert quantize(reader, tmp_path / "q", "--validation", "digits:train") == 3
    assert "in both the calibration and the validation data" in capsys.readouterr().err
