import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from xception.errors import MissingExtra
from xception.train.callbacks import Callback
from xception.train.recipe import Recipe
from xception.train.trackers import TRACKERS, MlflowTracker, WandbTracker
from xception.train.trainer import train_network


class Recorded(ModuleType):
    """Stands in for both packages, with as much of their interfaces as the trackers use, and keeps what it was told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.settings: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.points: list[tuple[str, float, int]] = []
        self.summary: dict[str, str] = {}
        self.is_finished = False

    def init(self, *, config: dict[str, Any], **options: object) -> "Recorded":
        self.settings, self.options = config, options
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.points += [(name, value, step) for name, value in values.items()]

    def finish(self) -> None:
        self.is_finished = True

    def MlflowClient(self, place: str) -> "Recorded":  # noqa: N802 - mlflow's name
        self.options = {"dir": place}
        return self

    def get_experiment_by_name(self, name: str) -> None:
        self.options["project"] = name

    def create_experiment(self, name: str) -> str:
        return f"{name}-id"

    def create_run(self, experiment: str, *, run_name: str) -> SimpleNamespace:
        self.options |= {"experiment": experiment, "name": run_name}
        return SimpleNamespace(info=SimpleNamespace(run_id="r"))

    def log_param(self, _: str, name: str, value: object) -> None:
        self.settings[name] = value

    def log_metric(self, _: str, name: str, value: float, *, step: int) -> None:
        self.points.append((name, value, step))

    def set_tag(self, _: str, name: str, value: str) -> None:
        self.summary[name] = value

    def set_terminated(self, _: str) -> None:
        self.is_finished = True


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_is_told_settings_steps_epochs_and_the_bundle_and_changes_nothing(
    name: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Recorded(name)
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setattr("xception.train.trackers.STEPS_PER_POINT", 2)
    short = msgspec.structs.replace(recipe, epochs=2)
    bundle = train_network(short, out=tmp_path / "run", callbacks=[TRACKERS[name]()])
    assert package.settings["optim.lr"] == recipe.optim.lr
    assert package.options["name"] == "run"
    assert package.options["project"] == "xception"
    assert str(package.options["dir"]).startswith(str(tmp_path / "run"))
    assert [step for tag, _, step in package.points if tag == "step/loss"] == [2, 4, 6]
    top1 = [(value, step) for tag, value, step in package.points if tag == "validation/top1"]
    (score,) = bundle.model.metrics.values()
    assert score.top1
    assert top1[-1] == (score.top1.value, 6)
    assert package.summary == {"bundle": bundle.model.digest}
    assert package.is_finished
    assert "own_callbacks" not in bundle.model.lineage[-1].settings


def test_without_a_server_in_the_environment_nothing_is_sent(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    package = Recorded("wandb")
    monkeypatch.setitem(sys.modules, "wandb", package)
    train_network(msgspec.structs.replace(recipe, epochs=1), out=tmp_path / "run", callbacks=[WandbTracker()])
    assert package.options["mode"] == "offline"


@pytest.mark.parametrize("tracker", [WandbTracker, MlflowTracker])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    tracker: Callable[[], Callback], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in TRACKERS:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"\[track\]"):
        tracker()
