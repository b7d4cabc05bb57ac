"""One optimiser step: rate, seed, mixing, forward, loss, backward, step, average."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from xception.data.augment import batch_generator
from xception.train.average import update
from xception.train.batches import Batch
from xception.train.losses import Loss
from xception.train.mixing import erased, mixed
from xception.train.optim import peak_rate, set_rate
from xception.train.randaugment import changed
from xception.train.recipe import Recipe
from xception.train.schedule import Course, rate
from xception.train.state import Epoch, TrainingState


@dataclass(frozen=True)
class Stepper:
    """Makes the steps of a run, whatever the device."""

    fabric: Fabric
    network: nn.Module
    """As Fabric wrapped it."""
    optimizer: Optimizer
    """As Fabric wrapped it."""
    recipe: Recipe
    loss: Loss
    course: Course

    def lr(self, step: int, history: Sequence[Epoch]) -> float:
        """The rate of step `step`, counted from 0, after the epochs before it."""
        losses = [row.validation_loss for row in history if row.validation_loss is not None]
        return rate(
            self.recipe.schedule, peak_rate(self.recipe.optim, self.recipe.batch_size), step, self.course, losses
        )

    def __call__(self, state: TrainingState, batch: Batch, weight: float = 1.0) -> float:
        """Make step `state.progress.step` with this process' share of its batch.

        Args:
            state: changed in place, except for its progress.
            batch: the share.
            weight: how much it counts beside the shares of the other processes; the mean of all is 1.

        Returns:
            The share's mean loss before the step.
        """
        step = state.progress.step
        set_rate(state.optimizer, self.lr(step, state.progress.history))
        # What a step draws at random depends on the step and the process alone, so that a resumed run draws the same.
        torch.manual_seed(self.recipe.seed + step + (self.fabric.global_rank << 32))
        pixels, targets = (self.fabric.to_device(tensor) for tensor in batch)
        pixels, targets = self._changed(pixels, targets, state)
        loss = self._gradients(pixels, targets, weight)
        if self.recipe.optim.clip_norm is not None:
            self.fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self.recipe.optim.clip_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if state.average is not None and self.recipe.average:
            update(state.average, state.network, self.recipe.average, step)
        return loss

    def _changed(self, pixels: torch.Tensor, targets: torch.Tensor, state: TrainingState) -> Batch:
        """The batch with what is changed on the device; classes may become probabilities (N, K)."""
        step = state.progress.step
        rng = batch_generator(self.recipe.seed, step, self.fabric.global_rank)
        pixels = changed(pixels, self.recipe.preprocess, self.recipe.augment, rng)
        pixels = erased(pixels, self.recipe.augment.erase, rng)
        mix = self.recipe.mix_in(step // self.course.steps_per_epoch)
        return mixed(pixels, targets, state.network.spec.num_classes, mix, rng)

    def _gradients(self, pixels: torch.Tensor, targets: torch.Tensor, weight: float) -> float:
        """Add up the gradients, part by part; the processes exchange them with the last part."""
        parts = list(_parts(pixels, targets, self.recipe.compute.accumulate))
        total = 0.0
        for index, (part, part_targets) in enumerate(parts, 1):
            with self._unsynchronised(index < len(parts)):
                loss = self.loss(self.network(part), part_targets) * (len(part) / len(pixels))
                self.fabric.backward(loss * weight)
            total += loss.item()
        return total

    def _unsynchronised(self, enabled: bool) -> AbstractContextManager[None]:
        if self.fabric.world_size == 1:
            return nullcontext()
        return self.fabric.no_backward_sync(self.network, enabled=enabled)  # type: ignore[arg-type]


def _parts(pixels: torch.Tensor, targets: torch.Tensor, count: int) -> Iterator[Batch]:
    count = min(count, len(pixels))
    return zip(pixels.tensor_split(count), targets.tensor_split(count), strict=True)
