"""The training loop, in the order in which things happen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from time import perf_counter

import msgspec
import torch
from lightning_fabric import Fabric
from torch import nn

from xception.arch.spec import Architecture
from xception.bundle import Bundle, Score, open_bundle
from xception.data.source import Source
from xception.data.sources import open_source
from xception.errors import CheckFailed, EnvironmentFault, InputError
from xception.models.network import build
from xception.train.average import averaged
from xception.train.batches import Batch, Batches
from xception.train.checkpoint import load_checkpoint, save_checkpoint, write_atomically
from xception.train.distributed import launch, summed
from xception.train.losses import Loss, loss_of
from xception.train.optim import optimizer
from xception.train.recipe import Recipe
from xception.train.result import described, written
from xception.train.schedule import Course
from xception.train.settings import DataSettings
from xception.train.state import Epoch, Progress, TrainingState
from xception.train.step import Stepper
from xception.train.validation import validate

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


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Whom a run tells how it goes on; only its first process does."""

    on_step: Callable[[StepReport], None]
    on_epoch: Callable[[Epoch], None]


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
    fabric, scaler = launch(recipe.compute)
    training, validation = open_parts(recipe.data)
    batches = Batches(training, recipe, fabric.global_rank, fabric.world_size)
    bundle = described(recipe, training, out / BUNDLE)
    state = initial_state(recipe, bundle.model.network.architecture(), batches)
    state.scaler = scaler
    loss = loss_of(recipe, batches.class_counts)
    _claim(out, resume=resume)
    if bundle.path.exists():
        return open_bundle(bundle.path)
    stepper = set_up(fabric, recipe, state, loss, batches.per_epoch)
    load_checkpoint(out, state)
    listeners = Listeners(on_step=on_step, on_epoch=on_epoch)
    run = Run(fabric, recipe, out, batches, validation, bundle, state, stepper, listeners)
    score = run.train(workers)
    return written(bundle, state.judged, {validation.name: score})


def open_parts(data: DataSettings) -> tuple[Source, Source]:
    """The training and the validation part."""
    if data.validation is None:
        return open_source(data.source, "train"), open_source(data.source, "validation")
    return open_source(data.source), open_source(data.validation)


def initial_state(recipe: Recipe, spec: Architecture, batches: Batches) -> TrainingState:
    """A fresh network and its optimiser, which the recipe's seed decides."""
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.trained(spec))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = batches.source
    progress = Progress(recipe=recipe.digest, data=batches.fingerprint, classes=len(source.classes), images=len(source))
    average = averaged(network) if recipe.average else None
    return TrainingState(network, optimizer(network, recipe.optim), progress, average)


def set_up(fabric: Fabric, recipe: Recipe, state: TrainingState, loss: Loss, steps_per_epoch: int) -> Stepper:
    """Move the state to its device and make it known to the other processes."""
    module: nn.Module = state.network
    if recipe.compute.sync_norm:
        # Replaces the norms inside the network, which keeps its own class and tensors.
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    if recipe.compute.compile:
        module = torch.compile(module)  # type: ignore[assignment]
    wrapped, wrapped_optimizer = fabric.setup(module, state.optimizer)
    if state.average is not None:
        state.average.to(fabric.device)
    course = Course(steps_per_epoch=steps_per_epoch, epochs=recipe.epochs, batch_size=recipe.batch_size)
    return Stepper(fabric, wrapped, wrapped_optimizer, recipe, loss, course)


@dataclass
class Run:
    """A run under way."""

    fabric: Fabric
    recipe: Recipe
    out: Path
    batches: Batches
    validation: Source
    bundle: Bundle
    """As it is going to be, without weights."""
    state: TrainingState
    stepper: Stepper
    listeners: Listeners
    saved_at: float = field(default_factory=perf_counter)

    def train(self, workers: int) -> Score:
        """Go on from where the state stands to the end; returns the last validation's score."""
        self.state.network.train()
        score = None
        while (epoch := len(self.state.progress.history)) < self.recipe.epochs:
            for batch in self._rest_of(epoch, workers):
                self._step(batch)
            score = self._end_epoch()
            self._save()
        # A run that was killed between its last checkpoint and its bundle.
        return score or self._validate()

    def _rest_of(self, epoch: int, workers: int) -> Iterator[Batch]:
        return self.batches.from_step(self.state.progress.step, (epoch + 1) * self.batches.per_epoch, workers)

    def _step(self, batch: Batch) -> None:
        started, progress = perf_counter(), self.state.progress
        step, images = progress.step, len(self.batches.indices(progress.step))
        weight = self.batches.weight(step)
        own = self.stepper(self.state, batch, weight)
        loss = summed(self.fabric, own * weight)[0] / self.fabric.world_size
        self._check_finite(loss, step)
        progress.step += 1
        progress.seen += images
        progress.loss_sum += loss * images
        elapsed = perf_counter() - started
        progress.step_seconds += elapsed
        progress.seconds += elapsed
        self._report(step, loss)
        if perf_counter() - self.saved_at > CHECKPOINT_EVERY_S:
            self._save()

    def _report(self, step: int, loss: float) -> None:
        if self.fabric.is_global_zero:
            report = StepReport(
                step=step + 1,
                total_steps=self.recipe.epochs * self.batches.per_epoch,
                epoch=step // self.batches.per_epoch + 1,
                epochs=self.recipe.epochs,
                loss=loss,
                lr=self.stepper.lr(step, self.state.progress.history),
            )
            self.listeners.on_step(report)

    def _check_finite(self, loss: float, step: int) -> None:
        if not isfinite(loss):
            raise CheckFailed(
                f"the loss became {loss} at step {step + 1}; {self.out} keeps what was saved before; "
                "train again elsewhere with a lower optim.lr"
            )

    def _validate(self) -> Score:
        return validate(self.fabric, self.bundle, self.state.judged, self.validation)

    def _end_epoch(self) -> Score:
        """Validate, write the log anew, and start the next epoch's sums."""
        started, progress = perf_counter(), self.state.progress
        score = self._validate()
        progress.seconds += perf_counter() - started
        row = Epoch(
            epoch=len(progress.history) + 1,
            steps=progress.step,
            lr=self.stepper.lr(progress.step - 1, progress.history),
            train_loss=progress.loss_sum / progress.seen,
            validation_loss=score.loss,
            validation_top1=score.top1.value if score.top1 else None,
            seconds=round(progress.seconds, 3),
            images_per_second=round(progress.seen / progress.step_seconds, 1),
        )
        progress.history.append(row)
        progress.loss_sum, progress.seen, progress.step_seconds = 0.0, 0, 0.0
        if self.fabric.is_global_zero:
            write_atomically(self.out / LOG, msgspec.json.Encoder().encode_lines(progress.history))
            self.listeners.on_epoch(row)
        return score

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            save_checkpoint(self.out, self.state)
        self.saved_at = perf_counter()


def _claim(out: Path, *, resume: bool) -> None:
    """Make the folder of the run, or refuse one that is in use."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = any(out.iterdir())
    except OSError as error:
        raise EnvironmentFault(f"cannot write to {out}: {error.strerror}; choose a place you may write to") from error
    if taken and not resume:
        raise InputError(f"{out} is not empty; pass --resume to continue the run in it, or choose another place")
