"""A bundle that is served: its engine, its queue, and the names by which clients know it."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits, Session, SessionFacts
from xception.backends.graph_session import GraphSession
from xception.bundle import Bundle
from xception.data.source import Item
from xception.errors import EnvironmentFault, UsageError
from xception.pipeline.cores import Cores
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Clocks, Failure, Lane
from xception.serve.batcher import Batcher
from xception.serve.limits import Limits
from xception.serve.photos import SentPhoto, blank_photo, min_pixels, photo_refusal, seen_png
from xception.serve.refusal import Refusal

VERSION_CHARACTERS = 12
"""First characters of a bundle's digest that are its version: who names one is never answered by another model."""

UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)

Work = SentPhoto | NDArray[Any]
"""A photo, or pixels (C, H, W) that the client prepared."""


@dataclass(frozen=True)
class Answer:
    """The model's answer to one image."""

    logits: Logits
    """(K,), or the embedding (D,)."""
    maps: NDArray[np.float32] | None
    """(K, H', W'), where the graph has them."""
    seconds: Mapping[str, float]
    """Time by stage, of which a batch's is shared out evenly."""
    seen: bytes = b""
    """A PNG of what the network sees, if it was asked for."""


Result = Answer | Refusal


class WithMaps:
    """A session that gives a graph's class maps behind its logits, in one row (K + K * H' * W',) per image."""

    def __init__(self, session: Session, graph: GraphSession) -> None:
        self._session, self._graph = session, graph
        self.map_px: tuple[int, ...] = ()
        """(H', W'), known once the session was called."""

    @property
    def facts(self) -> SessionFacts:
        return self._session.facts

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        found = self._graph.outputs(pixels)
        maps = np.asarray(found["class_maps"], np.float32)
        self.map_px = maps.shape[2:]
        return np.concatenate((self._graph.logits(found, len(pixels)), maps.reshape(len(pixels), -1)), axis=1)

    def close(self) -> None:
        self._session.close()


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A bundle that is served."""

    name: str
    engine: Engine
    preprocess_id: str
    """A digest of the preprocessing and of the mode in which it is done."""
    max_pixels: int
    batcher: Batcher[Work, Answer]

    @classmethod
    def open(cls, name: str, engine: Engine, limits: Limits, cores: Cores, workers: int | None = None) -> "ServedModel":
        """Put a queue in front of an engine; it is closed with the model.

        Args:
            name: see `served_name`.
            engine: loaded, not used by others.
            limits: of the service.
            cores: those that all models share.
            workers: threads that take batches; by default one per core, and more where an accelerator computes.

        Raises:
            UsageError: the limits leave the model no image.
        """
        if (least := min_pixels(engine.lane.preprocess)) > limits.max_pixels:
            raise UsageError(f"--max-pixels is {limits.max_pixels:,}; expected at least {least:,} for {name}")
        session = engine.session
        if isinstance(session, GraphSession) and session.graph.class_maps:
            session = WithMaps(engine.session, session)
        engine = engine.with_lane(session=session, cores=cores)
        runner = _Runner(engine, limits.max_pixels)
        facts = session.facts
        # On a CPU a call keeps a core busy from its first image on; calls beyond that would wait inside.
        calls = cores.count if facts.threads else facts.instances + cores.workers
        batcher: Batcher[Work, Answer] = Batcher(
            runner,
            kind=_kind,
            batch_size=engine.batch_size,
            calls_at_once=workers or calls,
            max_queued=limits.max_queued,
        )
        identity = preprocess_identity(engine)
        return cls(name=name, engine=engine, preprocess_id=identity, max_pixels=limits.max_pixels, batcher=batcher)

    @property
    def bundle(self) -> Bundle:
        """The bundle."""
        return self.engine.bundle

    @property
    def digest(self) -> str:
        """The bundle's digest."""
        return self.bundle.model.digest

    @property
    def version(self) -> str:
        """The beginning of the digest."""
        return self.digest[:VERSION_CHARACTERS]

    @property
    def map_px(self) -> tuple[int, ...] | None:
        """(H', W') of the class maps; None without any."""
        session: Session = self.engine.session
        return session.map_px if isinstance(session, WithMaps) else None

    @property
    def answer_values(self) -> int:
        """Number of values that the graph gives for one image, with its class maps even if no request asks for them."""
        network = self.bundle.model.network
        return network.num_outputs + network.num_classes * prod(self.map_px or (0,))

    @property
    def input_pixels(self) -> int:
        """Pixels of an image as the network sees it; where that depends on the image, as many as this may have."""
        size = self.engine.lane.preprocess.output_px
        return prod(size) if size else self.max_pixels

    @cached_property
    def label_bytes(self) -> int:
        """Bytes of the longest label in JSON."""
        return max((len(msgspec.json.encode(name)) for name in self.bundle.labels.names), default=0)

    @property
    def is_ready(self) -> bool:
        """False after the model failed several times in a row."""
        return self.batcher.works

    def start(self) -> None:
        """Start the queue's threads, and try the model on an image, and on as many whole batches as run at once.

        So its pace is known, and what it takes of memory when it is busy.

        Raises:
            EnvironmentFault: the model fails at an image.
        """
        self.batcher.start()
        preprocess = self.engine.lane.preprocess
        photo_refusal(b"no image", preprocess, self.max_pixels)  # imports Pillow's rarer formats, which takes long
        at_once = self.batcher.calls_at_once * self.batcher.batch_size
        for images in (1, min(at_once, self.batcher.max_queued)):
            ticket = self.batcher.admit([blank_photo()] * images, timeout_s=float("inf"))
            for outcome in ticket.future.result():
                if isinstance(outcome, Refusal):
                    raise EnvironmentFault(f"{self.name} cannot answer an image that it is tried on: {outcome}")

    def close(self) -> None:
        """Answer what is due, and free the runtime."""
        self.batcher.close()
        self.engine.close()


