"""Training batches as a pure function of the step: exact resume and any number of workers follow."""

import hashlib
from collections.abc import Iterator
from functools import cached_property, lru_cache
from math import ceil

import numpy as np
import torch
from torch import Tensor

from xception.data.augment import balanced_order, epoch_order
from xception.data.source import Item, Source
from xception.data.subset import share
from xception.errors import DecodeError, InputError
from xception.pipeline.overlap import overlap
from xception.train.recipe import Recipe

Batch = tuple[Tensor, Tensor]
"""Pixels (N, C, H, W) float32 in channels-last memory, class indices (N,) int64."""


class Batches:
    """This process' share of all batches of a run, by step; the last one of an epoch holds what is left."""

    def __init__(self, source: Source, recipe: Recipe, rank: int = 0, world: int = 1) -> None:
        self.source = source
        self.recipe = recipe
        self.rank = rank
        self.world = world
        self.per_epoch = ceil(len(source) / recipe.batch_size)
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
        if self.recipe.sampling == "balanced":
            return balanced_order(self._targets, self.recipe.seed, epoch)
        return epoch_order(len(self.source), self.recipe.seed, epoch)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the classes and over every item's key and target, in order."""
        digest = hashlib.sha256("\n".join(self.source.classes).encode())
        for item in self.source:
            digest.update(f"\n{item.key}\t{item.target}".encode())
        return digest.hexdigest()

    def from_step(self, first: int, last: int, workers: int) -> Iterator[Batch]:
        """Batches of steps `first` to `last`, not included, made ahead on worker threads."""
        return overlap(range(first, last), self, workers=workers)

    def indices(self, step: int) -> np.ndarray:
        """Which samples the whole batch of a step holds, over all processes."""
        epoch, position = divmod(step, self.per_epoch)
        start = position * self.recipe.batch_size
        return self._order(epoch)[start : start + self.recipe.batch_size]

    def keys(self, step: int) -> list[str]:
        """The items of the whole batch of a step, by name."""
        return [self._item(index).key for index in self.indices(step)]

    def weight(self, step: int) -> float:
        """What the mean over this process' share counts beside those of the others, whose mean weight is 1."""
        whole = self.indices(step)
        return len(share(whole, self.rank, self.world)) * self.world / len(whole)

    def __call__(self, step: int) -> Batch:
        epoch, whole = step // self.per_epoch, self.indices(step)
        # A process without a share computes on an image of others, with no weight: all have to take part.
        indices = share(whole, self.rank, self.world) if self.rank < len(whole) else whole[:1]
        items = [self._item(index) for index in indices]
        pixels = np.stack([self._pixels(item, epoch, int(index)) for item, index in zip(items, indices, strict=True)])
        targets = torch.tensor([item.target for item in items])
        return torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last), targets

    def _item(self, index: int) -> Item:
        # Balanced sampling counts an item's repetitions on top of its index.
        return self.source[int(index) % len(self.source)]

    def _pixels(self, item: Item, epoch: int, index: int) -> np.ndarray:
        try:
            preprocess = self.recipe.preprocess_in(epoch)
            return self.recipe.augment.pixels(item.load(), preprocess, self.recipe.seed, epoch, index)
        except (DecodeError, OSError) as error:
            raise InputError(f"training image {item.key} cannot be used: {error}; mend or remove it") from error
