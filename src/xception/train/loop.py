"""The training loop, in the order in which things happen."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from time import perf_counter

import lightning_fabric
import msgspec
import torch
from torch import nn
from torch.nn import functional
from torch.optim import Optimizer

from xception.arch.spec import Architecture
from xception.backends.torch import TorchSession
from xception.bundle import Bundle, Model, Network, Step, open_bundle, write_bundle
from xception.data.source import Source
from xception.data.sources import open_source
from xception.errors import CheckFailed, EnvironmentFault, InputError
from xception.labels import Labels
from xception.models.network import build
from xception.tasks.evaluate import evaluate
from xception.train.batches import Batch, Batches
from xception.train.checkpoint import (
    Epoch,
    Progress,
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from xception.train.optim import optimizer
from xception.train.recipe import DataSettings, Recipe
from xception.train.schedule import rate
from xception.weights import weights_bytes

CHECKPOINT_EVERY_S = 10.0
"""Seconds of work that a killed run loses at most, besides the step that it was in."""

LOG = "log.jsonl"
BUNDLE = "bundle"


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a progress display needs after each step."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    lr: float


def train_network(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    workers: int = 2,
    on_step: Callable[[StepReport], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Bundle:
    """Train a network and write `out/bundle`; `out` also holds the checkpoint and the log, a line an epoch.

    On a CPU the weights depend on the recipe, the data and torch's number of threads alone: an interrupted
    and resumed run ends with the same bits, and so does one with another number of workers.

    Raises:
        InputError: `out` is taken, data that cannot be read, a checkpoint of another run.
        EnvironmentFault: `out` cannot be written.
        CheckFailed: the loss is no longer a number.
    """
    training, validation = open_parts(recipe.data)
    batches = Batches(training, recipe)
    model, labels = _describe(recipe, batches.source)
    state = _start(recipe, model.network.architecture(), batches.fingerprint)
    _claim(out, resume=resume)
    if (out / BUNDLE).exists():
        return open_bundle(out / BUNDLE)

    fabric = lightning_fabric.Fabric(accelerator="auto", devices=1)
    wrapped, stepper = fabric.setup(state.network, state.optimizer)
    load_checkpoint(out, state)

    total_steps = recipe.epochs * batches.per_epoch
    saved_at = resumed_at = perf_counter()
    seconds_before = state.progress.seconds
    wrapped.train()
    for pixels, targets in batches.from_step(state.progress.step, total_steps, workers):
        step, progress = state.progress.step, state.progress
        lr = rate(recipe.schedule, recipe.optim.lr, step, batches.per_epoch, recipe.epochs)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        # What a step draws at random depends on the step alone, so that a resumed run draws the same.
        torch.manual_seed(recipe.seed + step)
        loss = _descend(fabric, wrapped, stepper, (pixels, targets), recipe.label_smoothing)
        _check_finite(loss, step + 1, out)

        progress.step += 1
        progress.seen += len(targets)
        progress.loss_sum += loss * len(targets)
        progress.seconds = seconds_before + perf_counter() - resumed_at
        epoch = step // batches.per_epoch + 1
        on_step(StepReport(step=step + 1, total_steps=total_steps, epoch=epoch, epochs=recipe.epochs, loss=loss, lr=lr))
        if progress.step % batches.per_epoch == 0:
            on_epoch(_end_epoch(state, out, lr, epoch, _in_memory(out, model, labels), validation))
        if progress.step % batches.per_epoch == 0 or perf_counter() - saved_at > CHECKPOINT_EVERY_S:
            save_checkpoint(out, state)
            saved_at = perf_counter()

    final = evaluate(_in_memory(out, model, labels), TorchSession(state.network, (None, None)), validation)
    model = msgspec.structs.replace(model, metrics={validation.name: final.score()})
    return write_bundle(out / BUNDLE, model, labels, {"weights.safetensors": weights_bytes(state.network.tensors())})


def open_parts(data: DataSettings) -> tuple[Source, Source]:
    """The training and the validation part."""
    if data.validation is None:
        return open_source(data.source, "train"), open_source(data.source, "validation")
    return open_source(data.source), open_source(data.validation)


def _start(recipe: Recipe, spec: Architecture, data: str) -> TrainingState:
    """A fresh network and its optimiser, which the recipe's seed decides."""
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.trained(spec))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainingState(network, optimizer(network, recipe.optim), Progress(recipe=recipe.digest, data=data))


def _descend(
    fabric: lightning_fabric.Fabric, network: nn.Module, stepper: Optimizer, batch: Batch, label_smoothing: float
) -> float:
    """One step down the gradient; returns the batch's mean loss before it."""
    pixels, targets = (fabric.to_device(tensor) for tensor in batch)
    loss = functional.cross_entropy(network(pixels), targets, label_smoothing=label_smoothing)
    fabric.backward(loss)
    stepper.step()
    stepper.zero_grad()
    return loss.item()


def _check_finite(loss: float, step: int, out: Path) -> None:
    if not isfinite(loss):
        raise CheckFailed(
            f"the loss became {loss} at step {step}; {out} keeps what was saved before; "
            "train again elsewhere with a lower optim.lr"
        )


def _claim(out: Path, *, resume: bool) -> None:
    """Make the folder of the run, or refuse one that is in use."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = any(out.iterdir())
    except OSError as error:
        raise EnvironmentFault(f"cannot write to {out}: {error.strerror}; choose a place you may write to") from error
    if taken and not resume:
        raise InputError(f"{out} is not empty; pass --resume to continue the run in it, or choose another place")


def _describe(recipe: Recipe, source: Source) -> tuple[Model, Labels]:
    """The bundle's document and labels, before there are weights."""
    network = Network(
        variant=recipe.model.variant,
        num_classes=len(source.classes),
        in_channels=recipe.preprocess.channels,
        width=recipe.model.width,
    )
    step = Step(
        verb="train",
        parent=None,
        tools={"torch": str(torch.__version__)},
        settings={"recipe": recipe.digest, "data": source.name, "epochs": recipe.epochs, "seed": recipe.seed},
    )
    model = Model(
        name=f"{recipe.model.variant}.{source.name.partition(':')[0]}",
        network=network,
        form="weights",
        precision="float32",
        preprocess=recipe.preprocess,
        lineage=(step,),
    )
    return model, Labels(source.classes)


def _in_memory(out: Path, model: Model, labels: Labels) -> Bundle:
    """What an evaluation needs to know of a bundle that is not written yet."""
    return Bundle(path=out / BUNDLE, model=model, labels=labels)


def _end_epoch(state: TrainingState, out: Path, lr: float, epoch: int, bundle: Bundle, validation: Source) -> Epoch:
    """Validate, write the log anew, and start the next epoch's sums."""
    progress = state.progress
    result = evaluate(bundle, TorchSession(state.network, (None, None)), validation)
    state.network.train()
    row = Epoch(
        epoch=epoch,
        steps=progress.step,
        lr=lr,
        train_loss=progress.loss_sum / progress.seen,
        validation_loss=result.loss,
        validation_top1=result.top1.value if result.top1 else None,
        seconds=round(progress.seconds, 3),
    )
    progress.history.append(row)
    progress.loss_sum, progress.seen = 0.0, 0
    write_atomically(out / LOG, msgspec.json.Encoder().encode_lines(progress.history))
    return row
