"""Each verb's documents, and how the verbs hand bundles to one another."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.support.samples import CLASSES, encoded, picture, write_folder
from xception.arch.compute import cost
from xception.arch.variants import VARIANTS
from xception.bundle import Bundle, open_bundle
from xception.cli.app import run
from xception.cli.output import print_json
from xception.convert.catalog import CATALOG


def document(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """The one JSON document that a command prints."""
    assert run([*map(str, arguments), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.fixture
def faulty_folder(tmp_path: Path) -> Path:
    """One folder a class with two readable images each; two more files in the first cannot be read."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for index in range(2):
            Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(folder / f"{index}.png")
    (tmp_path / "data" / CLASSES[0] / "empty.jpg").touch()
    (tmp_path / "data" / CLASSES[0] / "text.jpg").write_text("no image")
    return tmp_path / "data"


def test_list_holds_all_variants_with_their_counts(capsys: pytest.CaptureFixture[str]) -> None:
    rows = document(capsys, "list")["variants"]
    assert {row["name"]: row["params"] for row in rows} == {
        name: cost(spec).parameters for name, spec in VARIANTS.items()
    }


@pytest.mark.parametrize(
    ("convention", "published"),
    [
        ("macs", {"timm_xception": 8.357, "ppcls_xception41": 8.498}),
        ("fvcore", {"timm_xception": 8.400, "timm_xception41": 9.284}),
        ("paddle", {"ppcls_xception41": 8.575, "ppcls_xception71": 16.206}),
        ("seed-table", {"timm_xception": 9.198, "timm_xception71": 19.764, "ppcls_xception65": 13.249}),
    ],
)
def test_list_counts_operations_as_a_source_does(
    convention: str, published: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    result = document(capsys, "list", "--flops-convention", convention)
    flops = {row["name"]: round(row["flops"] / 1e9, 3) for row in result["variants"]}
    assert {name: flops[name] for name in published} == published
    assert result["flops_convention"] == convention


def test_list_refuses_an_unknown_convention(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--flops-convention", "guess"]) == 2
    assert "seed-table" in capsys.readouterr().err


def test_list_holds_all_published_weights_with_what_is_reported_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in document(capsys, "list")["weights"]}
    assert list(rows) == list(CATALOG)
    keras = rows["keras_xception.imagenet"]
    assert (keras["top1"], keras["top5"]) == (0.790, 0.945)
    assert keras["reported_by"] == "Keras, applications"
    assert keras["digest"] == "md5:0a58e3b7378bc2990ea3b43d5981f1f6"
    assert keras["preprocess"]["resize"] == {"rule": "shorter_side", "px": 333, "long_side": "truncate"}
    assert rows["tiny_xception.kdef"]["top1"] is None


def test_list_shows_a_table_of_variants_and_one_of_weights(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["list", "--flops-convention", "fvcore"]) == 0
    variants, weights = capsys.readouterr().out.split("\n\n")
    assert "FLOPs: as fvcore counts them" in variants
    assert len(variants.splitlines()) == 2 + len(VARIANTS)
    assert len(weights.splitlines()) == 1 + sum(not entry.snapshot_of for entry in CATALOG.values())
    assert "83.19%" in weights


def test_info_tells_what_is_known_of_published_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "info", "timm_xception65.ra3_in1k")["kind"] == "weights"
    assert run(["info", "mindcv_xception.in1k_224"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "shorter side to 256 px (longer: truncate), bilinear without antialias" in shown
    assert "top-1 76.310%, top-5 92.800% (MindCV, configs/xception/README.md, 2025-04-15)" in shown
    assert "note 2" in shown
    assert run(["info", "mini_xception.kdef"]) == 0
    assert "squash to 64 x 64 px" in capsys.readouterr().out


def test_info_draws_a_variant_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "tiny_xception", "--drawing", str(tmp_path / "tiny.svg")]) == 0
    assert (tmp_path / "tiny.svg").read_text(encoding="utf-8").startswith("<svg")
    assert run(["info", "tiny_xception.kdef", "--drawing", str(tmp_path / "other.svg")]) == 2
    assert not (tmp_path / "other.svg").exists()


def test_info_suggests_the_nearest_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "timm_xception41.tf_in"]) == 3
    assert "did you mean timm_xception41.tf_in1k" in capsys.readouterr().err


