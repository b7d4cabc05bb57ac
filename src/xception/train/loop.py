"""A run under way: steps, epochs and checkpoints, in the order in which they happen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil, isfinite
from time import perf_counter
from typing import NoReturn

import torch
from lightning_fabric import Fabric

from xception.bundle import Bundle, Score
from xception.data.source import Source
from xception.errors import CheckFailed, EnvironmentFault
from xception.train.batches import Batch, Batches
from xception.train.checkpoint import Checkpoints
from xception.train.distributed import from_first, summed
from xception.train.freezing import set_learning
from xception.train.interruption import Request, Stopped
from xception.train.logs import write_logs
from xception.train.recipe import Recipe
from xception.train.schedule import has_stalled
from xception.train.state import Epoch, TrainingState, restore
from xception.train.step import Stepper
from xception.train.storage import Storage
from xception.train.validation import validate

CHECKPOINT_EVERY_S = 10.0
"""Seconds of work that a killed run loses at most, besides the step that it was in, where saving is quick."""

SAVING_SHARE = 0.05
"""Of the time at most, where it is not."""

MAX_KEYS = 8
"""Images that a message names."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a progress display needs after each step."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    images: int
    """In this step, over all devices."""
    loss: float
    lr: float


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Whom a run tells how it goes on; only its first process does."""

    on_step: Callable[[StepReport], None]
    on_epoch: Callable[[Epoch], None]
    on_note: Callable[[str], None]


@dataclass(frozen=True)
class Parts:
    """What a run is made of, wherever it is kept."""

    fabric: Fabric
    recipe: Recipe
    batches: Batches
    validation: Source
    bundle: Bundle
    """As it is going to be, without weights."""
    state: TrainingState
    stepper: Stepper


@dataclass
class Run:
    """A run under way."""

    parts: Parts
    storage: Storage
    checkpoints: Checkpoints
    listeners: Listeners
    workers: int = 2
    request: Request = field(default_factory=Request)
    """Whether to stop."""
    clock: float = 0.0
    """When the last lap ended."""
    next_save: float = field(default_factory=lambda: perf_counter() + CHECKPOINT_EVERY_S)

    def train(self) -> Score:
        """Go on from where the state stands to the end; returns the last validation's score."""
        score = None
        self.clock = perf_counter()
        while not self._is_over():
            epoch = len(self.parts.state.progress.history)
            set_learning(self.parts.state.network, self.parts.recipe.freeze, epoch)
            for batch in self._rest_of(epoch):
                self._step(batch)
            score = self._end_epoch()
            self._save()
        # A run that was killed between its last checkpoint and its bundle.
        return score or self._validate()

    def return_to_best(self) -> Score:
        """Take up the state of the highest validation accuracy; returns its score."""
        best = from_first(self.parts.fabric, self.checkpoints.best)
        if best:
            progress = self.parts.state.progress
            restore(self.parts.state, best[1], best[0])
            self.parts.state.progress = progress  # the run went further, which its history tells
        return self._validate()

    def _is_over(self) -> bool:
        history, patience = self.parts.state.progress.history, self.parts.recipe.stop_after
        losses = [row.validation_loss for row in history if row.validation_loss is not None]
        return len(history) >= self.parts.recipe.epochs or (patience is not None and has_stalled(losses, patience))

    def _rest_of(self, epoch: int) -> Iterator[Batch]:
        return self.parts.batches.from_step(
            self.parts.state.progress.step, (epoch + 1) * self.parts.batches.per_epoch, self.workers
        )

    def _step(self, batch: Batch) -> None:
        progress = self.parts.state.progress
        step, images = progress.step, len(self.parts.batches.indices(progress.step))
        weight = self.parts.batches.weight(step)
        own = self._stepped(batch, weight)
        # One exchange for both, so that all processes stop after the same step.
        total, stopping = summed(self.parts.fabric, own * weight, self.request.signal is not None)
        loss = total / self.parts.fabric.world_size
        self._check_finite(loss, step)
        progress.step += 1
        progress.seen += images
        progress.loss_sum += loss * images
        progress.step_seconds += self._lap()
        self._report(step, loss, images)
        if stopping:
            self._stop()
        if perf_counter() > self.next_save:
            self._save()

    def _stepped(self, batch: Batch, weight: float) -> float:
        try:
            return self.parts.stepper(self.parts.state, batch, weight)
        except torch.OutOfMemoryError as error:
            raise EnvironmentFault(
                f"the device's memory does not hold the {len(batch[0])} images of a step; lower batch_size, "
                f"or raise compute.accumulate, which is {self.parts.recipe.compute.accumulate}"
            ) from error

    def _lap(self) -> float:
        """Seconds since the last call, which count as the run's."""
        before, self.clock = self.clock, perf_counter()
        self.parts.state.progress.seconds += self.clock - before
        return self.clock - before

    def _report(self, step: int, loss: float, images: int) -> None:
        if self.parts.fabric.is_global_zero:
            report = StepReport(
                step=step + 1,
                total_steps=self.parts.recipe.epochs * self.parts.batches.per_epoch,
                epoch=step // self.parts.batches.per_epoch + 1,
                epochs=self.parts.recipe.epochs,
                images=images,
                loss=loss,
                lr=self.parts.stepper.lr(step, self.parts.state.progress.history),
            )
            self.listeners.on_step(report)

    def _check_finite(self, loss: float, step: int) -> None:
        if not isfinite(loss):
            keys = self.parts.batches.keys(step)
            named = ", ".join(keys[:MAX_KEYS]) + f" and {len(keys) - MAX_KEYS} more" * (len(keys) > MAX_KEYS)
            raise CheckFailed(
                f"the loss became {loss} at step {step + 1} on the images {named}; the last good checkpoint is "
                f"{self.checkpoints.newest or 'none'}; "
                "train again elsewhere with a lower optim.lr, or with optim.clip_norm"
            )

    def _stop(self) -> NoReturn:
        self._save()
        raise Stopped(
            f"stopped by {self.request.signal or 'another process'} after step {self.parts.state.progress.step}; "
            f"{self.storage.place} holds the run, which --resume continues"
        )

    def _validate(self) -> Score:
        parts, recipe = self.parts, self.parts.recipe
        return validate(
            parts.fabric,
            parts.bundle,
            parts.state.judged,
            parts.validation,
            # What memory holds in training it holds here.
            batch_size=ceil(recipe.batch_size / (parts.fabric.world_size * recipe.compute.accumulate)),
            workers=self.workers,
        )

    def _end_epoch(self) -> Score:
        """Validate, write the logs, and start the next epoch's sums."""
        score, progress = self._validate(), self.parts.state.progress
        self._lap()
        row = self._row(score)
        progress.history.append(row)
        progress.loss_sum, progress.seen, progress.step_seconds = 0.0, 0, 0.0
        if self.parts.fabric.is_global_zero:
            write_logs(self.storage, progress.history, progress.started_at)
            self.listeners.on_epoch(row)
        return score

    def _row(self, score: Score) -> Epoch:
        progress = self.parts.state.progress
        return Epoch(
            epoch=len(progress.history) + 1,
            steps=progress.step,
            lr=self.parts.stepper.lr(progress.step - 1, progress.history),
            train_loss=progress.loss_sum / progress.seen,
            validation_loss=score.loss,
            validation_top1=score.top1.value if score.top1 else None,
            seconds=round(progress.seconds, 3),
            images_per_second=round(progress.seen / progress.step_seconds, 1),
            ms_per_step=round(1000 * progress.step_seconds / self.parts.batches.per_epoch, 2),
            devices=self.parts.fabric.world_size,
        )

    def _save(self) -> None:
        """Keep the state, and take care that this takes a small part of the time."""
        if self.parts.fabric.is_global_zero:
            self._check_weights()
            self.checkpoints.save(self.parts.state)
        self.next_save = perf_counter() + max(CHECKPOINT_EVERY_S, self._lap() / SAVING_SHARE)

    def _check_weights(self) -> None:
        """What is not a number would spoil the last good checkpoint, which the next loss would only then show."""
        for name, tensor in self.parts.state.network.state_dict().items():
            if not tensor.isfinite().all():
                raise CheckFailed(
                    f"{name} is not finite after step {self.parts.state.progress.step}; the last good checkpoint is "
                    f"{self.checkpoints.newest or 'none'}; train again elsewhere with a lower optim.lr"
                )
