"""Training on a GPU, measured in parts, each of which may fail without the others: figures on stdout, JSON in --out.

- `checks`: a step, and the random changes to a batch, are on the device what they are on the CPU.
- `step`: images per second of a training step with `timm_xception` in bfloat16, eager and compiled, and of the same
  step on timm's own model; the batch lies on the device.
- `files`: the rate of the `cifar10` network from shards, and that of its step alone.
- `cifar10`: its accuracy on held-out images, after as many epochs as the time that is left allows.

    python -m benchmarks.gpu_train --data 'cifar10-train-{000000..000008}.tar' --validation cifar10-train-000009.tar

Without a GPU, `--smoke` runs every line of it on a tiny scale, which proves the script and measures nothing.
"""

import argparse
import gc
import json
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import torch
from torch.nn import functional

from benchmarks import device
from benchmarks.loader_rates import fed_rate, first_batch, loader_rate
from benchmarks.training_steps import FULL, SMOKE, STEPS, CompilingAhead, Row, Scale, blank, noise, plain_recipe, timed
from xception.errors import EnvironmentFault
from xception.pipeline.engine import Engine
from xception.tasks.evaluate import evaluate
from xception.train.assembly import assemble
from xception.train.batch_augment import Batch
from xception.train.callbacks import Callback, RunningTraining
from xception.train.loader import default_workers
from xception.train.logs import Epoch
from xception.train.recipe import Recipe, load_recipe
from xception.train.trainer import train_network
from xception.train.training_data import open_training_data
from xception.train.validation import validate

TRACEBACK_LINES = 12

GPU_CIFAR10 = (
    "model.variant=timm_xception",
    "model.width=1",
    "preprocess.resize={rule='squash', width_px=96, height_px=96}",
    "batch_size=512",
    "drop_last=true",
    "progressive=[]",
    "compute.accumulate=1",
    "compute.compile=true",
)
"""What changes in the recipe where there is a GPU, which affords a far larger network on larger images."""

SMOKE_CIFAR10 = (
    "model.width=0.0625",
    "preprocess.resize={rule='squash', width_px=64, height_px=64}",
    "batch_size=4",
    "compute.compile=false",
)
"""What changes of that where a run only shows that everything is in its place."""

MIN_EPOCHS, MAX_EPOCHS = 3, 60

SECTION_S = {"checks": 12.0, "step": 55.0, "files": 60.0, "cifar10": 250.0}
"""Seconds that are kept for each part while those before it run."""

COMPILING_S = 40.0
"""Seconds for which what is compiled ahead is waited for."""

STEP_WAY_S = 20
"""Seconds that one way to make a step takes about, with its compilation."""


@dataclass(frozen=True)
class Task:
    """What a part of the script is given."""

    scale: Scale
    data: str | None
    validation: str | None
    workers: int
    deadline: float
    """By `time.monotonic`."""
    keep: Path | None
    compiling: CompilingAhead | None = None
    """Processes that compile what the part `step` will need."""
    say: Callable[[str], None] = field(default=lambda line: print(line, flush=True))

    @property
    def is_smoke(self) -> bool:
        return self.scale is SMOKE


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    device.need_gpu(smoke=arguments.smoke)
    if arguments.smoke:
        torch.compiler.set_stance("force_eager")  # compiling takes minutes on a CPU
    workers = default_workers(device.name()) if arguments.workers is None else arguments.workers
    task = Task(
        scale=SMOKE if arguments.smoke else FULL,
        data=arguments.data,
        validation=arguments.validation,
        workers=workers,
        deadline=time.monotonic() + 60 * arguments.minutes,
        keep=arguments.keep,
    )
    sections = arguments.sections or [*(["cifar10"] if arguments.data else []), "step", "checks"]
    if "step" in sections and not task.is_smoke:
        task = replace(task, compiling=CompilingAhead())
    document: Row = {"environment": device.environment("pillow"), "workers": workers}
    for place, name in enumerate(sections):
        kept_s = 0.0 if task.is_smoke else sum(SECTION_S[later] for later in sections[place + 1 :])
        document[name] = section(name, replace(task, deadline=task.deadline - kept_s))
        arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def section(name: str, task: Task) -> Row:
    """The figures of one part, or the reason why there are none; the other parts go on."""
    started = time.monotonic()
    task.say(f"== {name}: {task.deadline - started:.0f} s are left")
    try:
        figures = SECTIONS[name](task)
    except Exception as error:
        lines = "".join(traceback.format_exception(error)).splitlines()[-TRACEBACK_LINES:]
        figures = {"failed": f"{type(error).__name__}: {error}"[:400]}
        task.say("\n".join(lines))
    finally:
        torch.compiler.reset()
        gc.collect()
        torch.cuda.empty_cache()
    task.say(f"== {name}: {json.dumps(figures)[:1500]} in {time.monotonic() - started:.0f} s")
    return figures | {"seconds": round(time.monotonic() - started, 1)}


