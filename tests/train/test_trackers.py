import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.train.samples import stop_at
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
        self.names: list[str] = []
        """The runs that were begun."""
        self.exceptions = SimpleNamespace(MlflowException=LookupError)

    def init(self, *, id: str | None, config: dict[str, Any], **options: object) -> "Recorded":  # noqa: A002 - wandb's
        self.settings, self.options = config, options
        self.id = id or self._new_name()
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
        return SimpleNamespace(info=SimpleNamespace(run_id=self._new_name()))

    def get_run(self, name: str) -> str:
        if name not in self.names:
            raise self.exceptions.MlflowException
        return name

    def update_run(self, name: str, status: str) -> None:
        self.options |= {"name": "run", "project": "xception", "status": status}

    def get_metric_history(self, _: str, name: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(step=step) for known, _, step in self.points if known == name]

    def _new_name(self) -> str:
        self.names.append(f"r{len(self.names)}")
        return self.names[-1]

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


@pytest.mark.parametrize("name", TRACKERS)
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_resumed_run_goes_on_in_the_tracker_unless_that_lost_it(
    name: str, is_lost: bool, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Recorded(name)
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setattr("xception.train.trackers.STEPS_PER_POINT", 1)
    with pytest.raises(KeyboardInterrupt):
        train_network(recipe, out=tmp_path / "run", callbacks=[TRACKERS[name](), stop_at(5)])
    first = package.names[-1]
    if is_lost:
        package.names[:] = ["another"]
    train_network(recipe, out=tmp_path / "run", resume=True, callbacks=[TRACKERS[name]()])
    if is_lost and name == "mlflow":
        assert len(package.names) == 2
        return
    assert getattr(package, "id", first) == first
    assert package.names == (["another"] if is_lost else [first])
    if name == "mlflow":  # no point is there twice, although the saved state was two steps behind
        assert [step for tag, _, step in package.points if tag == "step/loss"] == list(range(1, 10))
        assert package.options["status"] == "RUNNING"


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
