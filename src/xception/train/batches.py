"""Training batches as a pure function of the step: exact resume and any number of workers follow."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xception.data.augment import Augment, balanced_order, epoch_order, image_generator
from xception.data.decode import loaded_image
from xception.data.source import Item, Source
from xception.data.subset import share
from xception.data.training_images import ContentDigests
from xception.errors import DecodeError, InputError
from xception.pipeline.overlap import overlap
from xception.preprocess import Preprocess
from xception.train.settings import ProgressiveStage

Batch = tuple[Tensor, Tensor]
"""Pixels (N, C, H, W) float32 in channels-last memory, class indices (N,) int64."""


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """Augmented and normalised pixels of training images, a function of seed, epoch and index only."""

    augment: Augment
    preprocess: Preprocess
    """Preprocessing at full size, which validation uses too."""
    progressive: tuple[ProgressiveStage, ...] = ()
    seed: int
    own_augment: Callable[[Image.Image, np.random.Generator], Image.Image] | None = None
    """A program's own change of an image, before the others."""

    def preprocess_in(self, epoch: int) -> Preprocess:
        """The preprocessing of training images in epoch `epoch`, counted from 0."""
        stage = next((stage for stage in self.progressive if epoch < stage.until), None)
        return self.preprocess.scaled(stage.size) if stage else self.preprocess

    def pixels(self, item: Item, epoch: int, index: int) -> np.ndarray:
        """Pixels (C, H, W) float32 of sample `index` in epoch `epoch`.

        Raises:
            InputError: the image cannot be read or decoded.
        """
        try:
            loaded = item.load()
            if self.own_augment:
                loaded = self.own_augment(loaded_image(loaded), image_generator(self.seed, epoch, index))
            return self.augment.pixels(loaded, self.preprocess_in(epoch), self.seed, epoch, index)
        except (DecodeError, OSError) as error:
            raise InputError(f"training image {item.key} cannot be used: {error}; mend or remove it") from error


def steps_per_epoch(images: int, batch_size: int, *, drop_last: bool) -> int:
    """Steps of an epoch. A single image that is left joins the step before, since norms need more than one.

    With `drop_last`, what does not fill a step is left out, as long as one step can be filled.
    """
    if drop_last and images >= batch_size:
        return images // batch_size
    joins = batch_size > 1 and images > batch_size and images % batch_size == 1
    return ceil(images / batch_size) - joins


class Batches:
    """This process' share of all batches of a run, by step; the last one of an epoch holds what is left.

    Args:
        source: labelled training data.
        images: pixels of its items.
        batch_size: images per step, over all processes.
        drop_last: leave out of each epoch the images that do not fill its last step.
        sampling: `shuffled` shows every image once per epoch, `balanced` every class equally often.
        rank: number of this process, from 0.
        world: number of processes.
    """

    def __init__(
        self,
        source: Source,
        images: TrainingImages,
        *,
        batch_size: int,
        sampling: Literal["shuffled", "balanced"] = "shuffled",
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.source = source
        self.digests = ContentDigests(source)
        self.images = images
        self.batch_size = batch_size
        self.sampling = sampling
        self.rank = rank
        self.world = world
        self.drop_last = drop_last and len(source) >= batch_size
        self.per_epoch = steps_per_epoch(len(source), batch_size, drop_last=drop_last)
        self._order = lru_cache(maxsize=2)(self._ordered)

    @cached_property
    def class_counts(self) -> np.ndarray:
        """Images of each class, (K,)."""
        return np.bincount(self._targets, minlength=len(self.source.classes))

    @cached_property
    def _targets(self) -> np.ndarray:
        unlabelled = [item.key for item in self.source if item.target is None]
        if unlabelled:
            raise InputError(
                f"{len(unlabelled)} of the {len(self.source)} training images, such as {unlabelled[0]}, have no label; "
                "expected one for each"
            )
        return np.array([item.target for item in self.source])

    def _ordered(self, epoch: int) -> np.ndarray:
        if self.sampling == "balanced":
            return balanced_order(self._targets, self.images.seed, epoch)
        return epoch_order(len(self.source), self.images.seed, epoch)

    def from_step(self, first: int, last: int, workers: int) -> Generator[Batch, None, None]:
        """Batches of the steps from `first` up to but not including `last`, prepared ahead on worker threads."""
        return overlap(range(first, last), self, workers=workers)

    def indices(self, step: int) -> np.ndarray:
        """Indices of the samples in the whole batch of a step, over all processes."""
        epoch, position = divmod(step, self.per_epoch)
        start = position * self.batch_size
        is_open = position == self.per_epoch - 1 and not self.drop_last
        return self._order(epoch)[start : None if is_open else start + self.batch_size]

    def keys(self, step: int) -> list[str]:
        """Keys of the items in the whole batch of a step, over all processes."""
        return [self._item(index).key for index in self.indices(step)]

    def weight(self, step: int) -> float:
        """Weight of the mean over this process' share among those of all processes, whose mean weight is 1."""
        whole = self.indices(step)
        return len(share(whole, self.rank, self.world)) * self.world / len(whole)

    def __call__(self, step: int) -> Batch:
        epoch, whole = step // self.per_epoch, self.indices(step)
        # A process without a share computes on an image of others, with no weight: all have to take part.
        indices = share(whole, self.rank, self.world) if self.rank < len(whole) else whole[:1]
        items = [self._item(index) for index in indices]
        pixels = np.stack(
            [self.images.pixels(item, epoch, int(index)) for item, index in zip(items, indices, strict=True)]
        )
        targets = torch.tensor([item.target for item in items])
        return torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last), targets

    def _item(self, index: int) -> Item:
        # Balanced sampling counts an item's repetitions on top of its index.
        return self.digests.item(int(index) % len(self.source))
