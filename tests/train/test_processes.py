"""Two processes on one machine, as torchrun starts them, against one process."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from torch import nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tests.support.samples import HANG_S, write_folder
from tests.train.process import Job
from xception.bundle import Bundle, open_bundle
from xception.data.sources import open_source
from xception.pipeline.engine import Engine
from xception.preprocess import Preprocess, Squash
from xception.tasks.evaluate import evaluate
from xception.train.recipe import Recipe
from xception.train.settings import (
    AverageSettings,
    ComputeSettings,
    DataSettings,
    FreezeSettings,
    LossSettings,
    ModelSettings,
    OptimSettings,
)
from xception.train.trainer import train_network
from xception.weights import read_weights

# Each process imports torch.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

TOLERANCE = 1e-5
"""Of weights relative to a tensor's largest: float32 sums in another order, over eight steps."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """28 images in batches of 9, so that the last of an epoch has one image and the second process none of it."""
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "train", 4)
    write_folder(root / "val", 1)
    (root / "val" / "ant" / "broken.png").write_bytes(b"no picture")
    return Recipe(
        model=ModelSettings(variant="mini_xception", width=0.5, drop_rate=0.0),
        data=DataSettings(source=str(root)),
        preprocess=Preprocess(resize=Squash(width_px=24, height_px=24)),
        optim=OptimSettings(lr=0.02),
        epochs=2,
        batch_size=9,
    )


@pytest.fixture(scope="module")
def staged(recipe: Recipe) -> Recipe:
    """The entry flow learns in the second epoch only, and what is published is the weights' average."""
    return msgspec.structs.replace(
        recipe,
        freeze=FreezeSettings(entry_until=1),
        average=AverageSettings(decay=0.5),
        loss=LossSettings(class_weights="balanced"),
    )


def train_alone(recipe: Recipe, out: Path) -> Bundle:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.BatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, False))
        return train_network(recipe, out=out)


@pytest.fixture(scope="module")
def alone(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return train_alone(recipe, tmp_path_factory.mktemp("runs") / "alone")


@pytest.fixture(scope="module")
def together(recipe: Recipe, staged: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the runs of two processes: `whole`, `parts` in two parts each, `staged`, `live` with batch
    statistics of its own, and `cut`, which is stopped and resumed."""
    folder = tmp_path_factory.mktemp("runs")
    live = msgspec.structs.replace(recipe, batch_size=7)  # of whose last batch each process has other images
    parts = msgspec.structs.replace(recipe, compute=ComputeSettings(accumulate=2))
    jobs = [
        Job(recipe=recipe, out=str(folder / "whole")),
        Job(recipe=parts, out=str(folder / "parts")),
        Job(recipe=staged, out=str(folder / "staged")),
        Job(recipe=live, out=str(folder / "live"), live_statistics=True),
        Job(recipe=recipe, out=str(folder / "cut"), stop_after=3),
        Job(recipe=recipe, out=str(folder / "cut"), resume=True),
    ]
    (folder / "jobs.json").write_bytes(msgspec.json.encode(jobs))
    # torchrun too lets its processes meet in a store of its own, on a port that the system chose for it.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    started = [process(rank, folder / "jobs.json", store.port) for rank in range(2)]
    outputs = [each.communicate(timeout=HANG_S)[0] for each in started]
    assert [each.returncode for each in started] == [0, 0], outputs
    assert "stopped by SIGTERM after step 4" in outputs[0]
    return folder


def process(rank: int, jobs: Path, port: int) -> "subprocess.Popen[str]":
    torchrun = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": 2,
        "LOCAL_WORLD_SIZE": 2,
        "GROUP_RANK": 0,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_USE_AGENT_STORE": True,
        "OMP_NUM_THREADS": 1,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    return subprocess.Popen(
        [sys.executable, ROOT / "tests/train/process.py", jobs],
        env=os.environ | {name: str(value) for name, value in torchrun.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def furthest(first: Bundle, second: Bundle) -> float:
    """Largest difference of a tensor, relative to its largest value."""
    ours, theirs = (read_weights(bundle.main_file) for bundle in (first, second))
    return max(float(np.abs(ours[name] - theirs[name]).max() / max(np.abs(ours[name]).max(), 1e-6)) for name in ours)


@pytest.mark.parametrize("run", ["whole", "parts"])
def test_two_processes_end_where_one_does(run: str, alone: Bundle, together: Path) -> None:
    assert furthest(alone, open_bundle(together / run)) < TOLERANCE


def test_two_processes_agree_on_what_learns_and_on_the_average(
    staged: Recipe, alone: Bundle, together: Path, tmp_path: Path
) -> None:
    single = train_alone(staged, tmp_path / "run")
    assert furthest(single, open_bundle(together / "staged")) < TOLERANCE
    assert furthest(single, alone) > 100 * TOLERANCE


def test_the_tolerance_would_show_a_forgotten_image(recipe: Recipe, alone: Bundle, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.BatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, False))
        patch.setattr(
            "xception.train.batches.share", lambda order, rank, world: order[:-1] if len(order) > 8 else order
        )
        short = train_network(recipe, out=tmp_path / "run")
    assert furthest(alone, short) > 100 * TOLERANCE


def test_validation_counts_every_image_of_uneven_shares(alone: Bundle, together: Path) -> None:
    (ours,), (theirs,) = (bundle.model.metrics.values() for bundle in (alone, open_bundle(together / "whole")))
    assert (theirs.total, theirs.seen, theirs.failed) == (8, 7, 1)
    assert (theirs.top1, theirs.top5) == (ours.top1, ours.top5)
    assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)


def test_the_network_that_all_processes_judge_is_the_one_that_is_published(recipe: Recipe, together: Path) -> None:
    """Running statistics come from each process' own share, and only those of the first are published."""
    bundle = open_bundle(together / "live")
    with Engine.open(bundle) as engine:
        alone = evaluate(engine, open_source(recipe.data.source, "test"))
    (score,) = bundle.model.metrics.values()
    assert score.loss == pytest.approx(alone.loss, rel=1e-6)
    assert score.top1 == alone.top1


def test_two_processes_stop_together_and_resume_to_the_same_bits(together: Path) -> None:
    cut, whole = (open_bundle(together / run).main_file.read_bytes() for run in ("cut", "whole"))
    assert cut == whole


def test_one_process_writes(together: Path) -> None:
    assert len((together / "whole" / "log.jsonl").read_bytes().splitlines()) == 2
    assert not list((together / "whole").glob(".*"))
