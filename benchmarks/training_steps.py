"""Training steps that are compared with one another, and the measurement of one."""

import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import device
from parity.torch_network import declare_torchvision_operators
from xception.data.source import Item, Items
from xception.train.assembly import assemble
from xception.train.batch_augment import Batch
from xception.train.recipe import Recipe, load_recipe

TIMM_MODEL = "legacy_xception"

SGD = "{name='sgd', lr=0.01}"

Step = Callable[[Batch], object]
Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How large the measurements are."""

    px: int
    batch: int
    width: float
    warm_up: int
    rounds: int
    steps_per_round: int
    fed_steps: int
    """Steps of the cifar10 network from files."""


FULL = Scale(px=224, batch=256, width=1.0, warm_up=4, rounds=5, steps_per_round=8, fed_steps=80)
SMOKE = Scale(px=64, batch=4, width=0.125, warm_up=1, rounds=2, steps_per_round=1, fed_steps=2)


def ours(scale: Scale, *, compiled: bool = False, optimizer: str = SGD) -> Step:
    """The step that `xception train` makes."""
    source = blank(scale.batch, 1000)
    recipe = plain_recipe(scale.px, scale.batch, scale.width, compiled=compiled, optimizer=optimizer)
    parts = assemble(recipe, (source, source))
    parts.state.network.train()
    return lambda batch: parts.stepper(parts.state, batch)


def timm_step(scale: Scale, *, compiled: bool = False) -> Step:
    """The same step on timm's own model, written out by hand as its training script makes it.

    Its pixels are normalised beforehand; ours gets 8 bits and normalises them within the step.
    """
    declare_torchvision_operators()
    network = importlib.import_module("timm").create_model(TIMM_MODEL).to(device.name())
    network = network.to(memory_format=torch.channels_last).train()
    stepped: nn.Module = torch.compile(network) if compiled else network  # type: ignore[assignment]
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    levels = noise(scale.batch, scale.px, device.name()).levels
    pixels = (levels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)

    def step(batch: Batch) -> None:
        with torch.autocast(device.name(), torch.bfloat16):
            loss = functional.cross_entropy(stepped(pixels), batch.targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


STEPS: dict[str, Callable[[Scale], Step]] = {
    "xception, compiled": lambda scale: ours(scale, compiled=True),
    "timm, compiled": lambda scale: timm_step(scale, compiled=True),
    "xception": ours,
    "timm": timm_step,
    "xception, Muon": lambda scale: ours(scale, optimizer="{name='muon', lr=0.01}"),
}
"""Ways to train `timm_xception` in bfloat16, channels last."""


def timed(step: Step, batch: Batch, scale: Scale) -> Row:
    """Median rate over rounds, with the spread; the batch already lies on the device."""
    for _ in range(scale.warm_up):
        step(batch)
    rates = []
    for _ in range(scale.rounds):
        device.wait()
        started = time.perf_counter()
        for _ in range(scale.steps_per_round):
            step(batch)
        device.wait()
        rates.append(scale.steps_per_round * len(batch.levels) / (time.perf_counter() - started))
    rate = statistics.median(rates)
    return {
        "images_per_second": round(rate, 1),
        "spread": round((max(rates) - min(rates)) / rate, 4),
        "ms_per_step": round(1000 * len(batch.levels) / rate, 2),
    }


def noise(count: int, px: int, where: str) -> Batch:
    rng = np.random.Generator(np.random.PCG64(0))
    levels = torch.from_numpy(rng.integers(0, 256, (count, 3, px, px), np.uint8)).to(where)
    return Batch(levels, torch.arange(count, device=where) % 10)


def blank(count: int, classes: int = 10) -> Items:
    items = tuple(Item(str(index), index % classes, bytes) for index in range(count))
    return Items("blank", tuple(map(str, range(classes))), items)


def plain_recipe(
    px: int,
    batch: int,
    width: float,
    *,
    compiled: bool,
    precision: str = "bfloat16",
    optimizer: str = SGD,
) -> Recipe:
    changes = (
        "data.source='data'",
        "model.variant=timm_xception",
        f"model.width={width}",
        f"preprocess.resize={{rule='squash', width_px={px}, height_px={px}}}",
        f"batch_size={batch}",
        # As the steps that it is compared with, which change and mix nothing.
        "augment=",
        "mix=",
        "progressive=[]",
        "loss=",
        f"optim={optimizer}",
        f"compute={{precision='{precision}', compile={str(compiled).lower()}}}",
    )
    return load_recipe("cifar10", changes)


class CompilingAhead:
    """Processes that make one compiled step each, whose compiled code later comes from torch's cache on the disk."""

    def __init__(self) -> None:
        names = [name for name in STEPS if name.endswith("compiled")]
        self._processes = [
            subprocess.Popen([sys.executable, "-m", "benchmarks.training_steps", name], stdout=subprocess.DEVNULL)
            for name in names
        ]

    def wait(self, timeout_s: float) -> None:
        """Wait until they are done, and end those that are not by then."""
        deadline = time.monotonic() + timeout_s
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    STEPS[sys.argv[1]](FULL)(noise(FULL.batch, FULL.px, device.name()))
    device.wait()