def test_info_tells_variants_from_bundles(weights_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "info", "timm_xception71")["params"] == 42_338_736
    bundle = document(capsys, "info", weights_bundle.path)
    assert (bundle["kind"], bundle["form"]) == ("bundle", "weights")


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("form", ["weights", "onnx", "openvino"])
def test_evaluate_counts_every_image(
    form: str, batch: int, forms: dict[str, Bundle], faulty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = document(capsys, "evaluate", forms[form].path, faulty_folder, "--batch", str(batch))
    seen = 2 * len(CLASSES)
    assert (result["total"], result["seen"], result["failed"]) == (seen + 2, seen, 2)
    assert [failure["path"].split("/")[-1] for failure in result["failures"]] == ["empty.jpg", "text.jpg"]
    assert set(result["top1"]) == {"value", "low", "high"}


@pytest.mark.parametrize("verb", ["evaluate", "predict", "compare", "data parity", "data check", "benchmark"])
def test_files_that_are_left_out_are_counted_by_kind(
    verb: str, onnx_bundle: Bundle, faulty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("notes.txt", "photo", "._0.png"):
        (faulty_folder / CLASSES[1] / name).write_bytes(b"x")
    model = [str(onnx_bundle.path)]
    models = {"data check": [], "compare": model * 2}.get(verb, model)
    run([*verb.split(), *models, str(faulty_folder), "--json"])
    captured = capsys.readouterr()
    assert "3 files are left out: .txt 1, no ending 1, system files 1" in captured.err
    if verb not in ("benchmark", "predict", "data parity"):
        left_out = json.loads(captured.out)["inventory"]["left_out"]
        assert left_out == {".txt": 1, "no ending": 1, "system files": 1}


def test_evaluate_takes_several_right_answers_fewer_classes_and_mirror_images(
    onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "data", classes=("ant", "biene"))
    class_map = tmp_path / "map.json"
    class_map.write_text('{"biene": "bee"}')
    answers = tmp_path / "real.json"
    answers.write_text(json.dumps([["ant"], [0, 1], [], [1], [1], [1]]))
    command = ["evaluate", onnx_bundle.path, folder, "--class-map", class_map, "--subset-classes", "--real", answers]
    result = document(capsys, *command, "--tta", "flip", "--top=1")
    assert (result["subset"], result["tta"], result["labels"]) == (True, "flip", list(CLASSES[:2]))
    assert (result["real"]["counted"], result["real"]["uncounted"]) == (5, 1)
    assert 0 <= result["equal_error_rate"] <= 1
    assert len(result["top_k"]) == 1
    assert run([*map(str, command)]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("calibration error", "right answers", "ROC-AUC", "equal error rate"))


@pytest.mark.parametrize("option", ["--batch=0", "--readers=0", "--top=0"])
def test_evaluate_refuses_nonsense(option: str, onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(onnx_bundle.path), "digits", option]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_evaluate_and_compare_write_pages_and_a_table(
    forms: dict[str, Bundle], faulty_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = str(forms["onnx"].path), str(forms["openvino"].path)
    page, pair = (tmp_path / "out" / name for name in ("page.html", "pair.html"))
    assert run(["evaluate", first, str(faulty_folder), "--html", str(page), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    shown = [*result["mistakes"], *(one for pair in result["confused"] for one in pair["examples"])]
    assert page.read_text(encoding="utf-8").count("<img") == len(shown) > len(result["mistakes"]) > 0
    assert run(["evaluate", first, str(faulty_folder), "--csv"]) == 0
    assert f"summary,,top1,{result['top1']['value']}" in capsys.readouterr().out
    assert run(["compare", first, second, str(faulty_folder), "--html", str(pair)]) == 0
    assert "text.jpg" in pair.read_text(encoding="utf-8")
    assert sorted(path.name for path in page.parent.iterdir()) == ["page.html", "pair.html"]


def test_an_evaluation_is_made_again_from_its_own_provenance(
    onnx_bundle: Bundle, faulty_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--tta", "flip", "--pixels", "exact", "--preprocess", "bilinear", "--top", "3"]
    first = document(capsys, "evaluate", onnx_bundle.path, faulty_folder, *arguments)
    program, *words = first["provenance"]["run"].pop("command")
    assert (program, words[1:3]) == ("xception", [str(onnx_bundle.path), str(faulty_folder)])
    assert run(words) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["provenance"]["run"].pop("command") == [program, *words]
    for each in (first, again):
        assert each["provenance"]["run"].pop("date").endswith("+00:00")
    assert json.dumps(first) == json.dumps(again)


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_rows_of_an_evaluation_give_its_figures_again(
    form: str, onnx_bundle: Bundle, faulty_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, page = tmp_path / f"rows.{form}", tmp_path / "page.html"
    arguments = [onnx_bundle.path, faulty_folder, "--predictions", rows, "--logits"]
    whole = document(capsys, "evaluate", *arguments)
    again = document(capsys, "evaluate", "--results", rows, "--html", page)
    for figure in ("total", "seen", "failed", "top_k", "loss", "labels", "confusion", "classes", "calibration"):
        assert again[figure] == whole[figure]
    assert [each["path"] for each in again["failures"]] == [each["path"] for each in whole["failures"]]
    assert "<h2" in page.read_text()
    paired = document(capsys, "compare", rows, rows)
    assert (paired["total"], paired["seen"], paired["flips"]) == (16, 14, [])


def test_an_accuracy_below_the_gate_is_exit_code_one(
    onnx_bundle: Bundle, faulty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(onnx_bundle.path), str(faulty_folder), "--min-top1"]
    assert run([*command, "0"]) == 0
    assert run([*command, "0.999"]) == 1
    captured = capsys.readouterr()
    assert "top-1" in captured.out
    assert "expected at least 99.90%" in captured.err
    assert run([*command, "76"]) == 2
    assert run([*command[:-1], "--min-map", "0.5"]) == 2
    assert "have one class each; take --min-top1" in capsys.readouterr().err


def test_predictions_go_to_a_file_and_are_not_overwritten(
    onnx_bundle: Bundle, faulty_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(onnx_bundle.path), str(faulty_folder), "--out", str(tmp_path / "a.parquet")]
    assert run(command) == 0
    assert "16 = 14 seen + 2 failed" in capsys.readouterr().out
    summary = json.loads((tmp_path / "a.parquet.json").read_text())
    assert summary["provenance"]["run"]["command"][1] == "predict"
    assert run(command) == 3
    assert "is there already" in capsys.readouterr().err
    assert run([*command[:-1], str(tmp_path / "a.xlsx")]) == 2


def test_two_documents_are_compared_by_machine(
    onnx_bundle: Bundle, faulty_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, options in (("a", []), ("b", ["--preprocess", "squash_whole"])):
        assert run(["evaluate", str(onnx_bundle.path), str(faulty_folder), "--json", *options]) == 0
        (tmp_path / f"{name}.json").write_text(capsys.readouterr().out)
    found = document(capsys, "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert {row["name"] for row in found["conditions"]} >= {"models.0.preprocess.resize.rule"}
    assert run(["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) == 0
    assert "the same" in capsys.readouterr().out
    (faulty_folder / CLASSES[0] / "0.png").unlink()
    assert run(["evaluate", str(onnx_bundle.path), str(faulty_folder), "--json"]) == 0
    (tmp_path / "c.json").write_text(capsys.readouterr().out)
    assert run(["compare", str(tmp_path / "a.json"), str(tmp_path / "c.json")]) == 3
    assert "not the same images" in capsys.readouterr().err
    assert run(["compare", str(onnx_bundle.path), str(onnx_bundle.path)]) == 2


def test_compare_judges_the_second_model_by_the_first(
    forms: dict[str, Bundle], faulty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", str(forms["onnx"].path), str(forms["openvino"].path), str(faulty_folder)]
    result = document(capsys, *arguments)
    assert (result["total"], result["failed"]) == (2 * len(CLASSES) + 2, 2)
    assert result["first"]["score"] | {"loss": 0} == result["second"]["score"] | {"loss": 0}
    assert (result["first"]["backend"], result["second"]["backend"]) == ("onnxruntime", "openvino")
    assert run([*arguments, "--margin", "0.5", "--require"]) == 0
    shown = capsys.readouterr()
    assert "within 50 points with 95 % confidence: yes" in shown.out
    assert "empty.jpg" in shown.err
    assert run([*arguments, "--require"]) == 1
    shown = capsys.readouterr()
    assert "not enough images (14), need about 381" in shown.err
    assert "McNemar" in shown.out
    assert run([*arguments, "--margin", "1"]) == 2
    assert run([*arguments, "--batch", "0"]) == 2


def test_predict_reports_failures_in_their_place(
    onnx_bundle: Bundle, faulty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = document(capsys, "predict", onnx_bundle.path, faulty_folder, "--top", "2")
    assert result["total"] == result["seen"] + result["failed"] == 2 * len(CLASSES) + 2
    assert all(len(row["top"]) == 2 for row in result["predictions"])
    assert run(["predict", str(onnx_bundle.path), str(faulty_folder), "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("the file is empty" in line for line in lines) == 1


def test_benchmark_measures_every_stage_at_every_batch_size(
    onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = document(capsys, "benchmark", onnx_bundle.path, "--batch", "1,4", "--images", "8")["runs"]
    assert [run["batch"] for run in runs] == [1, 4]
    for row in runs:
        assert set(row["stages"]) == {"read", "preprocess", "infer", "postprocess"}
        assert row["bottleneck"] in row["stages"]
        assert row["end_to_end"]["low"] <= row["end_to_end"]["images_per_second"] <= row["end_to_end"]["high"]
        assert row["efficiency"] == pytest.approx(
            row["end_to_end"]["images_per_second"] / row["bound_images_per_second"]
        )


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_export_writes_a_bundle_with_its_agreement(
    to: str, weights_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["export", str(weights_bundle.path), "--to", to, "--out", str(out)]) == 0
    exported = open_bundle(out, verify=True)
    assert exported.model.agreement is not None
    assert exported.model.agreement.relative_diff < 1e-5
    assert exported.model.lineage[-1].parent == weights_bundle.model.digest
    assert run(["export", str(weights_bundle.path), "--to", to, "--out", str(out)]) == 3
    assert "--overwrite" in capsys.readouterr().err
    assert run(["export", str(weights_bundle.path), "--to", to, "--out", str(out), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("to", "option"),
    [
        ("timm", "--data"),
        ("triton", "--data"),
        ("triton", "--upstream-python"),
        ("onnx", "--upstream-python"),
        ("onnx", "--calibration"),
    ],
)
def test_an_option_that_an_export_has_no_use_for_is_refused(
    to: str, option: str, weights_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(weights_bundle.path), "--to", to, "--out", str(tmp_path / "out"), option, "x"]
    assert run(arguments) == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_matrix_in_json_looks_like_one(capsys: pytest.CaptureFixture[str]) -> None:
    content = {
        "matrix": [[1, 0], [-2, 2.5e-7]],
        "texts": ["[\n 1\n]", "1"],
        "mixed": [1, None],
        "empty": [],
        "one": [7],
    }
    print_json(content)
    shown = capsys.readouterr().out
    assert json.loads(shown) == content
    assert "    [1, 0],\n    [-2, 2.5e-7]\n" in shown
    assert '"one": [7]' in shown


def test_json_is_all_that_stdout_holds(process: Command, onnx_bundle: Bundle, faulty_folder: Path) -> None:
    result = process("evaluate", onnx_bundle.path, faulty_folder, "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["failed"] == 2


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_images_of_which_none_can_be_read_are_no_success(
    verb: str, onnx_bundle: Bundle, tmp_path: Path, xception: Command
) -> None:
    for name in CLASSES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.png").write_text("no image")
    done = xception(verb, onnx_bundle.path, tmp_path, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["seen"] == 0
    assert "none of the 7 images was answered" in done.stderr


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_the_failures_that_are_allowed_are_counted(
    verb: str, onnx_bundle: Bundle, faulty_folder: Path, xception: Command
) -> None:
    for most, code in ((1, 1), (2, 0)):
        done = xception(verb, onnx_bundle.path, faulty_folder, "--json", "--max-failed", str(most))
        assert done.returncode == code
        assert json.loads(done.stdout)["failed"] == 2
    assert xception(verb, onnx_bundle.path, faulty_folder).returncode == 0


def test_a_name_can_neither_forge_a_line_nor_steer_the_terminal(
    onnx_bundle: Bundle, tmp_path: Path, xception: Command
) -> None:
    name = "a.png\nforged.png  cat 99.0%\x1b[2J\u202e.png"
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / name)
    for option in ((), ("--csv",), ("--json",)):
        shown = xception("predict", onnx_bundle.path, tmp_path, "--top", "1", *option).stdout
        assert shown.replace("\n", "").isprintable()
        assert not any(line.startswith("forged") for line in shown.splitlines())
    assert json.loads(shown)["predictions"][0]["path"] == f"{tmp_path}/{name}"


def test_predictions_name_damage_and_what_was_left_out(
    onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = encoded(picture(320, 240), "JPEG", quality=90)
    (tmp_path / "a.jpg").write_bytes(sound)
    (tmp_path / "b.jpg").write_bytes(sound[: len(sound) // 2] + b"\xff\xd9")
    (tmp_path / "notes.txt").touch()
    result = document(capsys, "predict", onnx_bundle.path, tmp_path)
    assert ["damage" in one for one in result["predictions"]] == [False, True]
    assert "Corrupt JPEG data" in result["predictions"][1]["damage"]
    assert result["inventory"]["left_out"] == {".txt": 1}


@pytest.mark.parametrize("verb", ["data check", "data parity", "benchmark"])
def test_a_document_says_where_it_comes_from(
    verb: str, onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data")
    model = [] if verb == "data check" else [onnx_bundle.path]
    few = ["--images", "8", "--repeats", "1", "--warmup", "0", "--batch", "1"] if verb == "benchmark" else []
    origin = document(capsys, *verb.split(), *model, data, *few)["provenance"]
    assert origin["run"]["command"][: len(verb.split()) + 1] == ["xception", *verb.split()]
    assert origin["data"]["name"] == "data"
    assert int(origin["data"]["fingerprint"], 16)
    assert [model["digest"] for model in origin["models"]] == [onnx_bundle.model.digest] * len(model)
