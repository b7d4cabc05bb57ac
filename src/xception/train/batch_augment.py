"""Batches, and the random changes to them on the device that trains.

All random numbers of a batch are drawn on the CPU where it is prepared, so that every device changes it alike and no
step waits for them. A batch travels with 8 bits per value; the device normalises it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from xception.data.augment import Augment, batch_generator
from xception.preprocess import Preprocess
from xception.train.mixing import DrawnMix, draw_erased, draw_mix, erase, mix
from xception.train.randaugment import DrawnOperations, apply_operations, draw_operations
from xception.train.settings import MixSettings


class Draws(NamedTuple):
    """Everything that is drawn at random for the batch of a step."""

    mirrored: Tensor | None = None
    """True for images that are mirrored from left to right, (N,)."""
    operations: tuple[DrawnOperations, ...] = ()
    """Rounds of the policy's operations."""
    erased: Tensor | None = None
    """Erased box of each image, (N, 4): left, top, right, bottom; empty for none."""
    mixed: DrawnMix | None = None


class Batch(NamedTuple):
    """The images of a step as they were prepared."""

    levels: Tensor
    """Channel values (N, C, H, W) before normalisation: 8 bits each, or float32 where preprocessing keeps fractions."""
    targets: Tensor
    """Class indices (N,) int64; of multi-label data 1 for each class of an image and 0 for the others, (N, K)."""
    draws: Draws = Draws()


@dataclass(frozen=True, kw_only=True)
class BatchAugment:
    """Random changes to whole batches, a function of seed, step and process only."""

    augment: Augment
    mix: MixSettings
    preprocess: Preprocess
    num_classes: int
    steps_per_epoch: int
    seed: int
    rank: int = 0

    def draw(self, levels: Tensor, step: int, mirrored: Tensor | None = None) -> Draws:
        """Draw the changes to the batch of step `step`."""
        rng = batch_generator(self.seed, step, self.rank)
        count, _, height, width = levels.shape
        return Draws(
            mirrored,
            draw_operations(count, self.augment, rng),
            draw_erased(count, (height, width), self.augment.erase, rng, self.augment.erase_rule),
            draw_mix(count, (height, width), self.mix.in_epoch(step // self.steps_per_epoch), rng),
        )

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalise a batch and change it as was drawn; nothing here waits for the device.

        Returns:
            Pixels (N, C, H, W) float32 in channels-last memory, and class indices (N,) or, of mixed images and of
            multi-label data, probabilities (N, K).
        """
        levels, draws = batch.levels, batch.draws
        if draws.mirrored is not None:
            levels = torch.where(draws.mirrored.view(-1, 1, 1, 1), levels.flip(-1), levels)
        changed = self._by_policy(levels, draws.operations) if draws.operations else normalize(levels, self.preprocess)
        pixels = erase(changed.contiguous(memory_format=torch.channels_last), draws.erased)
        return mix(pixels, batch.targets, self.num_classes, draws.mixed)

    def _by_policy(self, levels: Tensor, rounds: tuple[DrawnOperations, ...]) -> Tensor:
        # Operations on bits want whole numbers.
        images = levels.to(torch.float32).round().clamp(0, 255) / 255
        is_bgr = self.preprocess.color == "bgr"
        images = images.flip(1) if is_bgr else images
        for operations in rounds:
            images = apply_operations(images, operations)
        images = images.flip(1) if is_bgr else images
        _, mean, std = _statistics(self.preprocess, levels.device)
        return (images * (255 / self.preprocess.divisor) - mean) / std


def normalize(levels: Tensor, preprocess: Preprocess) -> Tensor:
    """Levels (N, C, H, W) as float32 in channels-last memory, on a CPU to the bits of `Preprocess.normalize`."""
    divisor, mean, std = _statistics(preprocess, levels.device)
    pixels = levels.to(torch.float32, memory_format=torch.channels_last, copy=True)
    if levels.device.type == "cpu":
        return pixels.div_(divisor).sub_(mean).div_(std)
    # In one pass over memory, whose last bits may differ.
    return torch.addcmul(-mean / std, pixels, 1 / (divisor * std))


@lru_cache(maxsize=8)
def _statistics(preprocess: Preprocess, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Divisor, mean and deviation on the device, each (C, 1, 1): a copy to it in every step would wait for it."""
    divisors = (preprocess.divisor,) * preprocess.channels
    rows = torch.tensor([divisors, preprocess.mean, preprocess.std], dtype=torch.float32).to(device)
    divisor, mean, std = rows.view(3, -1, 1, 1)
    return divisor, mean, std
