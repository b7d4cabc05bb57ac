"""`xception predict --vendor` and `xception evaluate --results`, as a user runs them."""

import ast
import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interchange.readers import read_summary
from tests.support.samples import CLASSES
from tests.tasks.test_vendor_results import folder_of_pictures
from xception.bundle import Bundle
from xception.cli.app import run
from xception.export.packs.verify import check_pack
from xception.interchange import mindspore, vastai
from xception.labels import imagenet1k


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return folder_of_pictures(tmp_path / "data")


def document(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert run([*map(str, arguments), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("vendor", ["ascend", "mindspore", "vastai"])
def test_written_results_are_scored_with_and_without_the_data(
    vendor: str, onnx_bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, bundle = tmp_path / "out", onnx_bundle.path
    assert run(["predict", str(bundle), str(data), "--vendor", vendor, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "15 = 14 seen + 1 failed" in captured.out
    assert "broken.png" in captured.err
    expected = document(capsys, "evaluate", bundle, data)
    scored = document(capsys, "evaluate", bundle, data, "--results", out, "--vendor", vendor)
    assert (scored["total"], scored["seen"], scored["failed"]) == (15, 14, 1)
    assert scored["top1"] == expected["top1"]
    alone = document(capsys, "evaluate", bundle, "--results", out, "--vendor", vendor)
    assert alone["top1"] == expected["top1"]
    assert (alone["total"], alone["seen"], alone["failed"]) == (15, 14, 1)
    assert [failure["reason"] for failure in alone["failures"]] == ["not an image file of a known format"]


def test_whole_scores_are_scored_as_ascends_script_does(
    onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, truth = tmp_path / "results", tmp_path / "truth.txt"
    results.mkdir()
    (results / "a_1.txt").write_text("6 5 4 3 2 1 0")
    (results / "b_1.txt").write_text("45 12 3 99 5 6 7")
    truth.write_text("a.jpg 0\nb.jpg 3\n")
    arguments = ["evaluate", onnx_bundle.path, "--results", results, "--vendor", "ascend", "--truth", truth]
    scored = document(capsys, *arguments)
    assert (scored["seen"], scored["top1"]["value"]) == (2, 1.0)
    # The same numbers, were they class indices: one text names a class that there is not.
    told = document(capsys, *arguments, "--text", "classes")
    assert (told["seen"], told["failed"], told["top1"]["value"]) == (1, 1, 0.0)
    assert run(["evaluate", *map(str, arguments[1:]), "--vendor", "vastai", "--text", "scores"]) == 2


def test_imagenets_classes_need_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = np.eye(1000, dtype=np.float32)
    mindspore.write_mindspore_results(tmp_path, [(f"val_{n}.JPEG", scores[n]) for n in (0, 1, 2)])
    (tmp_path / "val_label.txt").write_text("val_0.JPEG 0\nval_1.JPEG 1\nval_2.JPEG 7\nval_3.JPEG 3\n")
    arguments = ["evaluate", "--results", str(tmp_path), "--vendor", "mindspore"]
    arguments += ["--truth", str(tmp_path / "val_label.txt"), "--result-json", str(tmp_path / "result.json")]
    assert run(arguments) == 0
    captured = capsys.readouterr()
    assert "4 = 3 seen + 1 failed" in captured.out
    assert re.search(r"top-1 +66\.67%", captured.out)
    assert "failed: val_3.JPEG: has no result" in captured.err
    assert "WARNING: 1 of 4 images were not scored" in captured.err
    assert "top-1 of all lies between 50.00% and 75.00%" in captured.err
    summary = read_summary(tmp_path / "result.json")
    assert (summary.images, summary.classes, summary.accuracies[0]) == (3, 1000, pytest.approx(0.6667))


def test_only_the_first_of_many_failures_and_strays_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mindspore.write_mindspore_results(
        tmp_path, [(f"val_{n}.JPEG", np.eye(1, 1000, n, np.float32)[0]) for n in range(30)]
    )
    rows = [*((f"val_{n}.JPEG", n) for n in range(5)), *((f"other_{n}.JPEG", n) for n in range(21))]
    mindspore.write_mindspore_label_file(tmp_path / "label.txt", rows)
    assert run(["evaluate", "--results", str(tmp_path), "--vendor", "mindspore"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert "failed: 1 more, which --json names" in said
    assert "of no image of label.txt, so not scored: 5 more, which --json names" in said
    assert "of no image of label.txt, so not scored: val_10" in said


def test_vastais_outputs_tell_their_classes_by_the_datalist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, scores = imagenet1k(), np.eye(1000, dtype=np.float32)
    vastai.write_vastai_results(tmp_path, [(f"/d/{labels.ids[n]}/{n}.npz", scores[n]) for n in range(3)], labels)
    arguments = ("evaluate", "--results", tmp_path / "output", "--vendor", "vastai")
    result = document(capsys, *arguments, "--datalist", tmp_path / "datalist.txt")
    assert (result["total"], result["top1"]["value"]) == (3, 1.0)
    assert run([*map(str, arguments)]) == 3
    assert "result.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--results", "x"], "--vendor"),
        (["--vendor", "ascend"], "--results"),
        (["--results", "x", "--vendor", "ascend"], "--truth"),
        (["digits", "--results", "x", "--vendor", "ascend", "--truth", "l.txt"], "name one of them"),
        ([], "needs a model and a data set"),
        (["bundle"], "needs a model and a data set"),
    ],
)
def test_arguments_that_do_not_go_together_are_usage_errors(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", *arguments]) == 2
    assert hint in capsys.readouterr().err


def test_predict_needs_a_place_for_the_files_and_one_form(
    onnx_bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["predict", str(onnx_bundle.path), str(data)]
    assert run([*start, "--vendor", "ascend"]) == 2
    assert run([*start, "--out", str(tmp_path / "out.txt")]) == 2
    assert run([*start, "--vendor", "ascend", "--out", str(tmp_path / "out"), "--json"]) == 2
    assert run([*start, "--vendor", "rknn", "--out", str(tmp_path / "out")]) == 2
    assert "ascend" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("vendor", ["ascend", "vastai"])
def test_a_pack_is_exported_and_checks_itself(
    vendor: str, weights_bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pack"
    assert run(["export", str(weights_bundle.path), "--to", vendor, "--data", str(data), "--out", str(out)]) == 0
    assert str(out / "verify.py") in capsys.readouterr().err
    assert check_pack(out)["inputs"]["unreadable"] == ["bee/broken.png"]
    assert run(["export", str(weights_bundle.path), "--to", vendor, "--out", str(out)]) == 3
    assert "--overwrite" in capsys.readouterr().err


def test_options_that_a_pack_or_a_graph_has_not_are_refused(
    weights_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["export", str(weights_bundle.path), "--out", str(tmp_path / "out"), "--to"]
    assert run([*start, "ascend", "--opset", "13"]) == 2
    assert "ascend has no --opset; it takes --calibration" in capsys.readouterr().err
    assert run([*start, "onnx", "--calibration", "digits"]) == 2
    assert "onnx has no --calibration" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_chips_results_have_the_report_of_a_model(
    onnx_bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page, bundle = tmp_path / "out", tmp_path / "page.html", str(onnx_bundle.path)
    assert run(["predict", bundle, str(data), "--vendor", "ascend", "--out", str(out)]) == 0
    capsys.readouterr()
    given = ["evaluate", bundle, str(data), "--results", str(out), "--vendor", "ascend"]
    assert run([*given, "--html", str(page), "--csv"]) == 0
    table = {row["figure"]: row["value"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    expected = document(capsys, "evaluate", bundle, data)
    assert float(table["loss"]) == pytest.approx(expected["loss"], rel=1e-6)
    html = page.read_text("utf-8")
    assert "data:image/png" in html
    assert "The most confused pairs" in html
    assert "options.answers" in html
    assert run([*given, "--min-top1", "1"]) == 1
    assert run([*given, "--max-failed", "0"]) == 1
    assert run([*given, "--tta", "flip"]) == 2


@pytest.mark.parametrize("classes", [2, 7])
def test_a_plain_evaluation_writes_the_vendors_summaries(
    classes: int, onnx_bundle: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = [] if classes == 7 else ["--subset-classes"]
    folder = data if classes == 7 else tmp_path / "two"
    for name in CLASSES[:2] if classes == 2 else ():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copytree(data / name, folder / name)
    files = ["--result-json", str(tmp_path / "result.json"), "--result-log", str(tmp_path / "acc.log")]
    assert run(["evaluate", str(onnx_bundle.path), str(folder), "--json", *held, *files]) == 0
    found = json.loads(capsys.readouterr().out)
    summary = read_summary(tmp_path / "result.json")
    assert (summary.images, summary.classes) == (found["seen"], classes)
    assert summary.accuracies[0] == pytest.approx(found["top1"]["value"], abs=5e-5)
    line = (tmp_path / "acc.log").read_text()
    top5 = found["top5"]["value"] if classes > 5 else 1.0
    said = ast.literal_eval(line.removeprefix("result: "))
    assert said == {"Loss": found["loss"], "Top_1_Acc": found["top1"]["value"], "Top_5_Acc": top5}
