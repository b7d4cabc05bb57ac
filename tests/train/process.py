"""One of several processes that train together, as torchrun starts them; called by the tests with a list of jobs.

    python tests/train/process.py JOBS.json

Batch statistics stay as they are unless a job lets them live: torch takes them over all processes on GPUs only.
"""

import sys
from pathlib import Path

import msgspec
import torch
from torch import nn

from xception.train.recipe import Recipe
from xception.train.trainer import train_network


class Job(msgspec.Struct, kw_only=True):
    """One call of `train_network`."""

    recipe: Recipe
    out: str
    resume: bool = False
    stop_after: int | None = None
    live_statistics: bool = False
    """Each process then normalises by its own share."""


LIVE = nn.BatchNorm2d.train


def held(self: nn.BatchNorm2d, mode: bool = True) -> nn.Module:
    """Keep batch normalisation as at inference."""
    return nn.Module.train(self, False)


def run(job: Job) -> None:
    from tests.train.samples import signal_at
    from xception.train.interruption import Stopped

    nn.BatchNorm2d.train = LIVE if job.live_statistics else held  # type: ignore[method-assign, assignment]
    try:
        listener = {"callbacks": [signal_at(job.stop_after)]} if job.stop_after else {}
        train_network(job.recipe, out=job.out, resume=job.resume, **listener)
    except Stopped as stopped:
        sys.stderr.write(f"{stopped}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=list[Job]):
        run(each)
