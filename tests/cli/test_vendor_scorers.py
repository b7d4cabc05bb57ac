"""Our figures of a tool's results next to those of the vendors' own scorers, on what tells the two apart."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from tests.interchange.scorers import ascend_scores, mindspore_raw, vastai_lines
from tests.support.samples import CLASSES, write_folder
from tests.tasks.test_vendor_results import folder_of_pictures
from xception.arch.variants import architecture
from xception.bundle import Bundle, Model, Network, write_bundle
from xception.cli.app import run
from xception.interchange import mindspore
from xception.labels import Labels
from xception.models.network import build
from xception.preprocess import Preprocess, Squash
from xception.weights import weights_bytes

SATURATED = {"a": "0 1", "b": "1 0", "c": "0.1 0.9", "d": "0.8 0.2", "f": "1 0"}
"""A softmax over two classes as C++ prints it; the image e has no result."""

WHOLE = {
    "a": "9 8 7 6 5 4 3 2 1 0",
    "b": "45 12 3 99 5 6 7 8 9 10",
    "c": "-3 0 -7 2 1 -1 4 5 -2 9",
    "d": "1 2 3 4 5 6 7 8 0 9",
    "f": "10 0 1 2 3 4 5 6 7 8",
}
"""Whole numbers of ten classes, as an int8 network gives them; some of these lines might be rankings."""

TRUTH = {"a": 1, "b": 0, "c": 1, "d": 0, "e": 1, "f": 0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Bundles of two and of ten classes, which only tell the classes."""
    root = tmp_path_factory.mktemp("models")
    for count in (2, 10):
        network = Network(variant="tiny_xception", num_classes=count, in_channels=1, width=1.0)
        resize = Squash(width_px=48, height_px=48)
        preprocess = Preprocess(color="gray", resize=resize, mean=(0.5,), std=(0.5,))
        model = Model(name="m", network=network, form="weights", precision="float32", preprocess=preprocess)
        tensors = build(architecture("tiny_xception", num_classes=count, in_channels=1)).tensors()
        labels = Labels(tuple(f"c{index}" for index in range(count)))
        write_bundle(root / str(count), model, labels, {"weights.safetensors": weights_bytes(tensors)})
    return {count: root / str(count) for count in (2, 10)}


@pytest.mark.parametrize("place", ["beside", "elsewhere", "data"])
@pytest.mark.parametrize(("classes", "texts"), [(2, SATURATED), (10, WHOLE)])
def test_ascends_scorer_and_ours_agree_on_whole_and_saturated_scores(
    place: str,
    classes: int,
    texts: dict[str, str],
    models: dict[int, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for name, text in texts.items():
        (results / f"{name}_1.txt").write_text(text + "\n")
    labels = (results if place == "beside" else tmp_path) / "val_label.txt"
    given = ["--truth", str(labels)] if place == "elsewhere" else []
    labels.write_text("".join(f"{name}.jpg {target}\n" for name, target in TRUTH.items()))
    theirs = ascend_scores(results, labels)
    arguments = ["evaluate", str(models[classes]), "--results", str(results), "--vendor", "ascend", *given]
    if place == "data":
        folder = write_folder(tmp_path / "data", 3, tuple(f"c{index}" for index in range(2)))
        for name, target in TRUTH.items():
            (folder / f"c{target}" / f"{name}.png").write_bytes(b"not read")
        for name in ("0.png", "1.png", "2.png"):
            (folder / "c0" / name).unlink()
            (folder / "c1" / name).unlink()
        arguments.insert(2, str(folder))
    assert run([*arguments, "--json", "--result-json", str(tmp_path / "result.json")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["total"], found["seen"], found["failed"]) == (6, 5, 1)
    ours = [row["value"] for row in json.loads((tmp_path / "result.json").read_text())["value"][2:]]
    assert [float(text[:-1]) for text in ours] == [float(text[:-1]) for text in theirs[: len(ours)]]
    assert len(ours) == (1 if classes == 2 else 5)
    assert classes == 10 or theirs[0] == "100.00%"
    assert f"{100 * found['top1']['value']:.2f}%" == theirs[0]


@pytest.mark.parametrize("classes", [2, 10])
def test_mindspores_scorer_and_ours_agree(
    classes: int, models: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = SATURATED if classes == 2 else WHOLE
    rows = [(f"{name}.jpg", np.array(text.split(), np.float32)) for name, text in texts.items()]
    mindspore.write_mindspore_results(tmp_path, rows)
    mindspore.write_mindspore_label_file(tmp_path / "label.txt", TRUTH.items())
    theirs = mindspore_raw(tmp_path / "result_Files", TRUTH)
    arguments = ["evaluate", str(models[classes]), "--results", str(tmp_path), "--vendor", "mindspore", "--json"]
    assert run([*arguments, "--result-log", str(tmp_path / "acc.log")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["seen"], found["failed"]) == (5, 1)
    said = ast.literal_eval((tmp_path / "acc.log").read_text().removeprefix("result: "))
    assert [said["Top_1_Acc"], said["Top_5_Acc"]] == theirs


@pytest.mark.parametrize("with_data", [True, False])
def test_vastais_scorer_and_ours_agree_where_images_fail_in_the_middle(
    with_data: bool, onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out, bundle = folder_of_pictures(tmp_path / "data"), tmp_path / "out", str(onnx_bundle.path)
    assert run(["predict", bundle, str(data), "--vendor", "vastai", "--out", str(out)]) == 0
    theirs = vastai_lines(out / "result.txt", {name: name for name in CLASSES})
    capsys.readouterr()
    named = [str(data)] if with_data else []
    assert run(["evaluate", bundle, *named, "--results", str(out), "--vendor", "vastai", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["total"], found["seen"], found["failed"]) == (15, 14, 1)
    assert [100 * found["top1"]["value"], 100 * found["top5"]["value"]] == pytest.approx(theirs)
