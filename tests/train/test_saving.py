from pathlib import Path

import msgspec
import pytest
import torch

from xception.errors import CheckFailed
from xception.train.checkpoint import Checkpoints
from xception.train.logs import read_history
from xception.train.recipe import Recipe
from xception.train.state import TrainingState
from xception.train.step import Stepper
from xception.train.storage import open_storage
from xception.train.trainer import train_network


@pytest.mark.parametrize(("publish", "expected"), [("last", {2, 4, 5}), ("best", {1, 2, 3, 4, 5})])
def test_states_are_saved_after_every_nth_epoch_and_where_they_are_needed(
    publish: str, expected: set[int], recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xception.train.saving.CHECKPOINT_EVERY_S", 0.0)
    save, saved = Checkpoints.save, []

    def noted(checkpoints: Checkpoints, state: TrainingState) -> None:
        saved.append(state.progress.step)
        save(checkpoints, state)

    monkeypatch.setattr(Checkpoints, "save", noted)
    bests = msgspec.structs.replace(recipe, epochs=5, publish=publish, monitor="loss")
    bundle = train_network(bests, out=tmp_path / "run", save_every=2)
    losses = [row.validation_loss or 0.0 for row in read_history(open_storage(tmp_path / "run"))]
    bests_so_far = {
        epoch for epoch in expected if epoch % 2 == 0 or epoch == 5 or losses[epoch - 1] == min(losses[:epoch])
    }
    assert [step / 3 for step in saved] == sorted(bests_so_far)
    assert len(saved) < 15
    (score,) = bundle.model.metrics.values()
    assert publish == "last" or score.loss == pytest.approx(min(losses))


def test_weights_that_are_no_numbers_are_not_saved(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xception.train.saving.CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr("xception.train.saving.MAX_SAVING_SHARE", 1e9)
    make, made = Stepper.__call__, []

    def spoil(stepper: Stepper, state: TrainingState, *rest: object) -> torch.Tensor:
        loss = make(stepper, state, *rest)
        made.append(state.network)
        if len(made) == 2:
            torch.nn.init.constant_(next(state.network.parameters()), float("inf"))
        return loss

    monkeypatch.setattr(Stepper, "__call__", spoil)
    with pytest.raises(
        CheckFailed, match=r"stem\S+ is not finite after step 2; the last good checkpoint is .*-000000001-"
    ):
        train_network(recipe, out=tmp_path / "run")
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 1
