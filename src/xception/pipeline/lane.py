"""A batch's way through all stages: read, preprocess, infer."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Semaphore
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.backends.base import Logits, Pixels, Session, run_in_batches
from xception.data.damage import libjpeg_warning
from xception.data.pixels import Mode, pixels
from xception.data.source import Item
from xception.errors import DecodeError
from xception.pipeline.cores import Cores
from xception.pipeline.overlap import overlap
from xception.pipeline.stopwatch import Stopwatch
from xception.preprocess import Levels, Preprocess

STAGES = ("read", "preprocess", "infer", "postprocess")

WORKERS_PER_CORE = 2
"""Threads that go the lane by default: one reads while the other computes."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be read or decoded, and why."""

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


Damage = Literal["ignored", "noted", "refused"]
"""Treatment of JPEG files that can be decoded and of which libjpeg warns."""


@dataclass(frozen=True)
class Clocks:
    """One stopwatch per stage."""

    stages: dict[str, Stopwatch] = field(default_factory=lambda: {name: Stopwatch() for name in STAGES})

    def __getitem__(self, stage: str) -> Stopwatch:
        return self.stages[stage]


@dataclass(frozen=True, kw_only=True)
class Lane:
    """The way of a batch from its files to its logits, which any number of threads may go at once.

    A thread holds a core while it prepares images, and as many as the session's threads while it infers; one that
    reads, or waits for an accelerator, holds none. So the cores are always busy and never oversubscribed.
    """

    session: Session
    turns: Semaphore
    """Held during a call of the session, which takes so many at once; lanes of one session share them."""
    preprocess: Preprocess
    """The way from an image to the network's input."""
    mode: Mode
    """The way from a file to the pixels that are preprocessed."""
    cores: Cores
    """The cores to use; lanes that run at the same time share them."""
    clocks: Clocks
    """The stopwatches on which the time of each stage is counted."""
    damage: Damage = "ignored"
    """Treatment of damaged JPEG files; all but the first take time, and simplejpeg."""

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
        loaded = [self._read(item) for item in items]
        with self.clocks["preprocess"].entering(self.cores.lend()):
            warnings = [self._warning(file) for file in loaded]
            images = [self._prepare(*given) for given in zip(items, loaded, warnings, strict=True)]
            groups = [(places, self._stack(images, places)) for places in _by_shape(images)]
        outcomes: dict[int, Scored | Failure] = {
            place: image for place, image in enumerate(images) if isinstance(image, Failure)
        }
        for places, batch in groups:
            for place, logits in zip(places, self.infer(batch), strict=True):
                outcomes[place] = Scored(items[place], logits, warnings[place])
        return [outcomes[place] for place in range(len(items))]

    def _read(self, item: Item) -> bytes | Image.Image | Failure:
        try:
            with self.clocks["read"].measure():
                return item.load()
        except (DecodeError, OSError) as error:
            return _failure(item, error)

    def _warning(self, loaded: bytes | Image.Image | Failure) -> str | None:
        return libjpeg_warning(loaded) if self.damage != "ignored" and isinstance(loaded, bytes) else None

    def _prepare(self, item: Item, loaded: bytes | Image.Image | Failure, warning: str | None) -> Levels | Failure:
        if isinstance(loaded, Failure):
            return loaded
        if warning and self.damage == "refused":
            return Failure(item.key, warning)
        try:
            with self.clocks["preprocess"].measure():
                return pixels(loaded, self.preprocess, self.mode)
        except DecodeError as error:
            return _failure(item, error)

    def _stack(self, images: Sequence[Levels | Failure], places: Sequence[int]) -> Levels:
        """The images at some places as the session takes them."""
        with self.clocks["preprocess"].measure(images=0):
            kept = [image for place in places if not isinstance(image := images[place], Failure)]
            batch = cast(Levels, np.stack(kept))
            return batch if self.session.facts.takes_images_of(self.preprocess) else self.preprocess.normalize(batch)

    def infer(self, batch: NDArray[np.generic]) -> Logits:
        """Logits of images that are prepared already, as the session takes them, in turn with other batches."""
        clock, threads = self.clocks["infer"], self.session.facts.threads
        with clock.entering(self.turns), clock.entering(self.cores.lend(threads)), clock.measure(len(batch)):
            return run_in_batches(self.session, batch, len(batch))


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


def _by_shape(images: Sequence[Levels | Failure]) -> list[list[int]]:
    """The places of the images of each shape."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        if not isinstance(image, Failure):
            shapes.setdefault(image.shape, []).append(place)
    return list(shapes.values())


def _failure(item: Item, error: DecodeError | OSError) -> Failure:
    if isinstance(error, OSError):
        return Failure(item.key, f"cannot be read: {error.strerror or error}")
    return Failure(item.key, str(error))
