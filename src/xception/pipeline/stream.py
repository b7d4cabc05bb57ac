"""The whole runtime as a sentence: read, preprocess and infer a batch - on as many lanes as keep the cores busy."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from threading import Semaphore
from typing import TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.backends.base import Logits, Pixels, Session, run
from xception.data.pixels import Mode, pixels
from xception.data.source import Item
from xception.errors import DecodeError
from xception.pipeline.cores import Cores
from xception.pipeline.overlap import overlap
from xception.pipeline.stopwatch import Stopwatch
from xception.preprocess import Preprocess

T = TypeVar("T")

STAGES = ("read", "preprocess", "infer", "postprocess")

LANES_A_CORE = 2
"""Lanes that a core serves by default: while one computes, the other one reads."""


class Feed(TypedDict, total=False):
    """How images come to a session, as all tasks pass it on to `infer`, which has the defaults."""

    batch_size: int
    workers: int | None
    mode: Mode


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


@dataclass(frozen=True, slots=True)
class Ready:
    """An item with its pixels, (C, H, W) float32."""

    item: Item
    pixels: Pixels


@dataclass(frozen=True)
class Clocks:
    """A stopwatch a stage."""

    stages: dict[str, Stopwatch] = field(default_factory=lambda: {name: Stopwatch() for name in STAGES})

    def __getitem__(self, stage: str) -> Stopwatch:
        return self.stages[stage]


def infer(
    items: Iterable[Item],
    preprocess: Preprocess,
    session: Session,
    *,
    batch_size: int = 8,
    workers: int | None = None,
    mode: Mode = "reference",
    cores: Cores | None = None,
    clocks: Clocks | None = None,
) -> Generator[Scored | Failure, None, None]:
    """Logits or a failure for every item, in the order of the items; a batch is `batch_size` items in a row.

    Each of `workers` lanes takes a batch through all stages. It holds a core while it prepares the images, and as
    many as the session's threads while it infers, so that the cores are always busy and never oversubscribed; a lane
    that reads, or waits for an accelerator, holds none.

    Args:
        items: what to read.
        preprocess: how an image becomes the network's input.
        session: the network; batches of a fixed size are filled up.
        batch_size: images in one inference; the session's own, if it has one, goes before.
        workers: lanes; by default two a core.
        mode: see `Mode`.
        cores: the cores to use, if several runs are to share them.
        clocks: where the time of each stage is counted.
    """
    cores = cores or Cores()
    lane = _Lane(preprocess, session, mode, cores, clocks or Clocks())
    batches = batched(items, session.batch_size or batch_size)
    with closing(overlap(batches, lane, workers=workers or LANES_A_CORE * cores.count)) as outcomes:
        for batch in outcomes:
            yield from batch


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


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`size` items in a row at a time; the last time as many as there are."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class _Lane:
    """A batch's way through all stages; several threads go it at once."""

    def __init__(self, preprocess: Preprocess, session: Session, mode: Mode, cores: Cores, clocks: Clocks) -> None:
        self._preprocess = preprocess
        self._session = session
        self._mode = mode
        self._cores = cores
        self._clocks = clocks
        self._turns = Semaphore(session.instances)

    def __call__(self, items: Sequence[Item]) -> list[Scored | Failure]:
        loaded = [self._read(item) for item in items]
        with self._clocks["preprocess"].entering(self._cores.lend()):
            images = [self._prepared(item, file) for item, file in zip(items, loaded, strict=True)]
            groups = [(places, self._input(images, places)) for places in _alike(images)]
        outcomes: dict[int, Scored | Failure] = {
            place: image for place, image in enumerate(images) if isinstance(image, Failure)
        }
        for places, batch in groups:
            for place, logits in zip(places, self._inferred(batch), strict=True):
                outcomes[place] = Scored(items[place], logits)
        return [outcomes[place] for place in range(len(items))]

    def _read(self, item: Item) -> bytes | Image.Image | Failure:
        try:
            with self._clocks["read"].measure():
                return item.load()
        except (DecodeError, OSError) as error:
            return _failure(item, error)

    def _prepared(self, item: Item, loaded: bytes | Image.Image | Failure) -> NDArray[np.uint8] | Failure:
        if isinstance(loaded, Failure):
            return loaded
        try:
            with self._clocks["preprocess"].measure():
                return pixels(loaded, self._preprocess, self._mode)
        except DecodeError as error:
            return _failure(item, error)

    def _input(self, images: Sequence[NDArray[np.uint8] | Failure], places: Sequence[int]) -> NDArray[np.generic]:
        """The images at some places as the session takes them."""
        with self._clocks["preprocess"].measure(images=0):
            batch = np.stack([image for place in places if not isinstance(image := images[place], Failure)])
            return batch if self._session.input_values == "image" else self._preprocess.normalize(batch)

    def _inferred(self, batch: NDArray[np.generic]) -> Logits:
        clock, threads = self._clocks["infer"], self._session.threads
        with clock.entering(self._turns), clock.entering(self._cores.lend(threads)), clock.measure(len(batch)):
            return run(self._session, batch, len(batch))


def _alike(images: Sequence[NDArray[np.uint8] | Failure]) -> list[list[int]]:
    """The places of images of one shape, for each shape."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        if not isinstance(image, Failure):
            shapes.setdefault(image.shape, []).append(place)
    return list(shapes.values())


def _failure(item: Item, error: DecodeError | OSError) -> Failure:
    if isinstance(error, OSError):
        return Failure(item.key, f"cannot be read: {error.strerror or error}")
    return Failure(item.key, str(error))
