"""Training batches as a pure function of the step: exact resume and any number of workers follow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xception.data.augment import Augment, balanced_order, epoch_order, image_generator
from xception.data.decode import loaded_image
from xception.data.source import Item, Lazy, Source, Target, indices_of, insisting, is_multi_label
from xception.data.subset import share
from xception.data.training_images import ContentDigests
from xception.errors import DecodeError, EnvironmentFault, InputError
from xception.preprocess import Levels, Preprocess
from xception.train.batch_augment import Batch, BatchAugment
from xception.train.settings import ProgressiveStage


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """Augmented training images before they are normalised, a function of seed, epoch and index only."""

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

    def levels(self, item: Item, epoch: int, index: int) -> tuple[Levels, bool]:
        """Levels (C, H, W) of sample `index` in epoch `epoch`, and True if they are still to be mirrored.

        Raises:
            InputError: the image cannot be read or decoded.
            EnvironmentFault: the server that has it does not answer.
        """
        try:
            loaded = insisting(item).load()
            if self.own_augment:
                loaded = self.own_augment(loaded_image(loaded), image_generator(self.seed, epoch, index))
            return self.augment.levels(loaded, self.preprocess_in(epoch), self.seed, epoch, index)
        except (DecodeError, OSError) as error:
            raise InputError(
                f"training image {item.key} cannot be used: {error}; repair it and --resume, or begin a new run with "
                "--set data.skip_damaged=true"
            ) from error
        except EnvironmentFault as error:
            raise EnvironmentFault(
                f"training image {item.key} cannot be fetched: {error}; --resume continues from the last saved state"
            ) from error


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
        images: levels of its items.
        augment: changes to whole batches.
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
        augment: BatchAugment,
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
        self.augment = augment
        self.batch_size = batch_size
        self.sampling = sampling
        self.rank = rank
        self.world = world
        self.drop_last = drop_last and len(source) >= batch_size
        self.per_epoch = steps_per_epoch(len(source), batch_size, drop_last=drop_last)
        self._orders: dict[int, np.ndarray] = {}

    @cached_property
    def class_counts(self) -> np.ndarray:
        """Images of each class, (K,)."""
        places = [index for target in self._targets for index in indices_of(target)]
        return np.bincount(np.array(places, np.int64), minlength=len(self.source.classes))

    @cached_property
    def multi_label(self) -> bool:
        """True if images may have several classes each."""
        return is_multi_label(self.source)

    @cached_property
    def _targets(self) -> list[Target]:
        unlabelled = [item.key for item in self.source if item.target is None]
        if unlabelled:
            raise InputError(
                f"{len(unlabelled)} of the {len(self.source)} training images, such as {unlabelled[0]}, have no label; "
                "expected one for each"
            )
        return [item.target for item in self.source if item.target is not None]

    def _order(self, epoch: int) -> np.ndarray:
        order = self._orders.get(epoch)
        if order is None:
            order = self._ordered(epoch)
            # Of two epochs, since batches are prepared ahead; replaced as a whole, since threads look at it.
            self._orders = dict([*self._orders.items()][-1:]) | {epoch: order}
        return order

    def _ordered(self, epoch: int) -> np.ndarray:
        if self.sampling == "balanced":
            return balanced_order(np.array(self._targets), self.images.seed, epoch)
        return epoch_order(len(self.source), self.images.seed, epoch)

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
        """Prepare the batch of a step.

        Raises:
            InputError: one of its images cannot be read or decoded.
            EnvironmentFault: the server that has it does not answer.
        """
        epoch, indices = step // self.per_epoch, self.own_indices(step)
        if isinstance(self.source, Lazy):
            self.source.fetch_ahead(self.places(step).tolist())
        items = [self._item(index) for index in indices]
        first, is_mirrored = self.images.levels(items[0], epoch, int(indices[0]))
        levels = np.empty((len(items), *first.shape), first.dtype)
        levels[0], mirrored = first, [is_mirrored]
        for place, (item, index) in enumerate(zip(items[1:], indices[1:], strict=True), 1):
            levels[place], is_mirrored = self.images.levels(item, epoch, int(index))
            mirrored.append(is_mirrored)
        stacked = torch.from_numpy(levels)
        draws = self.augment.draw(stacked, step, torch.tensor(mirrored) if any(mirrored) else None)
        return Batch(stacked, self._stacked([item.target for item in items]), draws)

    def _stacked(self, targets: Sequence[Target | None]) -> Tensor:
        """Class indices (N,), or of multi-label data 1 for each class of an image and 0 for the others, (N, K)."""
        if not self.multi_label:
            return torch.tensor(targets)
        rows = torch.zeros(len(targets), len(self.source.classes))
        for row, target in zip(rows, targets, strict=True):
            row[list(indices_of(target))] = 1
        return rows

    def own_indices(self, step: int) -> np.ndarray:
        """Indices of the samples in this process' share of a step."""
        whole = self.indices(step)
        # A process without a share computes on an image of others, with no weight: all have to take part.
        return share(whole, self.rank, self.world) if self.rank < len(whole) else whole[:1]

    def places(self, step: int) -> np.ndarray:
        """Places in the source of the images in this process' share of a step."""
        # Balanced sampling counts an item's repetitions on top of its index.
        return self.own_indices(step) % len(self.source)

    def _item(self, index: int) -> Item:
        return self.digests.item(int(index) % len(self.source))
