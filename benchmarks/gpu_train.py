"""Training on a GPU, measured in one call of under ten minutes: a table on stdout, JSON in --out.

First the images per second of a training step with `timm_xception` at 299 and 224 px, each at its best batch: the step
of this toolkit in bfloat16, with and without compilation, the same step on timm's own model, and a plain step
(float32, no channels_last) as a tutorial would write it. Then the `cifar10` recipe with a larger network and larger
batches than on a CPU, for as many epochs as the remaining time allows, to its accuracy on held-out images.

    python -m benchmarks.gpu_train --data 'cifar10-train-{000000..000008}.tar' --validation cifar10-train-000009.tar

Without a GPU, `--smoke` runs every line of it on a tiny scale, which proves the script and measures nothing.
"""

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import device
from parity.torch_network import declare_torchvision_operators
from xception.arch.variants import architecture
from xception.data.source import Item, Items
from xception.models.network import build
from xception.train.assembly import assemble
from xception.train.batches import Batch
from xception.train.callbacks import Callback, RunningTraining
from xception.train.logs import Epoch
from xception.train.recipe import Recipe, load_recipe
from xception.train.trainer import train_network

VARIANT = "timm_xception"
TIMM_MODEL = "legacy_xception"
MAX_BATCH = 1024
WARM_UP_STEPS = 5
TIMED_ROUNDS = 5
STEPS_A_ROUND = 10
RESERVE_S = 30.0
"""Kept for what comes after the last epoch."""

GPU_CIFAR10 = (
    "model.variant=timm_xception",
    "model.width=0.5",
    "preprocess.resize={rule='squash', width_px=96, height_px=96}",
    "batch_size=256",
    "optim.head_scale=1",
    "compute.accumulate=1",
)
"""What changes in the recipe where there is a GPU, which affords a larger network on larger images."""

SMOKE_CIFAR10 = ("model.width=0.0625", "preprocess.resize={rule='squash', width_px=64, height_px=64}", "batch_size=4")
"""What changes of that where a run only shows that everything is in its place."""

Step = Callable[[Batch], object]
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What a training step is to be made for."""

    px: int
    batch: int
    width: float
    compiled: bool = False


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    device.need_gpu(smoke=arguments.smoke)
    deadline = time.monotonic() + 60 * arguments.minutes
    rows = list(throughput(arguments.smoke))
    print_table(rows)
    document: dict[str, Any] = {"environment": device.environment("pillow"), "throughput": rows}
    _write(arguments.out, document)
    if arguments.data:
        document["cifar10"] = train_cifar10(arguments, deadline)
        _write(arguments.out, document)
        print(json.dumps({key: document["cifar10"][key] for key in ("epochs", "top1", "seconds")}))


def throughput(smoke: bool) -> Iterator[Row]:
    """A row for each way to train, each size; a way that cannot run here says why instead."""
    if smoke:
        torch.compiler.set_stance("force_eager")  # compiling takes minutes on a CPU
    for px in (64,) if smoke else (299, 224):
        for name, make in STEPS.items():
            yield {"step": name, "px": px} | _best_batch(make, px, smoke)


def ours(setting: Setting) -> Step:
    """The step that `xception train` makes."""
    items = tuple(Item(str(index), index % 1000, bytes) for index in range(setting.batch))
    source = Items("blank", tuple(map(str, range(1000))), items)
    parts = assemble(_recipe(setting), (source, source))
    parts.state.network.train()
    return lambda tensors: parts.stepper(parts.state, tensors)


def timm_step(setting: Setting) -> Step:
    """The same step on timm's own model, written out by hand as its training script makes it."""
    declare_torchvision_operators()
    network = importlib.import_module("timm").create_model(TIMM_MODEL).to(device.name())
    network = network.to(memory_format=torch.channels_last).train()
    stepped = torch.compile(network) if setting.compiled else network
    return _by_hand(stepped, torch.bfloat16)  # type: ignore[arg-type]


def plain(setting: Setting) -> Step:
    """This toolkit's network in a plain step: float32, rows of pixels, no compilation."""
    spec = architecture(VARIANT, width=setting.width)
    return _by_hand(build(spec).to(device.name()).train(), None)


STEPS: dict[str, Callable[[Setting], Step]] = {
    "xception, bfloat16, channels_last": ours,
    "xception, bfloat16, channels_last, compiled": lambda setting: ours(replace(setting, compiled=True)),
    "timm, bfloat16, channels_last": timm_step,
    "timm, bfloat16, channels_last, compiled": lambda setting: timm_step(replace(setting, compiled=True)),
    "plain, float32": plain,
}


class Rows(Callback):
    """Keeps the row of each epoch."""

    only_watches = True

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def on_epoch(self, run: RunningTraining, row: Epoch) -> None:  # noqa: ARG002 - as every callback
        self._rows.append(row)


def train_cifar10(arguments: argparse.Namespace, deadline: float) -> Row:
    """Train the recipe until the deadline's last full epoch; the schedule is cut to fit before it begins."""
    changes = (
        f"data.source={json.dumps(arguments.data)}",
        *([f"data.validation={json.dumps(arguments.validation)}"] if arguments.validation else []),
        *GPU_CIFAR10,
        *(SMOKE_CIFAR10 if arguments.smoke else ()),
    )
    epochs = 1 if arguments.smoke else _affordable_epochs(changes, arguments.workers, deadline)
    recipe = _cut_to(epochs, changes)
    rows: list[Any] = []
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        bundle = train_network(recipe, out=f"{folder}/run", workers=arguments.workers, callbacks=[Rows(rows)])
    (score,) = bundle.model.metrics.values()
    return {
        "recipe": msgspec.to_builtins(recipe),
        "epochs": epochs,
        "seconds": round(time.monotonic() - started, 1),
        "top1": msgspec.to_builtins(score.top1),
        "total": score.total,
        "curve": msgspec.to_builtins(rows),
    }


