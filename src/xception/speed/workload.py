"""What a benchmark times: each stage of a run alone, and all of them together."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.backends.base import Logits, Session, run
from xception.bundle import Bundle, Score
from xception.data.decode import loaded_image
from xception.data.pixels import Mode
from xception.data.source import Item
from xception.errors import DecodeError, InputError
from xception.machine import cores
from xception.metrics import softmax, top_k
from xception.pipeline.overlap import overlap
from xception.pipeline.stream import LANES_A_CORE, Clocks, Failure, Scored, batched, infer
from xception.pipeline.timing import Clock, timed
from xception.tasks.evaluate import Tally, finite

MAX_HELD = 64
"""Images that stages are given from memory, or a batch for each instance if that is more: a benchmark of many takes no
more room."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """All that is fixed while one batch size is measured."""

    bundle: Bundle
    session: Session
    data: str
    items: tuple[Item, ...]
    """The images, each once."""
    is_labelled: bool
    """Whether their targets are the model's class indices."""
    images: int
    """Of one run: the items, and again from the first if there are fewer."""
    batch: int
    mode: Mode
    workers: int | None
    clock: Clock

    @property
    def lanes(self) -> int:
        """Batches in the making at once."""
        return self.workers or LANES_A_CORE * cores()

    @property
    def held(self) -> int:
        """Images for a stage alone: whole batches, and as many for each instance, so that none waits for the last."""
        turn = self.batch * self.session.instances
        step = turn if turn <= self.images else self.batch
        return max(1, min(self.images, max(MAX_HELD, turn)) // step) * step

    def infer(self, items: Iterable[Item], session: Session, clocks: Clocks | None = None) -> "Outcomes":
        """The engine at work."""
        return infer(
            items,
            self.bundle.model.preprocess,
            session,
            batch_size=self.batch,
            workers=self.lanes,
            mode=self.mode,
            clocks=clocks,
        )


Outcomes = Generator[Scored | Failure, None, None]


class Silent:
    """Stands in for a session: takes the same batches, keeps them if asked to, and answers zeros at once."""

    threads = 0

    def __init__(self, session: Session, *, instances: int, keep: bool = False) -> None:
        self.name = session.name
        self.input_shape = session.input_shape
        self.num_classes = session.num_classes
        self.batch_size = session.batch_size
        self.input_values = session.input_values
        self.instances = instances
        self.batches: list[NDArray[Any]] = []
        self._keep = keep

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        if self._keep:
            self.batches.append(pixels)
        return np.zeros((len(pixels), self.num_classes), np.float32)

    def close(self) -> None:
        self.batches.clear()


class Answers:
    """Takes each answer as evaluation does where images have labels, and as prediction does elsewhere."""

    def __init__(self, setting: Setting) -> None:
        names = setting.bundle.labels.names
        self._once, self._again = [Tally(names) if setting.is_labelled else None for _ in range(2)]
        self._setting = setting
        self._taken = 0

    def add(self, outcome: Scored | Failure) -> None:
        """Take one, in the order of the images.

        Raises:
            CheckFailed: its logits are not numbers.
        """
        tally = self._once if self._taken < len(self._setting.items) else self._again
        self._taken += 1
        if tally:
            tally.add(outcome)
        elif isinstance(outcome, Scored):
            logits = finite(outcome)[None]
            softmax(logits)
            top_k(logits, 5)

    def score(self) -> Score | None:
        """Accuracy over each image once; None without labels."""
        if not self._once:
            return None
        setting = self._setting
        names = str(setting.bundle.path), setting.data, setting.session.name
        return self._once.evaluation(*names, min(setting.images, len(setting.items))).score()


@dataclass(frozen=True)
class Pass:
    """What one run over all images gave, beside its time."""

    seen: int
    failures: Mapping[str, str]
    """Reasons by image."""
    answers_s: Sequence[float]
    """Of each image that was seen, from the start of its read to its answer."""
    clocks: Clocks
    answers: Answers


def end_to_end(setting: Setting) -> Pass:
    """One run over all images, from files to answers.

    Raises:
        CheckFailed: logits that are not numbers.
    """
    starts: dict[int, float] = {}

    def stamped(position: int, item: Item) -> Item:
        def load() -> bytes | Image.Image:
            starts[position] = setting.clock()
            return item.load()

        return replace(item, load=load)

    clocks, answers, answers_s, failures = Clocks(), Answers(setting), [], {}
    items = map(stamped, range(setting.images), cycle(setting.items))
    with closing(setting.infer(items, setting.session, clocks)) as outcomes:
        for position, outcome in enumerate(outcomes):
            with clocks["postprocess"].measure():
                answers.add(outcome)
            if isinstance(outcome, Failure):
                failures[outcome.key] = outcome.reason
            else:
                answers_s.append(setting.clock() - starts.pop(position))
    return Pass(len(answers_s), failures, answers_s, clocks, answers)


class Stages:
    """Each stage alone, with all cores, on images that are held in memory.

    Raises:
        InputError: none of the images can be read.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        size = setting.held
        readable = self._readable(setting.items[:size])
        self._items = tuple(islice(cycle(readable), size))
        self._loaded = tuple(map(_held, self._items))
        silent = self._silent(keep=True)
        drain(setting.infer(self._loaded, silent))
        self._batches = silent.batches
        self._scored = list(setting.infer(self._loaded, setting.session))

    def read(self) -> None:
        """Files into memory."""
        batches = batched(self._items, self._setting.batch)
        drain(overlap(batches, lambda items: [item.load() for item in items], workers=self._setting.lanes))

    def preprocess(self) -> None:
        """Files in memory to batches: the engine in front of a session that answers at once."""
        drain(self._setting.infer(self._loaded, self._silent()))

    def infer(self) -> list[float]:
        """Batches to logits, by as many at once as the session takes; returns the seconds of each call."""
        session, clock = self._setting.session, self._setting.clock

        def call(pixels: NDArray[Any]) -> float:
            return timed(lambda: run(session, pixels, self._setting.batch), clock).seconds

        return list(overlap(self._batches, call, workers=session.instances))

    def postprocess(self) -> None:
        """Logits to answers."""
        answers = Answers(self._setting)
        for outcome in self._scored:
            answers.add(outcome)

    def _readable(self, items: Sequence[Item]) -> list[Item]:
        outcomes = list(self._setting.infer(items, self._silent()))
        readable = [outcome.item for outcome in outcomes if isinstance(outcome, Scored)]
        if not readable:
            raise InputError(
                f"none of the first {len(items)} images of {self._setting.data} can be read, such as "
                f"{items[0].key}; expected at least one"
            )
        return readable

    def _silent(self, *, keep: bool = False) -> Silent:
        return Silent(self._setting.session, instances=self._setting.lanes, keep=keep)


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


def _held(item: Item) -> Item:
    loaded = item.load()
    return replace(item, load=lambda: loaded)
