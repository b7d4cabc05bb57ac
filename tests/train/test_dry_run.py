import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.samples import Hears
from xception.errors import InputError
from xception.models.network import build
from xception.train.callbacks import StepReport
from xception.train.dry_run import rehearse
from xception.train.recipe import Recipe
from xception.train.settings import DataSettings
from xception.train.trainer import train_network


def test_a_rehearsal_tells_what_a_run_then_does(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = rehearse(recipe)
    assert not list(tmp_path.iterdir())
    reports: list[StepReport] = []
    bundle = train_network(recipe, out="run", callbacks=[Hears(reports.append)])
    assert (plan.steps_per_epoch, plan.total_steps) == (3, len(reports))
    assert list(plan.losses) == [report.loss for report in reports[:2]]
    assert plan.rates == {step: reports[step - 1].lr for step in plan.rates}
    assert {1, 3, 9} <= plan.rates.keys()
    network = build(bundle.model.network.architecture())
    assert plan.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert plan.run.data.validation_part.images == 28
    assert plan.run.data.training_part.images == 28
    assert plan.ms_per_step > 0
    assert (plan.peak_memory_bytes or 0) > 10**7


def test_what_cannot_be_trained_cannot_be_rehearsed(recipe: Recipe, tmp_path: Path) -> None:
    from msgspec.structs import replace

    with pytest.raises(InputError, match="no data at"):
        rehearse(replace(recipe, data=DataSettings(source=str(tmp_path / "nothing"))))


REHEARSED_BY_A_LARGE_PARENT = """
import subprocess, sys
held = bytearray(int(sys.argv[1]))
held[::4096] = b"1" * len(held[::4096])
child = "from xception.train import dry_run; print(dry_run._peak_memory_bytes())"
subprocess.run([sys.executable, "-c", child], check=True)
"""


@pytest.mark.slow
def test_the_peak_of_a_rehearsal_is_not_that_of_the_process_that_started_it() -> None:
    held = 900_000_000  # of which importing torch takes less than half
    command = [sys.executable, "-c", REHEARSED_BY_A_LARGE_PARENT, str(held)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert 10**7 < int(printed) < held
