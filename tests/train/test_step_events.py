from pathlib import Path

import msgspec
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.train.samples import Hears, stop_at
from xception.train.callbacks import StepReport
from xception.train.recipe import Recipe
from xception.train.trainer import train_network


def read(file: Path) -> dict[tuple[str, int], float]:
    """Values by tag and step."""
    found = (event for event in EventFileLoader(str(file)).Load() if event.HasField("summary"))
    return {(value.tag, event.step): value.tensor.float_val[0] for event in found for value in event.summary.value}


def test_every_step_has_its_loss_and_rate_in_the_file_of_the_process_that_made_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    out, reports = tmp_path / "run", list[StepReport]()
    short = msgspec.structs.replace(recipe, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train_network(short, out=out, callbacks=[stop_at(5)])
    train_network(short, out=out, resume=True, callbacks=[Hears(reports.append)])
    first, second = sorted(out.glob("events.out.tfevents.*.xception.steps"))
    assert {step for _, step in read(first)} == {1, 2, 3}
    points = read(second)
    assert second.name == f"events.out.tfevents.{reports[0].step}.xception.steps"
    for report in reports:
        assert points["step/loss", report.step] == pytest.approx(report.loss)
        assert points["step/lr", report.step] == pytest.approx(report.lr)
    assert len(points) == 2 * len(reports)


def test_a_long_run_has_a_bounded_number_of_points(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xception.train.step_events.MAX_STEP_POINTS", 3)
    train_network(msgspec.structs.replace(recipe, epochs=2), out=tmp_path / "run")
    (file,) = (tmp_path / "run").glob("*.steps")
    assert {step for _, step in read(file)} == {3, 6}
