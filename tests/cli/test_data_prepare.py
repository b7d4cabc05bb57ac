import json
from pathlib import Path

import pytest

from tests.data.forms import CLASSES, IMAGES, NAMES, tar_bytes
from xception.cli.app import run


@pytest.fixture
def val(tmp_path: Path) -> Path:
    """ImageNet's validation archive with its labels next to it."""
    members = {f"{name}.JPEG": data for name, (_, data) in zip(NAMES, IMAGES, strict=True)}
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes(members))
    labels = (f"{name}.JPEG {target}\n" for name, (target, _) in zip(NAMES, IMAGES, strict=True))
    (tmp_path / "val_label.txt").write_text("".join(labels))
    return tmp_path / "ILSVRC2012_img_val.tar"


def test_an_archive_becomes_a_folder_a_class(val: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "prepare", str(val), "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert "12 in 3 classes = 12 written + 0 there before" in captured.out
    assert f"next: xception data check {tmp_path / 'out'}" in captured.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(CLASSES)
    assert run(["data", "prepare", str(val), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folders"][0]["kept"] == 12


def test_a_part_of_an_archive_exits_with_1_unless_it_is_expected(val: Path, tmp_path: Path) -> None:
    with (tmp_path / "val_label.txt").open("a") as file:
        file.write("ILSVRC2012_val_00000013.JPEG 0\n")
    arguments = ["data", "prepare", str(val), "--out", str(tmp_path / "out")]
    assert run(arguments) == 1
    assert run([*arguments, "--expect", "12"]) == 0


def test_images_to_calibrate_on_are_drawn_apart_from_others(
    val: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "prepare", str(val), "--out", str(tmp_path / "all")]) == 0
    draw = ["data", "prepare", str(tmp_path / "all"), "--sample", "3"]
    assert run([*draw, "--out", str(tmp_path / "first"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out.split("\n", 2)[2])
    assert run([*draw, "--out", str(tmp_path / "second"), "--not-in", str(tmp_path / "first"), "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["not_in"] == ["first"]
    assert not {row["sha256"] for row in first["images"]} & {row["sha256"] for row in second["images"]}
    assert run([*draw, "--out", str(tmp_path / "third")]) == 0
    captured = capsys.readouterr()
    assert "3 of 3 classes, seed 0" in captured.out
    assert "name their sets with --not-in" in captured.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--not-in", "x"], "expected --sample COUNT"),
        (["--seed", "1"], "expected --sample COUNT"),
        (["--sample", "1", "--expect", "1"], "leave them out"),
    ],
)
def test_options_of_the_other_kind_are_refused(
    options: list[str], message: str, val: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "prepare", str(val), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
