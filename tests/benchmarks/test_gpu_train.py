import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_train, training_steps
from tests.support.samples import write_folder
from xception.data.augment import Augment
from xception.train.settings import MixSettings


@pytest.mark.slow
def test_the_script_runs_through_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = tmp_path / "gpu-train.json", tmp_path / "kept"
    data = str(write_folder(tmp_path / "data", 8))
    arguments = [
        "--smoke",
        "--sections",
        ",".join(gpu_train.SECTIONS),
        "--data",
        data,
        "--workers",
        "1",
        "--out",
        str(out),
        "--keep",
        str(kept),
    ]
    monkeypatch.setattr("sys.argv", ["gpu_train.py", *arguments])
    gpu_train.main()
    torch.compiler.set_stance("default")
    document = json.loads(out.read_text())
    assert not [name for name in gpu_train.SECTIONS if "failed" in document[name]]
    assert document["checks"]["changes"]["above_1e-3"] == 0 == document["checks"]["step"]["furthest_gradient"]
    assert {name for name, row in document["step"].items() if name != "seconds" and "failed" not in row} >= {"xception"}
    assert document["files"]["from_files"] > 0
    assert document["cifar10"]["recipe"]["mix"]["cutmix"] == 1.0
    assert document["cifar10"]["total"] > 0
    assert (kept / "bundle" / "model.json").exists()
    assert "epoch 1: loss" in capsys.readouterr().out


def task(tmp_path: Path, data: str | None = "data") -> gpu_train.Task:
    scale = training_steps.FULL
    return gpu_train.Task(scale=scale, data=data, validation=None, workers=1, deadline=0.0, keep=None)


def test_a_part_that_fails_says_why_and_ends_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = gpu_train.section("cifar10", task(tmp_path, data="nowhere"))
    assert figures["failed"].startswith("InputError: ")
    assert "Traceback" not in figures["failed"]
    assert "raise InputError" in capsys.readouterr().out


@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_the_recipe_for_a_gpu_is_one_whatever_the_time(epochs: int, tmp_path: Path) -> None:
    recipe = gpu_train._cifar10(task(tmp_path), epochs)
    assert (recipe.epochs, recipe.progressive) == (epochs, ())
    assert recipe.mix.until is not None
    assert recipe.mix.until < epochs


def test_the_step_that_is_timed_does_what_those_beside_it_do() -> None:
    recipe = training_steps.plain_recipe(64, 4, 0.125, compiled=False)
    assert (recipe.augment, recipe.mix, recipe.optim.name) == (Augment(), MixSettings(), "sgd")
    assert recipe.loss.label_smoothing == 0


def test_without_a_gpu_the_full_run_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu_train.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here"):
        gpu_train.main()
