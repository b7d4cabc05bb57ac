"""The options of all verbs that run a model: on which runtime, and on how much of the machine."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from xception.backends.base import BACKENDS, Arithmetic, Compute, Session, open_session
from xception.bundle import Bundle
from xception.cli.output import say
from xception.data.pixels import Mode
from xception.data.source import Source
from xception.errors import UnknownName, UsageError
from xception.machine import cores
from xception.pipeline.autotune import fastest
from xception.pipeline.stream import Feed

AUTO = "auto"


@dataclass(frozen=True)
class Running:
    """An open session, and how to feed it."""

    session: Session
    feed: Feed
    precision: str
    """What it computes in."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What a model runs on."""

    backend: Annotated[
        str | None,
        Parameter(
            help="torch, onnxruntime, openvino or litert, or auto: the fastest one here, found by trying and "
            "remembered; by default the one for the bundle's form."
        ),
    ] = None
    workers: Annotated[
        int | None,
        Parameter(help="Images or batches in the making, by default two a core; more where reading is slow."),
    ] = None
    instances: Annotated[int | None, Parameter(help="Inferences at once, by default one a core.")] = None
    threads: Annotated[int | None, Parameter(help="Cores of one inference, by default an even share.")] = None
    precision: Annotated[
        Arithmetic | None, Parameter(help="What float32 files are computed in, by default float32.")
    ] = None
    pixels: Annotated[
        Mode | None,
        Parameter(
            help="How images become pixels. reference: as published, to the bit; exact: within one 8-bit step of it; "
            "fast: from JPEG files that are decoded no finer than needed. By default reference where answers are "
            "judged and exact where they are used."
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Engine(Runtime):
    """How the machine is used."""

    batch: Annotated[
        int | None, Parameter(help="Images in one inference, 8 by default; the result does not depend on it.")
    ] = None

    @contextmanager
    def opened(self, bundle: Bundle, source: Source, *, pixels: Mode) -> Iterator[Running]:
        """A session for the images of a source, with `pixels` unless another mode was asked for.

        Raises:
            UsageError: options that make no sense, or not together.
        """
        self.check()
        mode = self.pixels or pixels
        batch, compute, backend = self.batch or 8, self._compute(len(source)), self.backend
        if backend == AUTO:
            choice = fastest(bundle, source, mode)
            say(f"auto: {choice.sentence()}")
            batch, compute, backend = choice.way.batch, choice.way.compute, choice.way.backend
        with closing(open_session(bundle, backend, compute)) as session:
            feed = Feed(batch_size=batch, workers=self.workers, mode=mode)
            yield Running(session, feed, compute.precision or bundle.model.precision)

    def check(self) -> None:
        """Refuse before the work what makes no sense.

        Raises:
            UsageError: see there.
        """
        for name in ("batch", "workers", "instances", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} {value} makes no sense; expected at least 1")
        if (self.instances or 1) * (self.threads or 1) > cores():
            raise UsageError(
                f"{self.instances or 1} instances of {self.threads or 1} threads are more than the {cores()} cores "
                "that there are, and would wait for one another; lower --instances or --threads"
            )
        if self.backend not in (None, AUTO, *BACKENDS):
            raise UnknownName("backend", str(self.backend), (AUTO, *BACKENDS))
        given = [name for name in ("batch", "instances", "threads", "precision") if getattr(self, name) is not None]
        if self.backend == AUTO and given:
            raise UsageError(f"--backend auto chooses --{given[0]} itself; leave that out, or name a backend")

    def _compute(self, images: int) -> Compute:
        """One core an instance, as no inference then waits for a slower part of itself; fewer for few images."""
        batches = -(-images // (self.batch or 8))
        instances = self.instances or max(1, min(cores() // (self.threads or 1), batches))
        return Compute(instances=instances, threads=self.threads, precision=self.precision)


DEFAULT_ENGINE = Engine()