@dataclass(frozen=True)
class _Runner:
    """One batch's way through the engine."""

    engine: Engine
    max_pixels: int

    def __call__(self, works: Sequence[Work]) -> list[Result]:
        clocks = Clocks()
        first = works[0]
        mode = (first.mode if isinstance(first, SentPhoto) else None) or self.engine.lane.mode
        lane = replace(self.engine.lane, clocks=clocks, mode=mode)
        if isinstance(first, SentPhoto):
            results = self._photos([work for work in works if isinstance(work, SentPhoto)], lane)
        else:
            results = [self._answer(row, {}) for row in lane.infer(np.stack([np.asarray(work) for work in works]))]
        spent = {stage: clocks[stage].busy_s / len(works) for stage in ("preprocess", "infer")}
        return [replace(result, seconds=spent) if isinstance(result, Answer) else result for result in results]

    def _photos(self, photos: Sequence[SentPhoto], lane: Lane) -> list[Result]:
        results: list[Result | None] = [photo_refusal(photo.data, lane.preprocess, self.max_pixels) for photo in photos]
        kept = [place for place, result in enumerate(results) if result is None]
        items = [Item(str(place), None, partial(_data, photos[place])) for place in kept]
        for place, outcome in zip(kept, lane(items) if items else [], strict=True):
            if isinstance(outcome, Failure):
                results[place] = Refusal(400, "request", f"the image cannot be used: {outcome.reason}")
            else:
                results[place] = self._answer(outcome.logits, self._seen(photos[place], lane))
        return [result for result in results if result is not None]

    @staticmethod
    def _seen(photo: SentPhoto, lane: Lane) -> dict[str, Any]:
        return {"seen": seen_png(photo.data, lane)} if photo.shown else {}

    def _answer(self, row: Logits, more: Mapping[str, Any]) -> Answer:
        outputs = self.engine.bundle.model.network.num_outputs
        session = self.engine.session
        if not isinstance(session, WithMaps):
            return Answer(row, None, {}, **more)
        return Answer(row[:outputs], row[outputs:].reshape(-1, *session.map_px), {}, **more)


def served_name(bundle: Bundle, given: str | None = None) -> str:
    """The name under which a bundle is served: a given one, or its own; fit for a path."""
    return UNSAFE.sub("-", given or bundle.model.name).strip("-.") or "model"


def preprocess_identity(engine: Engine) -> str:
    """A digest of all that decides which pixels an image becomes."""
    facts = {"preprocess": engine.lane.preprocess, "mode": engine.lane.mode}
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()[:16]


def _data(photo: SentPhoto) -> bytes:
    return photo.data


def _kind(work: Work) -> object:
    return work.mode if isinstance(work, SentPhoto) else (work.shape, work.dtype)
