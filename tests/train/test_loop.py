import signal
from pathlib import Path

import msgspec
import pytest
import torch

from tests.train.samples import Hears, signal_at
from xception.bundle import open_bundle
from xception.errors import CheckFailed, EnvironmentFault
from xception.train.callbacks import StepReport
from xception.train.interruption import Stopped
from xception.train.logs import read_history
from xception.train.loop import TrainingRun
from xception.train.recipe import Recipe
from xception.train.result import BUNDLE
from xception.train.settings import OptimSettings
from xception.train.step import Stepper
from xception.train.storage import open_storage
from xception.train.trainer import train_network


def test_steps_are_reported_with_rates_and_losses(recipe: Recipe, tmp_path: Path) -> None:
    reports: list[StepReport] = []
    train_network(msgspec.structs.replace(recipe, epochs=2), out=tmp_path / "run", callbacks=[Hears(reports.append)])
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert [report.epoch for report in reports] == [1, 1, 1, 2, 2, 2]
    assert reports[0].lr == recipe.optim.lr > reports[-1].lr > 0
    assert {report.total_steps for report in reports} == {6}


def test_a_loss_that_is_no_number_stops_the_run_with_its_images_and_the_last_good_checkpoint(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xception.train.saving.CHECKPOINT_EVERY_S", 1e9)  # none before, however slow the machine
    diverging = msgspec.structs.replace(recipe, optim=OptimSettings(name="sgd", lr=1e30, momentum=0))
    message = (
        r"loss became nan at step \d+ on the images \S+\.png, .* 2 more; the last good checkpoint is none; .*optim.lr"
    )
    with pytest.raises(CheckFailed, match=message):
        train_network(diverging, out=tmp_path / "run")
    assert not (tmp_path / "run" / BUNDLE).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_and_the_run_goes_on_later(
    number: signal.Signals, recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Stopped, match=rf"stopped by {number.name} after step \d; .* holds the run, which --resume"):
        train_network(recipe, out=out, callbacks=[signal_at(4, number)])
    steps: list[StepReport] = []
    resumed = train_network(recipe, out=out, resume=True, callbacks=[Hears(steps.append)])
    assert steps[0].step in (5, 6)
    assert resumed.main_file.read_bytes() == open_bundle(whole).main_file.read_bytes()


def test_a_step_that_memory_does_not_hold_says_what_to_change(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> float:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Stepper, "__call__", full)
    with pytest.raises(EnvironmentFault, match=r"does not hold the 10 images of a step; .* raise compute\.accumulate"):
        train_network(recipe, out=tmp_path / "run")


def test_losses_that_are_read_while_the_next_step_is_made_change_nothing(
    recipe: Recipe, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingRun, "_steps_in_flight", lambda _: 2)
    reports: list[StepReport] = []
    made = train_network(recipe, out=tmp_path / "run", callbacks=[Hears(reports.append)])
    assert made.main_file.read_bytes() == open_bundle(whole).main_file.read_bytes()
    assert [report.step for report in reports] == list(range(1, len(reports) + 1))
    ours, theirs = (read_history(open_storage(run)) for run in (tmp_path / "run", whole))
    assert [(row.steps, row.train_loss) for row in ours] == [(row.steps, row.train_loss) for row in theirs]


def test_a_state_is_saved_with_the_losses_of_all_its_steps(
    recipe: Recipe, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingRun, "_steps_in_flight", lambda _: 1)
    with pytest.raises(Stopped, match=r"after step 6; "):
        train_network(recipe, out=tmp_path / "run", callbacks=[signal_at(5)])
    resumed = train_network(recipe, out=tmp_path / "run", resume=True)
    assert resumed.main_file.read_bytes() == open_bundle(whole).main_file.read_bytes()
    ours, theirs = (read_history(open_storage(run)) for run in (tmp_path / "run", whole))
    assert [row.train_loss for row in ours] == [row.train_loss for row in theirs]


def test_epochs_are_validated_as_often_as_asked_and_the_last_one_always(recipe: Recipe, tmp_path: Path) -> None:
    seldom = msgspec.structs.replace(recipe, epochs=5, validate_every=2)
    bundle = train_network(seldom, out=tmp_path / "run")
    rows = read_history(open_storage(tmp_path / "run"))
    assert [row.validation_loss is not None for row in rows] == [False, True, False, True, True]
    (score,) = bundle.model.metrics.values()
    assert score.loss == rows[-1].validation_loss
