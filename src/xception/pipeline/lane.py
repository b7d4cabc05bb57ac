"""A batch's way through all stages: read, preprocess, infer."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from threading import Semaphore
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits, Pixels, Session, run_in_batches
from xception.data.pixels import Mode, pixels
from xception.data.source import Item
from xception.errors import DecodeError
from xception.pipeline.buffers import Buffers
from xception.pipeline.cores import Cores
from xception.pipeline.overlap import overlap
from xception.pipeline.prepare import Damage, Preparation
from xception.pipeline.stopwatch import Stopwatch
from xception.preprocess import Levels, Preprocess

STAGES = ("read", "preprocess", "infer", "postprocess")


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be read or decoded, with the reason."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scored:
    """An item with its logits, (K,) float32."""

    item: Item
    logits: Logits
    warning: str | None = None
    """Damage of the file that its decoder passed over, if the lane looks for any."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An item with its pixels, (C, H, W) float32."""

    item: Item
    pixels: Pixels


@dataclass(frozen=True)
class Clocks:
    """One stopwatch per stage."""

    stages: dict[str, Stopwatch] = field(default_factory=lambda: {name: Stopwatch() for name in STAGES})

    def __getitem__(self, stage: str) -> Stopwatch:
        return self.stages[stage]


Each = Callable[..., Iterable[Any]]
"""Calls a function for each image, and gives the results in their order: `map`, or the `map` of some threads."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """The way of a batch from its files to its logits, which any number of threads may go at once.

    As many images are prepared at a time as there are cores, and as many batches are in the session as it takes. So at
    most that many threads compute, and always enough to keep the cores busy.
    """

    session: Session
    turns: Semaphore
    """Held during a call of the session, which allows this many at once; lanes of one session share them."""
    preprocess: Preprocess
    """The way from an image to the network's input."""
    mode: Mode
    """The way from a file to the pixels that are preprocessed."""
    cores: Cores
    """The cores to prepare images on; lanes that run at the same time share them."""
    clocks: Clocks
    """The stopwatches on which the time of each stage is counted."""
    damage: Damage = "ignored"
    """Treatment of damaged JPEG files; all but the first take time, and simplejpeg."""
    each: Each = map
    """The way through the images of a batch: one after another, or on several threads."""
    buffers: Buffers | None = None
    """Arrays that the images of a batch are written to; by default each batch has memory of its own."""

    @classmethod
    def of(
        cls,
        session: Session,
        preprocess: Preprocess,
        *,
        mode: Mode = "exact",
        cores: Cores | None = None,
        clocks: Clocks | None = None,
    ) -> Self:
        """A lane for a session that no other lane calls, by default with all cores and clocks of its own."""
        return cls(
            session=session,
            turns=Semaphore(session.facts.instances),
            preprocess=preprocess,
            mode=mode,
            cores=cores or Cores(),
            clocks=clocks or Clocks(),
        )

    def __call__(self, items: Sequence[Item]) -> list[Scored | Failure]:
        """Logits or a failure for every item, in their order."""
        with self.buffers.lend(len(items)) if self.buffers else nullcontext() as buffer:
            entries = list(self.each(self._entry, items, repeat(None) if buffer is None else buffer))
            outcomes: list[Scored | Failure] = list(entries)
            for places in _by_shape(entries):
                is_whole = len(places) == len(items)
                batch = (
                    np.stack([entries[place].pixels for place in places]) if buffer is None or not is_whole else buffer
                )
                for place, logits in zip(places, self.infer(batch), strict=True):
                    outcomes[place] = Scored(items[place], logits, entries[place].warning)
        return outcomes

    def infer(self, batch: NDArray[np.generic]) -> Logits:
        """Logits of images that are prepared already, as the session takes them, in turn with other batches."""
        clock = self.clocks["infer"]
        with clock.entering(self.turns), clock.measure(len(batch)):
            return run_in_batches(self.session, batch, len(batch))

    def _entry(self, item: Item, row: NDArray[Any] | None) -> "_Entry | Failure":
        """An item's image as the session takes it, written to a row of the batch if there is one."""
        try:
            with self.clocks["read"].measure():
                loaded = item.load()
            clock = self.clocks["preprocess"]
            with clock.entering(self.cores.lend()) as prepare, clock.measure():
                levels, warning = prepare(loaded, self.preparation)
                return _Entry(self._input(levels, row), warning)
        except (DecodeError, OSError) as error:
            return _failure(item, error)

    @cached_property
    def preparation(self) -> Preparation:
        """The way from a file to the pixels of an image."""
        return Preparation(preprocess=self.preprocess, mode=self.mode, damage=self.damage)

    def _input(self, levels: Levels, row: NDArray[Any] | None) -> NDArray[Any]:
        if not self.session.facts.takes_images_of(self.preprocess):
            return self.preprocess.normalize(levels, row)
        if row is None:
            return levels
        # To an array with another order of axes, numpy copies a whole image four times as slowly as its planes.
        for written, plane in zip(row, levels, strict=True):
            written[...] = plane
        return row


@dataclass(frozen=True, slots=True)
class _Entry:
    """An image as the session takes it, (C, H, W)."""

    pixels: NDArray[Any]
    warning: str | None


def prepared(
    items: Iterable[Item], preprocess: Preprocess, *, workers: int | None = None, mode: Mode = "reference"
) -> Generator[Ready | Failure, None, None]:
    """Pixels or a failure for every item, in the order of the items."""

    def prepare(item: Item) -> Ready | Failure:
        try:
            return Ready(item, preprocess.normalize(pixels(item.load(), preprocess, mode)))
        except (DecodeError, OSError) as error:
            return _failure(item, error)

    return overlap(items, prepare, workers=workers or Cores().count)


def _by_shape(entries: Sequence[_Entry | Failure]) -> list[list[int]]:
    """The places of the images of each shape."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, entry in enumerate(entries):
        if isinstance(entry, _Entry):
            shapes.setdefault(entry.pixels.shape, []).append(place)
    return list(shapes.values())


def _failure(item: Item, error: DecodeError | OSError) -> Failure:
    if isinstance(error, OSError):
        return Failure(item.key, f"cannot be read: {error.strerror or error}")
    return Failure(item.key, str(error))
