"""A stream of batches: their images prepared on all cores, several batches under way, the outcomes in order."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Literal

import numpy as np

from xception.backends.base import SessionFacts, empty_batch
from xception.data.source import Item
from xception.pipeline.batches import batched
from xception.pipeline.buffers import Buffers
from xception.pipeline.lane import Failure, Lane, Scored
from xception.pipeline.overlap import Nothing, overlap
from xception.preprocess import Preprocess

OutcomePerLane = tuple[Scored | Failure, ...]
"""The outcomes of one item, one per lane."""


def run_lanes(
    lanes: Sequence[Lane], items: Iterable[Item], batch_size: int, *, workers: int, share_the_end: bool = True
) -> Generator[OutcomePerLane, None, None]:
    """The outcomes of some lanes for every item of a data set, in the order of the items; see `stream_lanes`.

    The same items always make the same batches. If they are to `share_the_end`, the last ones are smaller where
    instances would otherwise have nothing left to do while one of them computes a whole batch; if not, batches do not
    depend on the number of instances.
    """
    facts = lanes[0].session.facts
    # A graph has the size that it has, and one device computes a whole batch faster than its parts.
    at_once = facts.instances if share_the_end and facts.threads and not facts.batch_size else 1
    return stream_lanes(lanes, batched(items, batch_size, at_once), batch_size, workers=workers)


def stream_lanes(
    lanes: Sequence[Lane],
    batches: Iterable[Sequence[Item] | Literal[Nothing.NOTHING]],
    batch_size: int,
    *,
    workers: int,
    on_done: Callable[[], object] = lambda: None,
) -> Generator[OutcomePerLane, None, None]:
    """The outcomes of some lanes for every item, in the order of the items, as soon as its batch is done.

    Args:
        lanes: the first decides on how many batches are under way.
        batches: of at most `batch_size` items, taken on the consumer's thread.
        batch_size: images that every array has room for.
        workers: threads that read and prepare images.
        on_done: see `overlap`.
    """
    at_once = batches_under_way(lanes[0].session.facts, workers, batch_size)
    with _spread(lanes, workers, batch_size) as spread:

        def outcomes(batch: Sequence[Item]) -> list[OutcomePerLane]:
            return list(zip(*(lane(batch) for lane in spread), strict=True))

        with closing(overlap(batches, outcomes, workers=at_once, on_done=on_done)) as done:
            for batch in done:
                yield from batch


def batches_under_way(facts: SessionFacts, workers: int, batch_size: int) -> int:
    """The batches that a stream holds in memory at a time: one for every instance of the session, and as many more as
    give every worker an image to prepare, so that neither waits for the other."""
    return facts.instances + -(-workers // batch_size)


@contextmanager
def _spread(lanes: Sequence[Lane], workers: int, batch_size: int) -> Iterator[list[Lane]]:
    """The same lanes for the time of a stream: they prepare images one by one on threads that they share, in arrays
    that are freed at its end."""
    with ThreadPoolExecutor(workers, thread_name_prefix="overlap-images") as threads:
        yield [
            replace(lane, each=threads.map, buffers=_buffers(lane.session.facts, lane.preprocess, batch_size))
            for lane in lanes
        ]


def _buffers(facts: SessionFacts, preprocess: Preprocess, batch_size: int) -> Buffers | None:
    """Arrays for batches as a session takes them; None where the images differ in size."""
    if preprocess.output_px is None:
        return None
    height_px, width_px = preprocess.output_px
    dtype = np.uint8 if facts.takes_images_of(preprocess) else np.float32
    return Buffers(lambda count: empty_batch(facts, count, height_px, width_px, dtype), batch_size)