def checks(task: Task) -> Row:
    """Differences between the device and the CPU; in float32, each relative to the largest value."""
    torch.backends.cudnn.allow_tf32 = False
    try:
        return {"changes": _changes_differ(), "step": _step_differs(task)}
    finally:
        torch.backends.cudnn.allow_tf32 = True


def _changes_differ() -> Row:
    """Share of the pixels that the random changes of a batch set to another value than on the CPU."""
    recipe = load_recipe("cifar10", ("data.source='data'", "augment.operations=2", "augment.erase=0.5"))
    parts = assemble(recipe, (blank(8), blank(8)))
    augment = parts.batches.augment
    rng = np.random.Generator(np.random.PCG64(0))
    levels = torch.from_numpy(rng.integers(0, 256, (512, 3, 48, 48), np.uint8))
    batch = Batch(levels, torch.arange(512) % 10, augment.draw(levels, 3, torch.arange(512) % 2 == 0))
    here, _ = augment(batch)
    there, _ = augment(parts.fabric.to_device(batch))
    difference = (here - there.cpu()).abs()
    return {"above_1e-3": float((difference > 1e-3).float().mean()), "largest": float(difference.max())}


def _step_differs(task: Task) -> Row:
    """Loss and weights of the first step in float32, here and on the device."""
    recipe = plain_recipe(task.scale.px, 8, 0.25, compiled=False, precision="float32")
    found = []
    for is_here in (True, False):
        parts = assemble(recipe, (blank(8), blank(8)))
        network, stepper = parts.state.network, parts.stepper
        network.eval()  # batch statistics of eight images would enlarge the differences of rounding
        pixels, targets = stepper.augment(parts.fabric.to_device(noise(8, task.scale.px, "cpu")))
        if is_here:
            network, pixels, targets = network.cpu(), pixels.cpu(), targets.cpu()
        loss = functional.cross_entropy(network(pixels), targets)
        loss.backward()
        found.append(
            (loss.item(), {name: p.grad.cpu() for name, p in network.named_parameters() if p.grad is not None})
        )
    (here, ours), (there, theirs) = found
    furthest = max(float((ours[name] - theirs[name]).norm() / ours[name].norm().clamp(min=1e-12)) for name in ours)
    return {"loss": here, "loss_on_device": there, "furthest_gradient": furthest}


def step_rates(task: Task) -> Row:
    """Images per second of each way to make a step."""
    if task.compiling:
        task.compiling.wait(COMPILING_S)
    rows: Row = {}
    for name, make in STEPS.items():
        started = time.monotonic()
        if started > task.deadline - STEP_WAY_S:
            rows[name] = {"failed": "no time is left"}
            continue
        try:
            row = timed(make(task.scale), noise(task.scale.batch, task.scale.px, device.name()), task.scale)
        except Exception as error:
            row = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]}
        gc.collect()
        torch.cuda.empty_cache()
        rows[name] = row | {"with_compiling_s": round(time.monotonic() - started, 1)}
        task.say(f"   {name}: {rows[name]}")
    return rows


