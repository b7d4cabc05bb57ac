from pathlib import Path

import msgspec
import pytest

from tests.samples import CLASSES, write_folder
from xception.bundle import open_bundle
from xception.data.augment import Augment
from xception.errors import CheckFailed, EnvironmentFault, InputError, UnknownName
from xception.preprocess import Preprocess, Squash
from xception.train.checkpoint import NAME
from xception.train.loop import BUNDLE, LOG, StepReport, train_network
from xception.train.recipe import Recipe
from xception.train.settings import AverageSettings, DataSettings, MixSettings, ModelSettings, OptimSettings


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        write_folder(root / split, 4)
    return Recipe(
        model=ModelSettings(variant="mini_xception", width=0.5, drop_rate=0.2),
        data=DataSettings(source=str(root)),
        preprocess=Preprocess(resize=Squash(width_px=32, height_px=32)),
        augment=Augment(rotate_degrees=5, flip=True),
        optim=OptimSettings(name="adamw", lr=0.02),
        epochs=3,
        batch_size=10,
    )


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run from beginning to end."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train_network(recipe, out)
    return out


def stop_at(step: int) -> object:
    def stop(report: StepReport) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    return stop


def test_a_run_ends_with_a_bundle_a_log_and_a_checkpoint(whole: Path, recipe: Recipe) -> None:
    bundle = open_bundle(whole, verify=True)
    assert {path.name for path in whole.iterdir()} == {BUNDLE, LOG, NAME}
    assert (bundle.labels.names, bundle.model.network.in_channels) == (CLASSES, 3)
    (score,) = bundle.model.metrics.values()
    assert (score.total, score.failed) == (28, 0)
    assert bundle.model.lineage[0].settings["recipe"] == recipe.digest
    rows = [msgspec.json.decode(line) for line in (whole / LOG).read_bytes().splitlines()]
    assert [(row["epoch"], row["steps"]) for row in rows] == [(1, 3), (2, 6), (3, 9)]


@pytest.mark.parametrize("step", [1, 5, 9])
def test_an_interrupted_and_resumed_run_ends_with_the_same_bits(
    step: int, recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, tmp_path / "run", on_step=stop_at(step))  # type: ignore[arg-type]
    resumed = train_network(recipe, tmp_path / "run", resume=True, workers=1)
    assert resumed.main_file.read_bytes() == open_bundle(whole).main_file.read_bytes()


def test_another_seed_ends_elsewhere(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    other = train_network(msgspec.structs.replace(recipe, seed=1), tmp_path / "run")
    assert other.main_file.read_bytes() != open_bundle(whole).main_file.read_bytes()


def test_steps_are_reported_with_rates_and_losses(recipe: Recipe, tmp_path: Path) -> None:
    reports: list[StepReport] = []
    train_network(msgspec.structs.replace(recipe, epochs=2), tmp_path / "run", on_step=reports.append)
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert [report.epoch for report in reports] == [1, 1, 1, 2, 2, 2]
    assert reports[0].lr == recipe.optim.lr > reports[-1].lr > 0
    assert {report.total_steps for report in reports} == {6}


def test_a_finished_run_is_opened_and_not_repeated(recipe: Recipe, whole: Path) -> None:
    before = (whole / LOG).stat().st_mtime_ns
    assert train_network(recipe, whole, resume=True) == open_bundle(whole)
    assert (whole / LOG).stat().st_mtime_ns == before


def test_a_folder_in_use_is_refused_unless_the_run_is_resumed(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is not empty; pass --resume"):
        train_network(recipe, tmp_path)
    with pytest.raises(EnvironmentFault, match="cannot write to"):
        train_network(recipe, tmp_path / "file" / "run")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_saved(recipe: Recipe, tmp_path: Path) -> None:
    diverging = msgspec.structs.replace(recipe, optim=OptimSettings(name="sgd", lr=1e30, momentum=0))
    with pytest.raises(CheckFailed, match=r"loss became nan at step \d+; .* lower optim.lr"):
        train_network(diverging, tmp_path / "run")
    assert not (tmp_path / "run" / BUNDLE).exists()


def test_a_request_that_makes_no_sense_leaves_no_folder(recipe: Recipe, tmp_path: Path) -> None:
    wrong = msgspec.structs.replace(recipe, model=ModelSettings(variant="mini_xcepton"))
    with pytest.raises(UnknownName, match="did you mean mini_xception"):
        train_network(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


STRONG = {
    "augment": Augment(crop_scale=(0.3, 1.0), flip=True, jitter=0.2, erase=0.3),
    "mix": MixSettings(mixup=0.2, cutmix=1.0),
    "average": AverageSettings(decay=0.9),
    "sampling": "balanced",
    "label_smoothing": 0.1,
    "smoothing": "others",
    "class_weights": "balanced",
}


def test_a_run_with_all_that_is_random_resumes_to_the_same_bits_and_publishes_its_average(
    recipe: Recipe, tmp_path: Path
) -> None:
    strong = msgspec.structs.replace(recipe, **STRONG)
    with pytest.raises(KeyboardInterrupt):
        train_network(strong, tmp_path / "cut", on_step=stop_at(5))  # type: ignore[arg-type]
    resumed = train_network(strong, tmp_path / "cut", resume=True, workers=1)
    whole = train_network(strong, tmp_path / "whole")
    assert resumed.main_file.read_bytes() == whole.main_file.read_bytes()
    last = msgspec.structs.replace(strong, average=None)
    assert train_network(last, tmp_path / "last").main_file.read_bytes() != whole.main_file.read_bytes()
