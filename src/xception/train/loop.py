"""The training loop: steps, epochs and checkpoints, in the order in which they happen."""

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil, isfinite
from time import perf_counter
from typing import NamedTuple, NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor

from xception.bundle import Bundle
from xception.data.source import Source
from xception.data.training_images import Digests
from xception.errors import CheckFailed, EnvironmentFault, UsageError
from xception.goldens import Image8
from xception.models.network import Xception
from xception.tasks.evaluation import Evaluation
from xception.train.batch_augment import Batch
from xception.train.batches import Batches
from xception.train.callbacks import Callback, RunningTraining, StepReport
from xception.train.checkpoint import Checkpoints, restore
from xception.train.distributed import from_first, summed
from xception.train.figures import ranks
from xception.train.finetune import set_learning
from xception.train.interruption import Stopped, StopRequest
from xception.train.loader import training_batches
from xception.train.logs import Epoch, write_logs
from xception.train.schedule import Course
from xception.train.settings import FreezeSettings
from xception.train.state import TrainingState
from xception.train.step import PendingLoss, Stepper
from xception.train.storage import Storage
from xception.train.validation import validate

CHECKPOINT_EVERY_S = 10.0
"""Seconds of work that a killed run loses at most, in addition to the step that it was in, where saving is quick."""

MAX_SAVING_SHARE = 0.05
"""Share of the time that saving takes at most, where it is slow."""

