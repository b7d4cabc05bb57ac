"""The whole runtime as a sentence: read, preprocess, batch, infer - each overlapping the next."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from xception.backends.base import Logits, Pixels, Session, run
from xception.data.decode import loaded_image
from xception.data.source import Item
from xception.errors import DecodeError
from xception.pipeline.overlap import overlap
from xception.pipeline.timing import Stopwatch
from xception.preprocess import Preprocess

STAGES = ("read", "preprocess", "infer", "postprocess")


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
    workers: int = 2,
    clocks: Clocks | None = None,
) -> Iterator[Scored | Failure]:
    """Logits or a failure for every item, in the order of the items; the last batch may be a smaller one.

    Reading and decoding run on `workers` threads, inference on one more, the consumer on its own.
    """
    clocks = clocks or Clocks()
    batch_size = session.batch_size or batch_size

    def score(group: list[Ready | Failure]) -> list[Scored | Failure]:
        return _score(group, session, clocks["infer"])

    depth = 2 * batch_size + workers
    with (
        closing(prepared(items, preprocess, workers=workers, depth=depth, clocks=clocks)) as ready,
        closing(overlap(batched(ready, batch_size), score)) as groups,
    ):
        for group in groups:
            yield from group


def prepared(
    items: Iterable[Item],
    preprocess: Preprocess,
    *,
    workers: int = 2,
    depth: int | None = None,
    clocks: Clocks | None = None,
) -> Generator[Ready | Failure, None, None]:
    """Pixels or a failure for every item, in the order of the items."""
    clocks = clocks or Clocks()

    def prepare(item: Item) -> Ready | Failure:
        try:
            with clocks["read"].measure():
                loaded = item.load()
            with clocks["preprocess"].measure():
                image = loaded_image(loaded)
                return Ready(item, preprocess(image))
        except DecodeError as error:
            return Failure(item.key, str(error))
        except OSError as error:
            return Failure(item.key, f"cannot be read: {error.strerror or error}")

    return overlap(items, prepare, workers=workers, depth=depth)


def batched(ready: Iterable[Ready | Failure], batch_size: int) -> Iterator[list[Ready | Failure]]:
    """Groups with at most `batch_size` images of one shape; failures travel along in their place."""
    group: list[Ready | Failure] = []
    shapes: list[tuple[int, ...]] = []
    for entry in ready:
        shape = entry.pixels.shape if isinstance(entry, Ready) else None
        if len(shapes) == batch_size or (shape and shapes and shape != shapes[0]):
            yield group
            group, shapes = [], []
        group.append(entry)
        if shape:
            shapes.append(shape)
    if group:
        yield group


def _score(group: list[Ready | Failure], session: Session, clock: Stopwatch) -> list[Scored | Failure]:
    images = [entry.pixels for entry in group if isinstance(entry, Ready)]
    if not images:
        return [entry for entry in group if isinstance(entry, Failure)]
    pixels = np.stack(images)
    with clock.measure(len(images)):
        rows = iter(run(session, pixels, len(images)))
    return [Scored(entry.item, next(rows)) if isinstance(entry, Ready) else entry for entry in group]
