"""The work that a benchmark times: each stage of a run by itself, and all of them together."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.backends.base import Logits, Session, run_in_batches
from xception.bundle import Score
from xception.data.decode import loaded_image
from xception.data.source import Item
from xception.errors import DecodeError, InputError
from xception.metrics import probabilities, top_k
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Clocks, Failure, Lane, Scored
from xception.pipeline.overlap import overlap
from xception.pipeline.timing import Clock, timed
from xception.tasks.tally import Tally, finite_logits

MAX_PRELOADED = 64
"""Stages run on at most this many images in memory, or on one batch per instance if that is more."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """All that is fixed while one batch size is measured."""

    engine: Engine
    """The opened model at this batch size."""
    data: str
    """Name of the data set."""
    items: tuple[Item, ...]
    """The images, each once."""
    is_labelled: bool
    """True if the items' targets are the model's class indices."""
    images_per_run: int
    """Items repeat from the first if there are fewer."""
    clock: Clock

    @property
    def session(self) -> Session:
        """The model that is measured."""
        return self.engine.session

    @property
    def preloaded(self) -> int:
        """Images in memory for one stage by itself: whole batches, and equally many for each instance, so that none
        waits for the last."""
        batch = self.engine.batch_size
        turn = batch * self.session.facts.instances
        step = turn if turn <= self.images_per_run else batch
        return max(1, min(self.images_per_run, max(MAX_PRELOADED, turn)) // step) * step

    def around(self, session: "NullSession") -> Engine:
        """The same engine in front of a session that answers at once."""
        lane = self.engine.lane
        return replace(self.engine, lane=Lane.of(session, lane.preprocess, mode=lane.mode, cores=lane.cores))


class NullSession:
    """Stands in for a session: takes the same batches, keeps them if asked to, and answers zeros at once."""

    def __init__(self, session: Session, *, instances: int, keep: bool = False) -> None:
        self.facts = replace(session.facts, instances=instances, threads=0)
        self.batches: list[NDArray[Any]] = []
        self._keep = keep

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        if self._keep:
            # The engine fills its arrays again.
            self.batches.append(pixels.copy())
        return np.zeros((len(pixels), self.facts.num_outputs), np.float32)

    def close(self) -> None:
        self.batches.clear()


class Postprocessing:
    """The last stage: counts each answer as evaluation does where images have labels, and ranks it as prediction does
    elsewhere."""

    def __init__(self, workload: Workload) -> None:
        bundle = workload.engine.bundle
        names, self._activation = bundle.labels.names, bundle.model.activation
        self._first, self._repeated = [
            Tally(names, activation=self._activation) if workload.is_labelled else None for _ in range(2)
        ]
        self._workload = workload
        self._taken = 0

    def add(self, outcome: Scored | Failure) -> None:
        """Take one outcome, in the order of the images.

        Raises:
            CheckFailed: its logits are not numbers.
        """
        tally = self._first if self._taken < len(self._workload.items) else self._repeated
        self._taken += 1
        if tally:
            tally.add(outcome)
        elif isinstance(outcome, Scored):
            logits = finite_logits(outcome)[None]
            if self._activation != "none":
                probabilities(logits, self._activation)
            top_k(logits, 5)

    def score(self) -> Score | None:
        """Accuracy over each image once; None without labels."""
        if not self._first:
            return None
        workload = self._workload
        names = str(workload.engine.bundle.path), workload.data, workload.session.facts.name
        return self._first.evaluation(*names, min(workload.images_per_run, len(workload.items))).score()


@dataclass(frozen=True)
class Pass:
    """The results of one run over all images, apart from its time."""

    seen: int
    failures: Mapping[str, str]
    """Reasons by image."""
    answers_s: Sequence[float]
    """Seconds of each image that was seen, from the start of its read to its answer."""
    clocks: Clocks
    answers: Postprocessing


def end_to_end(workload: Workload) -> Pass:
    """Run once over all images, from files to answers.

    Raises:
        CheckFailed: logits that are not numbers.
    """
    starts: dict[int, float] = {}

    def stamped(position: int, item: Item) -> Item:
        def load() -> bytes | Image.Image:
            starts[position] = workload.clock()
            return item.load()

        return replace(item, load=load)

    clocks, answers, answers_s, failures = Clocks(), Postprocessing(workload), [], {}
    items = map(stamped, range(workload.images_per_run), cycle(workload.items))
    with closing(workload.engine.with_lane(clocks=clocks).run(items)) as outcomes:
        for position, outcome in enumerate(outcomes):
            with clocks["postprocess"].measure():
                answers.add(outcome)
            if isinstance(outcome, Failure):
                failures[outcome.key] = outcome.reason
            else:
                answers_s.append(workload.clock() - starts.pop(position))
    return Pass(len(answers_s), failures, answers_s, clocks, answers)


class Stages:
    """Each stage by itself, with all cores, on images that are held in memory.

    Raises:
        InputError: none of the images can be read.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        size = workload.preloaded
        readable = self._readable(workload.items[:size])
        self._items = tuple(islice(cycle(readable), size))
        self._loaded = tuple(map(_preloaded, self._items))
        null = self._null_session(keep=True)
        drain(workload.around(null).run(self._loaded))
        self._batches = null.batches
        self._scored = list(workload.engine.run(self._loaded))

    def read(self) -> None:
        """Files into memory."""
        drain(overlap(self._items, lambda item: item.load(), workers=self._workload.engine.workers))

    def preprocess(self) -> None:
        """Files in memory to batches: the engine in front of a session that answers at once."""
        drain(self._workload.around(self._null_session()).run(self._loaded))

    def infer(self) -> list[float]:
        """Batches to logits, by as many at once as the session takes; returns the seconds of each call."""
        session, clock = self._workload.session, self._workload.clock

        def call(pixels: NDArray[Any]) -> float:
            return timed(lambda: run_in_batches(session, pixels, self._workload.engine.batch_size), clock).seconds

        return list(overlap(self._batches, call, workers=session.facts.instances))

    def postprocess(self) -> None:
        """Turn logits into answers."""
        answers = Postprocessing(self._workload)
        for outcome in self._scored:
            answers.add(outcome)

    def _readable(self, items: Sequence[Item]) -> list[Item]:
        outcomes = list(self._workload.around(self._null_session()).run(items))
        readable = [outcome.item for outcome in outcomes if isinstance(outcome, Scored)]
        if not readable:
            raise InputError(
                f"none of the first {len(items)} images of {self._workload.data} can be read, such as "
                f"{items[0].key}; expected at least one"
            )
        return readable

    def _null_session(self, *, keep: bool = False) -> NullSession:
        return NullSession(self._workload.session, instances=self._workload.engine.workers, keep=keep)


def first_image(items: Iterable[Item], data: str) -> tuple[bytes | Image.Image, Image.Image]:
    """The first image that can be read: as its item gives it, and decoded.

    Raises:
        InputError: none of them can.
    """
    for item in items:
        try:
            loaded = item.load()
            return loaded, loaded_image(loaded)
        except (DecodeError, OSError):
            continue
    raise InputError(f"none of the images of {data} can be read; expected at least one")


def drain(results: Iterable[object]) -> None:
    """Go through all of them."""
    for _ in results:
        pass


def _preloaded(item: Item) -> Item:
    loaded = item.load()
    return replace(item, load=lambda: loaded)