def _cut_to(epochs: int, changes: tuple[str, ...]) -> Recipe:
    """The recipe for so many epochs, the first half of them on smaller images and the last tenth on whole ones.

    A single epoch does not warm up.
    """
    half = f"{{until={epochs // 2}, size=0.8}}" if epochs > 1 else ""
    cut = (
        f"epochs={epochs}",
        f"progressive=[{half}]",
        f"mix.until={epochs - epochs // 10}",
        f"schedule.warmup_epochs={min(1, epochs - 1)}",
    )
    return load_recipe("cifar10", (*changes, *cut))


def _affordable_epochs(changes: tuple[str, ...], workers: int, deadline: float) -> int:
    """How many epochs fit, after a trial of one, whose compilation and first reads make it the slowest."""
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        train_network(_cut_to(1, changes), out=f"{folder}/run", workers=workers)
    epoch_s = time.monotonic() - started
    return max(3, min(100, int((deadline - time.monotonic() - RESERVE_S) / epoch_s)))


def _best_batch(make: Callable[[Setting], Step], px: int, smoke: bool) -> Row:
    """Double the batch until memory ends or the rate no longer grows."""
    best: Row = {"images_per_second": None, "reason": "not enough memory"}
    batch, most, width = (4, 8, 0.125) if smoke else (64, MAX_BATCH, 1.0)
    while batch <= most:
        try:
            row = _timed(make(Setting(px, batch, width)), batch, px, smoke)
        except torch.cuda.OutOfMemoryError:
            break
        except (ImportError, RuntimeError) as error:
            return {"images_per_second": None, "reason": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
        finally:
            torch.cuda.empty_cache()
        if best["images_per_second"] and row["images_per_second"] < 1.02 * best["images_per_second"]:
            break
        best = row
        batch *= 2
    return best


def _timed(step: Step, batch: int, px: int, smoke: bool) -> Row:
    """Median rate over rounds, with the spread; the batch already lies on the device."""
    rng = np.random.Generator(np.random.PCG64(0))
    pixels = torch.from_numpy(rng.standard_normal((batch, 3, px, px), np.float32)).to(device.name())
    tensors = (pixels.contiguous(memory_format=torch.channels_last), torch.arange(batch, device=device.name()) % 1000)
    rounds, steps = (2, 1) if smoke else (TIMED_ROUNDS, STEPS_A_ROUND)
    for _ in range(1 if smoke else WARM_UP_STEPS):
        step(tensors)
    rates = []
    for _ in range(rounds):
        device.wait()
        started = time.perf_counter()
        for _ in range(steps):
            step(tensors)
        device.wait()
        rates.append(steps * batch / (time.perf_counter() - started))
    rate = statistics.median(rates)
    spread = (max(rates) - min(rates)) / rate
    return {"images_per_second": rate, "spread": spread, "batch": batch, "ms_per_step": 1000 * batch / rate}


def _by_hand(network: nn.Module, dtype: torch.dtype | None) -> Step:
    """A training step without the toolkit."""
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def step(batch: Batch) -> float:
        pixels, targets = batch
        with torch.autocast(device.name(), dtype, enabled=dtype is not None):
            loss = functional.cross_entropy(network(pixels), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def _recipe(setting: Setting) -> Recipe:
    changes = (
        f"model.variant={VARIANT}",
        f"model.width={setting.width}",
        f"preprocess.resize={{rule='squash', width_px={setting.px}, height_px={setting.px}}}",
        f"batch_size={setting.batch}",
        # As the steps that it is compared with, which change and mix nothing.
        "augment=",
        "mix=",
        "optim={name='sgd', lr=0.01}",
        f"compute={{precision='bfloat16', compile={str(setting.compiled).lower()}}}",
    )
    return load_recipe("cifar10", changes)


def _write(path: Path, document: Row) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def print_table(rows: list[Row]) -> None:
    """Rates, and what each is to the first row of its size."""
    print(f"{'step':<46}{'px':>5}{'batch':>7}{'images/s':>10}{'spread':>8}{'ratio':>7}")
    first: dict[int, float] = {}
    for row in rows:
        rate = row["images_per_second"]
        if rate is None:
            print(f"{row['step']:<46}{row['px']:>5}  {row['reason']}")
            continue
        base = first.setdefault(row["px"], rate)
        print(f"{row['step']:<46}{row['px']:>5}{row['batch']:>7}{rate:>10.0f}{row['spread']:>8.1%}{rate / base:>7.2f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="training data of the cifar10 recipe; without it only rates are measured")
    parser.add_argument("--validation", help="held-out data; by default a tenth of --data")
    parser.add_argument("--minutes", type=float, default=9.0, help="when the script is to be done")
    parser.add_argument("--workers", type=int, default=12, help="threads that prepare training batches")
    parser.add_argument("--out", type=Path, default=Path("gpu-train.json"))
    parser.add_argument("--smoke", action="store_true", help="a tiny run, on a CPU if need be")
    return parser.parse_args()


if __name__ == "__main__":
    main()
