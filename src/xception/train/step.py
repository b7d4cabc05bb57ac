"""One optimiser step: rate, seed, augmentation, forward, loss, backward, step, average."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from xception.train.average import update_average
from xception.train.batch_augment import Batch, BatchAugment
from xception.train.losses import Loss
from xception.train.parameter_groups import set_rate
from xception.train.schedule import LearningRate
from xception.train.settings import AverageSettings
from xception.train.state import TrainingState


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of all that a process draws in a step: neighbouring seeds share no step's draws, as their sum would."""
    return int.from_bytes(sha256(f"{seed} {step} {rank}".encode()).digest()[:8], "big", signed=True)


class PendingLoss:
    """A loss on its way from the device, which goes on with the next step meanwhile."""

    def __init__(self, loss: Tensor) -> None:
        self._loss = loss.to("cpu", non_blocking=True)
        self._copied = torch.cuda.current_stream(loss.device).record_event() if loss.is_cuda else None

    def value(self) -> float:
        """The loss; waits until the device has computed it."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._loss.item()


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
    compiled_images: int | None = None
    """Images of a part for which the network is compiled; what is left for an epoch's last step is not worth it."""

    def __call__(self, state: TrainingState, batch: Batch, weight: float = 1.0) -> Tensor:
        """Make step `state.progress.step` with this process' share of its batch.

        Args:
            state: changed in place, except for its progress.
            batch: the share, on the device.
            weight: its weight among the shares of all processes, whose mean is 1.

        Returns:
            The share's mean loss before the step, float64 on the device, which may still be computing it.
        """
        step = state.progress.step
        set_rate(state.optimizer, self.learning_rate(step, state.progress.validation_losses))
        # Everything that a step draws at random depends on the step and the process only, so that a resumed run draws
        # the same.
        seed_draws(step_seed(self.seed, step, self.fabric.global_rank), self.fabric.device)
        loss = self._accumulate_gradients(*self.augment(batch), weight)
        if self.clip_norm is not None:
            self.fabric.clip_gradients(self.network, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if state.average is not None and self.average:
            update_average(state.average, state.network, self.average, step)
        return loss

    def _accumulate_gradients(self, pixels: Tensor, targets: Tensor, weight: float) -> Tensor:
        """Add up the gradients, part by part; the processes exchange them with the last part."""
        parts = list(_parts(pixels, targets, self.accumulate))
        total = torch.zeros((), dtype=torch.float64, device=pixels.device)
        for index, (part, part_targets) in enumerate(parts, 1):
            with self._unsynchronised(index < len(parts)), self._compiled_if_whole(part):
                loss = self.loss(self.network(part), part_targets) * (len(part) / len(pixels))
                self.fabric.backward(loss * weight)
            total += loss.detach()
        return total

    def _compiled_if_whole(self, part: Tensor) -> AbstractContextManager[object]:
        """Compute a part of another size as it is: every size that is met would be compiled, for a minute each."""
        if self.compiled_images in (None, len(part)):
            return nullcontext()
        return cast(AbstractContextManager[object], torch.compiler.set_stance("force_eager"))

    def _unsynchronised(self, enabled: bool) -> AbstractContextManager[None]:
        if self.fabric.world_size == 1:
            return nullcontext()
        return self.fabric.no_backward_sync(self.network, enabled=enabled)  # type: ignore[arg-type]


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of the device that trains; `torch.manual_seed` goes through all devices."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


def _parts(pixels: Tensor, targets: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    count = min(count, len(pixels))
    return zip(pixels.tensor_split(count), targets.tensor_split(count), strict=True)