def files(task: Task) -> Row:
    """Rates of the cifar10 network: of its step alone, of the loader alone, and of both together."""
    recipe = _cifar10(task, 10)
    parts = assemble(recipe)
    parts.state.network.train()
    alone = timed(lambda batch: parts.stepper(parts.state, batch), first_batch(parts), task.scale)
    task.say(f"   step: {alone}")
    figures: Row = {"step": alone}
    for workers in sorted({1, task.workers // 2 or 1, task.workers}):
        figures[f"loader, {workers} workers"] = loader_rate(parts, workers, min(task.scale.fed_steps, 6 * workers))
        task.say(f"   loader, {workers} workers: {figures[f'loader, {workers} workers']:.0f} images/s")
    figures["from_files"] = fed_rate(parts, task.workers, task.scale.fed_steps)
    figures["from_files_over_step"] = figures["from_files"] / alone["images_per_second"]
    return figures


class Rows(Callback):
    """Prints and keeps the row of each epoch."""

    only_watches = True

    def __init__(self, rows: list[Any], say: Callable[[str], None]) -> None:
        self._rows, self._say = rows, say

    def on_epoch(self, run: RunningTraining, row: Epoch) -> None:  # noqa: ARG002 - as every callback
        self._rows.append(row)
        top1 = "" if row.validation_top1 is None else f", top-1 {row.validation_top1:.4f}"
        self._say(
            f"   epoch {row.epoch}: loss {row.train_loss:.3f}{top1}, {row.images_per_second:.0f} images/s, "
            f"{row.seconds:.1f} s"
        )


def cifar10(task: Task) -> Row:
    """Train for as many epochs as fit before the deadline; the schedule is cut to them before it begins."""
    epochs, plan = _affordable_epochs(task)
    task.say(f"   {epochs} epochs: {plan}")
    recipe, rows = _cifar10(task, epochs), []  # type: tuple[Recipe, list[Any]]
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        out = task.keep or Path(folder) / "run"
        # A state is saved at the end only: on a device that is this fast, saving one takes a third of an epoch's time.
        train = partial(
            train_network, recipe, out=out, save_every=epochs, callbacks=[Rows(rows, task.say)], on_note=task.say
        )
        try:
            bundle = train(workers=task.workers)
        except EnvironmentFault as fault:
            task.say(f"   {fault}")
            bundle = train(workers=0, resume=True)
        seconds = time.monotonic() - started
        (score,) = bundle.model.metrics.values()
        task.say(f"   top-1 {score.top1} of {score.total} after {seconds:.0f} s")
        with_flips = None
        if time.monotonic() < task.deadline:
            with Engine.open(bundle) as engine:
                with_flips = evaluate(engine, open_training_data(recipe.data)[1], tta="flip").top1
    return {
        "top1": msgspec.to_builtins(score.top1),
        "top1_flip": msgspec.to_builtins(with_flips),
        "total": score.total,
        "epochs": epochs,
        "training_s": round(seconds, 1),
        "from_files_over_step": _over_step(rows, plan),
        "plan": plan,
        "curve": [[row.epoch, round(row.train_loss, 4), row.validation_top1, row.seconds] for row in rows],
        "recipe": msgspec.to_builtins(recipe),
    }


def _over_step(rows: list[Any], plan: Row) -> float | None:
    """The middle epoch's rate, with waiting for data, as a share of that of the step on a batch on the device."""
    rates = [row.images_per_second for row in rows[1:]]
    return round(statistics.median(rates) / plan["rate"]["images_per_second"], 3) if rates and plan else None


def _affordable_epochs(task: Task) -> tuple[int, Row]:
    """Epochs that fit, by the rate of the step and the time of a validation, both measured here."""
    if task.is_smoke:
        return 1, {}
    started = time.monotonic()
    parts = assemble(_cifar10(task, 10))
    parts.state.network.train()
    batch = first_batch(parts)
    parts.stepper(parts.state, batch)
    device.wait()
    once_s = time.monotonic() - started
    if task.compiling:
        task.compiling.wait(COMPILING_S)  # they would slow the measurement down
    rate = timed(lambda batch: parts.stepper(parts.state, batch), batch, task.scale)
    loader = loader_rate(parts, task.workers, 3 * task.workers) if task.workers else None
    begun = time.monotonic()
    validate(parts.fabric, parts.bundle, parts.state.published, parts.validation, batch_size=512)
    validation_s = time.monotonic() - begun
    epoch_s = 1.1 * parts.batches.per_epoch * parts.batches.batch_size / rate["images_per_second"]
    left_s = task.deadline - time.monotonic()
    # Once more the data are indexed and the network compiled, from torch's cache; then come the last validation, the
    # bundle with its goldens, and the evaluation with flips.
    spent_s = 0.4 * once_s + 8 * validation_s + 15
    epochs = int((left_s - spent_s) / epoch_s)
    plan = {
        "rate": rate,
        "loader": loader,
        "once_s": once_s,
        "validation_s": validation_s,
        "epoch_s": epoch_s,
        "left_s": left_s,
    }
    return max(MIN_EPOCHS, min(MAX_EPOCHS, epochs)), plan


def _cifar10(task: Task, epochs: int) -> Recipe:
    """The recipe for this number of epochs, the last tenth of them on whole images."""
    if not task.data:
        raise ValueError("--data is needed for this part")
    changes = (
        f"data.source={json.dumps(task.data)}",
        *([f"data.validation={json.dumps(task.validation)}"] if task.validation else []),
        *GPU_CIFAR10,
        *(SMOKE_CIFAR10 if task.is_smoke else ()),
        f"epochs={epochs}",
        f"mix.until={epochs - max(1, epochs // 10)}",
        f"schedule.warmup_epochs={min(2, epochs - 1)}",
        f"validate_every={max(1, epochs // 4)}",
    )
    return load_recipe("cifar10", changes)


SECTIONS: dict[str, Callable[[Task], Row]] = {
    "checks": checks,
    "step": step_rates,
    "files": files,
    "cifar10": cifar10,
}


def _sections(text: str) -> list[str]:
    names = text.split(",")
    unknown = set(names) - SECTIONS.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"no part is called {', '.join(unknown)}; expected {', '.join(SECTIONS)}")
    return names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", type=_sections, help="parts, with commas between them; by default all but files")
    parser.add_argument("--data", help="training data of the cifar10 recipe, for the parts files and cifar10")
    parser.add_argument("--validation", help="held-out data; by default a tenth of --data")
    parser.add_argument("--minutes", type=float, default=4.5, help="when the script is to be done")
    parser.add_argument("--workers", type=int, help="processes that prepare training batches; chosen by default")
    parser.add_argument("--keep", type=Path, help="folder of the run of cifar10, with its bundle; by default none")
    parser.add_argument("--out", type=Path, default=Path("gpu-train.json"))
    parser.add_argument("--smoke", action="store_true", help="a tiny run, on a CPU if need be")
    return parser.parse_args()


if __name__ == "__main__":
    main()
