"""The training loop: steps, epochs and checkpoints, in the order in which they happen."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil, isfinite
from time import perf_counter
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from xception.errors import CheckFailed, EnvironmentFault, UsageError
from xception.models.network import Xception
from xception.tasks.evaluation import Evaluation
from xception.train.batch_augment import Batch
from xception.train.callbacks import Callback, RunningTraining, StepReport
from xception.train.checkpoint import restore
from xception.train.distributed import from_first, summed
from xception.train.finetune import set_learning
from xception.train.interruption import Stopped, StopRequest
from xception.train.loader import training_batches
from xception.train.logs import write_logs
from xception.train.saving import Saver
from xception.train.setup import TrainingSetup
from xception.train.step import PendingLoss
from xception.train.storage import Storage
from xception.train.validation import validate

MAX_KEYS = 8
"""Number of images that a message names."""


class MadeStep(NamedTuple):
    """A step that the device may still compute."""

    step: int
    images: int
    """Images of all processes."""
    weight: float
    loss: PendingLoss
    """The mean loss of this process' share."""


@dataclass
class TrainingRun:
    """One run of the training loop."""

    setup: TrainingSetup
    storage: Storage
    saver: Saver
    running: RunningTraining
    """The run as its callbacks see it."""
    callbacks: Sequence[Callback] = ()
    """All callbacks, of which only the first process calls any."""
    workers: int | None = None
    """Processes that prepare batches; with 0 it is a thread. By default as many as suit the machine."""
    request: StopRequest = field(default_factory=StopRequest)
    """The request to stop, if a signal came."""
    clock: float = 0.0
    """End of the last lap, by `perf_counter`."""
    made: deque[MadeStep] = field(default_factory=deque)
    """Steps that were given to the device, whose losses are not read yet."""

    @property
    def heard(self) -> Sequence[Callback]:
        """The callbacks that this process calls."""
        return self.callbacks if self.setup.fabric.is_global_zero else ()

    def train(self) -> Evaluation:
        """Train from the present state to the end of the run; returns the last validation."""
        validation = None
        self.clock = perf_counter()
        with closing(self._batches()) as batches:
            progress = self.setup.state.progress
            while not (progress.ended_by or self.setup.course.is_over(progress.history)):
                set_learning(self.setup.state.network, self.setup.freeze, len(progress.history))
                self._train_epoch(batches)
                validation = self._end_epoch()
                if self.saver.needs_epoch():
                    self._save()
        # There is none if an earlier process was killed between the last checkpoint and the bundle.
        return validation or self._validate()

    def _batches(self) -> Generator[Batch]:
        """The batches up to the end of the run, so that processes that prepare them start once."""
        setup = self.setup
        return training_batches(
            setup.fabric, setup.batches, setup.state.progress.step, setup.course.total_steps, self.workers
        )

    def _train_epoch(self, batches: Iterator[Batch]) -> None:
        progress = self.setup.state.progress
        for _ in range(progress.step, (len(progress.history) + 1) * self.setup.batches.per_epoch):
            self._step(next(batches))
            if progress.ended_by:
                break
        if self._settle():
            self._stop()

    def return_to_best(self) -> Evaluation:
        """Restore the state of the best epoch; returns its validation."""
        best = from_first(self.setup.fabric, self.saver.checkpoints.best)
        if best:
            progress = self.setup.state.progress
            restore(self.setup.state, best[1], best[0])
            self.setup.state.progress = progress  # the run went further, which its history tells
        return self._validate()

    def judge(self, network: Xception) -> Evaluation:
        """The figures of another network on the validation part."""
        return self._validate(network)

    def _step(self, batch: Batch) -> None:
        progress = self.setup.state.progress
        step, images = progress.step, len(self.setup.batches.indices(progress.step))
        weight = self.setup.batches.weight(step)
        self.made.append(MadeStep(step, images, weight, PendingLoss(self._make_step(batch, weight))))
        progress.step += 1
        # While the device computes a step, the next one is given to it; only then the loss of the former is read.
        stopping = self._settle(self._steps_in_flight())
        if stopping:
            self._settle()
            self._stop()
        if self.saver.is_due():
            self._save()

    def _steps_in_flight(self) -> int:
        """Steps whose losses are not read yet when the next one begins; a callback that may act wants to see each."""
        only_watched = all(callback.only_watches for callback in self.callbacks)
        return int(self.setup.fabric.device.type == "cuda" and only_watched)

    def _settle(self, in_flight: int = 0) -> bool:
        """Account for steps until `in_flight` are left; True if the run is to stop."""
        stopping = False
        while len(self.made) > in_flight:
            stopping = self._account(self.made.popleft()) or stopping
        return stopping

    def _account(self, made: MadeStep) -> bool:
        progress = self.setup.state.progress
        # One exchange for both, so that all processes stop after the same step.
        total, stopping = summed(self.setup.fabric, made.loss.value() * made.weight, self.request.signal is not None)
        loss = total / self.setup.fabric.world_size
        self._check_finite(loss, made.step)
        progress.seen += made.images
        progress.loss_sum += loss * made.images
        progress.step_seconds += self._lap()
        self._report(made.step, loss, made.images)
        progress.ended_by = self._ended_by()
        return bool(stopping)

    def _make_step(self, batch: Batch, weight: float) -> Tensor:
        try:
            return self.setup.stepper(self.setup.state, batch, weight)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                f"a part of a step holds a single image, whose last maps are of one pixel, and norms need two values; "
                f"expected other than {self.setup.course.batch_size} images per step, or fewer parts and processes"
            ) from error
        except torch.OutOfMemoryError as error:
            raise EnvironmentFault(
                f"the device's memory does not hold the {len(batch.levels)} images of a step; lower batch_size, "
                f"or raise compute.accumulate, which is {self.setup.stepper.accumulate}"
            ) from error

    def _lap(self) -> float:
        """Seconds since the last call, which are added to the run's."""
        before, self.clock = self.clock, perf_counter()
        self.setup.state.progress.seconds += self.clock - before
        return self.clock - before

    def _report(self, step: int, loss: float, images: int) -> None:
        if self.heard:
            report = StepReport(
                step=step + 1,
                total_steps=self.setup.course.total_steps,
                epoch=step // self.setup.batches.per_epoch + 1,
                epochs=self.setup.course.epochs,
                images=images,
                loss=loss,
                lr=self.setup.stepper.learning_rate(step, self.setup.state.progress.validation_losses),
            )
            for callback in self.heard:
                callback.on_step(self.running, report)

    def _ended_by(self) -> str:
        """The reason why a callback ended the run, if one did."""
        if self.setup.fabric.world_size > 1 and any(not callback.only_watches for callback in self.callbacks):
            return from_first(self.setup.fabric, lambda: self.running.ended_by)
        return self.running.ended_by

    def _check_finite(self, loss: float, step: int) -> None:
        if not isfinite(loss):
            keys = self.setup.batches.keys(step)
            named = ", ".join(keys[:MAX_KEYS]) + f" and {len(keys) - MAX_KEYS} more" * (len(keys) > MAX_KEYS)
            lower_scale = " or compute.loss_scale" if self.running.recipe.compute.loss_scale else ""
            raise CheckFailed(
                f"the loss became {loss} at step {step + 1} on the images {named}; the last good checkpoint is "
                f"{self.saver.checkpoints.newest or 'none'}; "
                f"train again elsewhere with a lower optim.lr{lower_scale}, or with optim.clip_norm"
            )

    def _stop(self) -> NoReturn:
        self._save()
        raise Stopped(
            f"stopped by {self.request.signal or 'another process'} after step {self.setup.state.progress.step}; "
            f"{self.storage.place} holds the run, which --resume continues"
        )

    def _validate(self, network: Xception | None = None) -> Evaluation:
        setup = self.setup
        return validate(
            setup.fabric,
            setup.bundle,
            network or setup.state.published,
            setup.validation,
            # A batch that memory holds in training, it holds here.
            batch_size=ceil(setup.course.batch_size / (setup.fabric.world_size * setup.stepper.accumulate)),
        )

    def _end_epoch(self) -> Evaluation | None:
        """Validate if it is time, write the logs, and reset the sums for the next epoch; returns the figures."""
        progress = self.setup.state.progress
        is_due = bool(progress.ended_by) or self.setup.course.is_validated(len(progress.history) + 1)
        validation = self._validate() if is_due else None
        self._lap()
        lr = self.setup.stepper.learning_rate(progress.step - 1, progress.validation_losses)
        row = progress.finish_epoch(validation, lr=lr, devices=self.setup.fabric.world_size)
        if self.setup.fabric.is_global_zero:
            write_logs(self.storage, progress.history, progress.started_at)
            for callback in self.heard:
                callback.on_epoch(self.running, row)
        progress.ended_by = self._ended_by()
        return validation

    def _save(self) -> None:
        """Save the state with the losses of all its steps."""
        self._settle()
        self.saver.save()
        self._lap()