MAX_KEYS = 8
"""Number of images that a message names."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a run, except for the place where it is kept."""

    fabric: Fabric
    course: Course
    freeze: FreezeSettings
    batches: Batches
    validation: Source
    in_files: bool
    """The data lie in files, at the places that the recipe names."""
    bundle: Bundle
    """The bundle that the run is to publish, without weights and metrics."""
    state: TrainingState
    stepper: Stepper
    parent_digests: Digests
    """The images that the bundle which the run starts from was trained on, as far as it tells."""
    golden_images: tuple[Image8, ...]
    """The images that the goldens of that bundle answer, and so do those of the one to be published."""
    own_parts: Mapping[str, str]
    """Name and hash of each part that a program brought along."""


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

    parts: Parts
    storage: Storage
    checkpoints: Checkpoints
    running: RunningTraining
    """The run as its callbacks see it."""
    callbacks: Sequence[Callback] = ()
    """All callbacks, of which only the first process calls any."""
    workers: int | None = None
    """Processes that prepare batches; with 0 it is a thread. By default as many as suit the machine."""
    save_every: int | None = None
    """Epochs between two saved states; by default one, with states in between."""
    publishes_best: bool = False
    request: StopRequest = field(default_factory=StopRequest)
    """The request to stop, if a signal came."""
    clock: float = 0.0
    """End of the last lap, by `perf_counter`."""
    next_save: float = field(default_factory=lambda: perf_counter() + CHECKPOINT_EVERY_S)
    made: deque[MadeStep] = field(default_factory=deque)
    """Steps that were given to the device, whose losses are not read yet."""

    @property
    def heard(self) -> Sequence[Callback]:
        """The callbacks that this process calls."""
        return self.callbacks if self.parts.fabric.is_global_zero else ()

    def train(self) -> Evaluation:
        """Train from the present state to the end of the run; returns the last validation."""
        validation = None
        self.clock = perf_counter()
        with closing(self._batches()) as batches:
            progress = self.parts.state.progress
            while not (progress.ended_by or self.parts.course.is_over(progress.history)):
                set_learning(self.parts.state.network, self.parts.freeze, len(progress.history))
                self._train_epoch(batches)
                validation = self._end_epoch()
                if self._is_to_be_saved():
                    self._save()
        # There is none if an earlier process was killed between the last checkpoint and the bundle.
        return validation or self._validate()

    def _batches(self) -> Generator[Batch]:
        """The batches up to the end of the run, so that processes that prepare them start once."""
        parts = self.parts
        return training_batches(
            parts.fabric, parts.batches, parts.state.progress.step, parts.course.total_steps, self.workers
        )

    def _train_epoch(self, batches: Iterator[Batch]) -> None:
        progress = self.parts.state.progress
        for _ in range(progress.step, (len(progress.history) + 1) * self.parts.batches.per_epoch):
            self._step(next(batches))
            if progress.ended_by:
                break
        if self._settle():
            self._stop()

    def return_to_best(self) -> Evaluation:
        """Restore the state of the best epoch; returns its validation."""
        best = from_first(self.parts.fabric, self.checkpoints.best)
        if best:
            progress = self.parts.state.progress
            restore(self.parts.state, best[1], best[0])
            self.parts.state.progress = progress  # the run went further, which its history tells
        return self._validate()

    def judge(self, network: Xception) -> Evaluation:
        """The figures of another network on the validation part."""
        return self._validate(network)

    def _step(self, batch: Batch) -> None:
        progress = self.parts.state.progress
        step, images = progress.step, len(self.parts.batches.indices(progress.step))
        weight = self.parts.batches.weight(step)
        self.made.append(MadeStep(step, images, weight, PendingLoss(self._make_step(batch, weight))))
        progress.step += 1
        # While the device computes a step, the next one is given to it; only then the loss of the former is read.
        stopping = self._settle(self._steps_in_flight())
        if stopping:
            self._settle()
            self._stop()
        if self.save_every is None and perf_counter() > self.next_save:
            self._save()

    def _steps_in_flight(self) -> int:
        """Steps whose losses are not read yet when the next one begins; a callback that may act wants to see each."""
        only_watched = all(callback.only_watches for callback in self.callbacks)
        return int(self.parts.fabric.device.type == "cuda" and only_watched)

    def _settle(self, in_flight: int = 0) -> bool:
        """Account for steps until `in_flight` are left; True if the run is to stop."""
        stopping = False
        while len(self.made) > in_flight:
            stopping = self._account(self.made.popleft()) or stopping
        return stopping

    def _account(self, made: MadeStep) -> bool:
        progress = self.parts.state.progress
        # One exchange for both, so that all processes stop after the same step.
        total, stopping = summed(self.parts.fabric, made.loss.value() * made.weight, self.request.signal is not None)
        loss = total / self.parts.fabric.world_size
        self._check_finite(loss, made.step)
        progress.seen += made.images
        progress.loss_sum += loss * made.images
        progress.step_seconds += self._lap()
        self._report(made.step, loss, made.images)
        progress.ended_by = self._ended_by()
        return bool(stopping)

    def _make_step(self, batch: Batch, weight: float) -> Tensor:
        try:
            return self.parts.stepper(self.parts.state, batch, weight)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                f"a part of a step holds a single image, whose last maps are of one pixel, and norms need two values; "
                f"expected other than {self.parts.course.batch_size} images per step, or fewer parts and processes"
            ) from error
        except torch.OutOfMemoryError as error:
            raise EnvironmentFault(
                f"the device's memory does not hold the {len(batch.levels)} images of a step; lower batch_size, "
                f"or raise compute.accumulate, which is {self.parts.stepper.accumulate}"
            ) from error

    def _lap(self) -> float:
        """Seconds since the last call, which are added to the run's."""
        before, self.clock = self.clock, perf_counter()
        self.parts.state.progress.seconds += self.clock - before
        return self.clock - before

    def _report(self, step: int, loss: float, images: int) -> None:
        if self.heard:
            report = StepReport(
                step=step + 1,
                total_steps=self.parts.course.total_steps,
                epoch=step // self.parts.batches.per_epoch + 1,
                epochs=self.parts.course.epochs,
                images=images,
                loss=loss,
                lr=self.parts.stepper.learning_rate(step, self.parts.state.progress.validation_losses),
            )
            for callback in self.heard:
                callback.on_step(self.running, report)

    def _ended_by(self) -> str:
        """The reason why a callback ended the run, if one did."""
        if self.parts.fabric.world_size > 1 and any(not callback.only_watches for callback in self.callbacks):
            return from_first(self.parts.fabric, lambda: self.running.ended_by)
        return self.running.ended_by

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

    def _validate(self, network: Xception | None = None) -> Evaluation:
        parts = self.parts
        return validate(
            parts.fabric,
            parts.bundle,
            network or parts.state.published,
            parts.validation,
            # A batch that memory holds in training, it holds here.
            batch_size=ceil(parts.course.batch_size / (parts.fabric.world_size * parts.stepper.accumulate)),
        )

    def _end_epoch(self) -> Evaluation | None:
        """Validate if it is time, write the logs, and reset the sums for the next epoch; returns the figures."""
        progress = self.parts.state.progress
        is_due = bool(progress.ended_by) or self.parts.course.is_validated(len(progress.history) + 1)
        validation = self._validate() if is_due else None
        self._lap()
        row = self._row(validation)
        progress.history.append(row)
        progress.loss_sum, progress.seen, progress.step_seconds = 0.0, 0, 0.0
        if self.parts.fabric.is_global_zero:
            write_logs(self.storage, progress.history, progress.started_at)
            for callback in self.heard:
                callback.on_epoch(self.running, row)
        progress.ended_by = self._ended_by()
        return validation

    def _row(self, validation: Evaluation | None) -> Epoch:
        progress = self.parts.state.progress
        before = progress.history[-1].steps if progress.history else 0
        return Epoch(
            epoch=len(progress.history) + 1,
            steps=progress.step,
            lr=self.parts.stepper.learning_rate(progress.step - 1, progress.validation_losses),
            train_loss=progress.loss_sum / progress.seen,
            validation_loss=validation.loss if validation else None,
            validation_top1=validation.top1.value if validation and validation.top1 else None,
            validation_top5=validation.top5.value if validation and validation.top5 else None,
            validation_balanced_accuracy=validation.balanced_accuracy if validation else None,
            validation_balanced_loss=validation.balanced_loss if validation else None,
            validation_macro_f1=validation.macro_f1 if validation else None,
            validation_roc_auc=validation.roc_auc if validation else None,
            validation_average_precision=validation.average_precision if validation else None,
            seconds=round(progress.seconds, 3),
            images_per_second=round(progress.seen / progress.step_seconds, 1),
            ms_per_step=round(1000 * progress.step_seconds / max(1, progress.step - before), 2),
            devices=self.parts.fabric.world_size,
        )

    def _is_to_be_saved(self) -> bool:
        """Tell whether the state after an epoch is needed later."""
        progress, course = self.parts.state.progress, self.parts.course
        is_last = bool(progress.ended_by) or course.is_over(progress.history)
        if is_last or self.save_every is None or len(progress.history) % self.save_every == 0:
            return True
        places = ranks(progress.history, course.figure)
        return self.publishes_best and bool(places) and places[-1] == max(places)

    def _save(self) -> None:
        """Keep the state, and put off the next time so that saving takes a small share of the run."""
        self._settle()
        if self.parts.fabric.is_global_zero:
            self._check_weights()
            self.checkpoints.save(self.parts.state)
        self.next_save = perf_counter() + max(CHECKPOINT_EVERY_S, self._lap() / MAX_SAVING_SHARE)

    def _check_weights(self) -> None:
        """Refuse to save weights that are not finite, which the next loss would show too late.

        Raises:
            CheckFailed: a weight or running statistic is not finite.
        """
        for name, tensor in self.parts.state.network.state_dict().items():
            if not tensor.isfinite().all():
                raise CheckFailed(
                    f"{name} is not finite after step {self.parts.state.progress.step}; the last good checkpoint is "
                    f"{self.checkpoints.newest or 'none'}; train again elsewhere with a lower optim.lr"
                )
