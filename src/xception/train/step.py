"""One optimiser step: rate, seed, augmentation, forward, loss, backward, step, average."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from xception.data.augment import Augment, batch_generator
from xception.preprocess import Preprocess
from xception.train.batches import Batch
from xception.train.losses import Loss
from xception.train.mixing import erase, mix
from xception.train.optim import set_rate, update_average
from xception.train.randaugment import augment
from xception.train.schedule import LearningRate
from xception.train.settings import AverageSettings, MixSettings
from xception.train.state import TrainingState


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of all that a process draws in a step: neighbouring seeds share no step's draws, as their sum would."""
    return int.from_bytes(sha256(f"{seed} {step} {rank}".encode()).digest()[:8], "big", signed=True)


@dataclass(frozen=True, kw_only=True)
class BatchAugment:
    """Random changes to whole batches on the device, a function of seed, step and process only."""

    augment: Augment
    mix: MixSettings
    preprocess: Preprocess
    num_classes: int
    steps_per_epoch: int
    seed: int
    rank: int = 0

    def __call__(self, pixels: Tensor, targets: Tensor, step: int) -> Batch:
        """Augment, erase and mix the batch of step `step`; its classes (N,) may become probabilities (N, K)."""
        rng = batch_generator(self.seed, step, self.rank)
        pixels = augment(pixels, self.preprocess, self.augment, rng)
        pixels = erase(pixels, self.augment.erase, rng)
        return mix(pixels, targets, self.num_classes, self.mix.in_epoch(step // self.steps_per_epoch), rng)


@dataclass(frozen=True, kw_only=True)
class Stepper:
    """The steps of a run, on any device."""

    fabric: Fabric
    network: nn.Module
    """The network as Fabric wrapped it."""
    optimizer: Optimizer
    """The optimiser as Fabric wrapped it."""
    learning_rate: LearningRate
    augment: BatchAugment
    loss: Loss
    seed: int
    accumulate: int = 1
    """Number of parts that a batch is computed in."""
    clip_norm: float | None = None
    average: AverageSettings | None = None

    def __call__(self, state: TrainingState, batch: Batch, weight: float = 1.0) -> float:
        """Make step `state.progress.step` with this process' share of its batch.

        Args:
            state: changed in place, except for its progress.
            batch: the share.
            weight: its weight among the shares of all processes, whose mean is 1.

        Returns:
            The share's mean loss before the step.
        """
        step = state.progress.step
        set_rate(state.optimizer, self.learning_rate(step, state.progress.validation_losses))
        # Everything that a step draws at random depends on the step and the process only, so that a resumed run draws
        # the same.
        torch.manual_seed(step_seed(self.seed, step, self.fabric.global_rank))
        pixels, targets = (self.fabric.to_device(tensor) for tensor in batch)
        loss = self._accumulate_gradients(*self.augment(pixels, targets, step), weight)
        if self.clip_norm is not None:
            self.fabric.clip_gradients(self.network, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if state.average is not None and self.average:
            update_average(state.average, state.network, self.average, step)
        return loss

    def _accumulate_gradients(self, pixels: Tensor, targets: Tensor, weight: float) -> float:
        """Add up the gradients, part by part; the processes exchange them with the last part."""
        parts = list(_parts(pixels, targets, self.accumulate))
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


def _parts(pixels: Tensor, targets: Tensor, count: int) -> Iterator[Batch]:
    count = min(count, len(pixels))
    return zip(pixels.tensor_split(count), targets.tensor_split(count), strict=True)
