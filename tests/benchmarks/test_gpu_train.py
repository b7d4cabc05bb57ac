import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_train
from tests.support.samples import write_folder
from xception.data.augment import Augment
from xception.train.settings import MixSettings


@pytest.mark.slow
def test_the_script_trains_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu-train.json"
    data = str(write_folder(tmp_path / "data", 8))
    monkeypatch.setattr(gpu_train, "throughput", lambda smoke: iter(()))
    monkeypatch.setattr("sys.argv", ["gpu_train.py", "--smoke", "--data", data, "--workers", "1", "--out", str(out)])
    gpu_train.main()
    document = json.loads(out.read_text())
    assert document["cifar10"]["recipe"]["model"]["variant"] == "timm_xception"
    assert document["cifar10"]["recipe"]["mix"]["cutmix"] == 1.0
    assert document["cifar10"]["total"] > 0
    assert '"epochs": 1' in capsys.readouterr().out


def test_a_step_is_timed_and_one_that_cannot_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(setting: gpu_train.Setting) -> gpu_train.Step:
        raise RuntimeError("no kernel image\nand more")

    rows = [
        {"step": name, "px": 64} | gpu_train._best_batch(make, 64, smoke=True)
        for name, make in {"ours": gpu_train.ours, "broken": broken}.items()
    ]
    assert rows[0]["images_per_second"] > 0
    assert rows[1]["reason"] == "RuntimeError: no kernel image"
    gpu_train.print_table(rows)
    assert "no kernel image" in capsys.readouterr().out


@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_the_recipe_for_a_gpu_is_one_whatever_the_time(epochs: int) -> None:
    recipe = gpu_train._cut_to(epochs, (*gpu_train.GPU_CIFAR10, "data.source='data'"))
    assert recipe.epochs == epochs
    assert [stage.until for stage in recipe.progressive] == [epochs // 2] * (epochs > 1)
    assert recipe.mix.until == epochs - epochs // 10


def test_the_step_that_is_timed_does_what_those_beside_it_do() -> None:
    recipe = gpu_train._recipe(gpu_train.Setting(px=64, batch=4, width=0.125))
    assert (recipe.augment, recipe.mix, recipe.optim.name) == (Augment(), MixSettings(), "sgd")


def test_without_a_gpu_the_full_run_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu_train.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here"):
        gpu_train.main()
