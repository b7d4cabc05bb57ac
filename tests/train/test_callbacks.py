from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from tests.train.samples import Hears, stop_at
from xception.bundle import Bundle, open_bundle
from xception.errors import InputError
from xception.train.callbacks import Callback, RunningTraining, StepReport
from xception.train.logs import Epoch
from xception.train.recipe import Recipe
from xception.train.schedule import Moment
from xception.train.trainer import train_network


class Ends(Callback):
    """Ends the run after a step or an epoch, and keeps what it saw."""

    def __init__(self, step: int = 0, epoch: int = 0) -> None:
        self.step, self.epoch = step, epoch

    def on_step(self, run: RunningTraining, report: StepReport) -> None:
        if report.step == self.step:
            run.stop("enough steps")

    def on_epoch(self, run: RunningTraining, row: Epoch) -> None:
        if row.epoch == self.epoch:
            run.stop("enough epochs")


@pytest.mark.parametrize(("ends", "epochs", "steps"), [(Ends(step=5), 2, 5), (Ends(epoch=2), 2, 6)])
def test_a_callback_ends_a_run_as_if_it_were_over(
    ends: Ends, epochs: int, steps: int, recipe: Recipe, tmp_path: Path
) -> None:
    rows: list[Epoch] = []
    bundle = train_network(recipe, out=tmp_path / "run", callbacks=[ends, Hears(on_epoch=rows.append)])
    assert (len(rows), rows[-1].steps) == (epochs, steps)
    assert bundle.model.lineage[-1].settings["own_callbacks"].startswith("tests.train.test_callbacks.Ends@")
    again = train_network(recipe, out=tmp_path / "run", resume=True, callbacks=[ends])
    assert again.model.digest == bundle.model.digest


def test_a_callback_sees_the_state_and_the_bundle(recipe: Recipe, tmp_path: Path) -> None:
    seen: list[object] = []

    class Sees(Callback):
        only_watches = True

        def on_start(self, run: RunningTraining) -> None:
            seen.append(run.state.progress.step)

        def on_step(self, run: RunningTraining, report: StepReport) -> None:
            seen.append((report.step, len(run.state.optimizer.state) > 0, run.state.network.training))

        def on_end(self, run: RunningTraining, bundle: Bundle) -> None:
            seen.append((bundle.path.name, len(run.state.progress.history), run.place))

    train_network(recipe, out=tmp_path / "run", callbacks=[Sees()])
    assert seen[:2] == [0, (1, True, True)]
    assert seen[-1] == ("bundle", 3, str(tmp_path / "run"))


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = functional.log_softmax(logits, 1)
    return -((1 - log_p.exp()) ** 2 * log_p).gather(1, targets[:, None]).mean()


def half(at: Moment) -> float:
    return at.peak * (0.5 if at.done > 0.5 else 1.0)


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.rotate(float(rng.uniform(-5, 5)))


OWN = {"loss": focal, "optimizer": torch.optim.NAdam, "schedule": half, "augment": noisy}


def test_own_parts_take_effect_resume_to_the_same_bits_and_are_told_by_the_lineage(
    recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    made = train_network(recipe, out=tmp_path / "run", **OWN)
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, out=tmp_path / "cut", callbacks=[stop_at(5)], **OWN)
    resumed = train_network(recipe, out=tmp_path / "cut", resume=True, workers=1, **OWN)
    assert resumed.main_file.read_bytes() == made.main_file.read_bytes()
    settings, plain = made.model.lineage[-1].settings, open_bundle(whole).model.lineage[-1].settings
    assert str(settings["own_loss"]).startswith("tests.train.test_callbacks.focal@")
    assert settings["own_optimizer"] == "torch.optim.nadam.NAdam"
    assert settings["recipe"] != plain["recipe"]


@pytest.mark.parametrize("part", OWN)
def test_each_own_part_changes_the_weights(part: str, recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    made = train_network(recipe, out=tmp_path / "run", **{part: OWN[part]})
    assert made.main_file.read_bytes() != open_bundle(whole).main_file.read_bytes()


def test_a_changed_part_is_noticed_on_resume(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, out=tmp_path / "run", loss=focal, callbacks=[stop_at(5)])
    with pytest.raises(InputError, match=r"another recipe: the own loss was .*focal@[0-9a-f]+, is .*<lambda>@"):
        train_network(
            recipe, out=tmp_path / "run", resume=True, loss=lambda logits, targets: focal(logits, targets) / 2
        )
    with pytest.raises(InputError, match=r"the own loss was .*, is None"):
        train_network(recipe, out=tmp_path / "run", resume=True)
