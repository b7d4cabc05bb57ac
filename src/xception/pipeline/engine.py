"""The engine: an opened bundle that turns images into answers, on as many threads as keep the cores busy."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, NoReturn, Self, get_args

import msgspec

from xception.arguments import require_type
from xception.backends.base import (
    BACKENDS,
    BACKENDS_ELSEWHERE,
    DEFAULT_COMPUTE,
    GPU_INSTANCES,
    Compute,
    Session,
    default_backend,
    device_of,
    open_session,
)
from xception.bundle import Bundle, as_bundle
from xception.data.folder import as_items
from xception.data.memory import ImageLike
from xception.data.pixels import Mode
from xception.data.source import Item, Source
from xception.errors import UnknownName, UsageError
from xception.machine import cores
from xception.pipeline.autotune import Choice, autotune
from xception.pipeline.batches import Arrivals
from xception.pipeline.cores import Cores, processes_for
from xception.pipeline.lane import Failure, Lane, Scored
from xception.pipeline.prediction import Prediction, answered, check_threshold, check_top, prediction
from xception.pipeline.stream import OutcomePerLane, run_lanes, stream_lanes

AUTO = "auto"
"""Takes the place of a backend: the fastest way to run the bundle here, found by trying, and remembered."""

BATCH_SIZE, GPU_BATCH_SIZE = 8, 64
"""Images per inference by default, on the CPU and on a GPU."""

MAX_WAIT_S = 0.05
"""Seconds that an image of a live source waits for others by default."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A bundle loaded into a runtime. Several threads may use it at the same time.

    ```python
    with Engine.open("digits-onnx") as engine:
        for prediction in engine.predict(["3.png", "4.png"]):
            print(prediction.path, prediction.top[0].label)
    ```
    """

    bundle: Bundle
    lane: Lane
    """The stages of a batch, from files to logits."""
    batch_size: int
    """Images per inference."""
    workers: int
    """Threads of a stream, each of which reads and prepares one image at a time."""
    mode: Mode | None = None
    """Precision of the resize, if one was asked for; by default `reference` where accuracy is measured, and `exact`
    elsewhere."""
    precision: str
    """Numbers of the computation: float32, bfloat16 or int8."""
    choice: Choice | None = None
    """The result of the search for the fastest runtime and settings, if one was asked for."""
    closed: Event = field(default_factory=Event, repr=False)
    """Set once the runtime is freed, also through an engine with the same one, see `with_lane`."""

    @classmethod
    def open(
        cls,
        bundle: Bundle | str | Path,
        *,
        backend: str | None = None,
        compute: Compute = DEFAULT_COMPUTE,
        mode: Mode | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        processes: int | None = None,
        source: Source | None = None,
    ) -> Self:
        """Load a bundle into a runtime.

        Args:
            bundle: a bundle, or its folder.
            backend: a key of `BACKENDS`, by default the first that runs the bundle's form; or `auto` for the fastest
                way, which chooses `compute` and `batch_size` too.
            compute: cores and precision; by default one inference per core, since the threads of a single inference
                wait for each other, and fewer for few images.
            mode: see `Mode`; by default `reference` where accuracy is measured, and `exact` elsewhere.
            batch_size: images per inference, by default 8, or the batch size that a graph is fixed to.
            workers: threads that read and prepare images, by default one more than cores; more help if reading is slow.
            processes: processes that prepare images, so that the threads only read them; by default one per core on
                more than 4 cores for many images, else none. 0 uses threads only.
            source: the images to be processed, if they are known: the defaults of instances and processes depend on
                their number, and `auto` measures on them.

        Raises:
            InputError: no bundle, or the runtime refuses its file.
            UnknownName: no such backend or mode.
            UsageError: options that do not fit together, the machine or the bundle.
            MissingExtra: the runtime is not installed.
        """
        check_options(backend, compute, batch_size, workers, processes)
        if mode not in (None, *get_args(Mode)):
            raise UnknownName("mode", str(mode), get_args(Mode))
        opened = as_bundle(bundle)
        choice = None
        if backend == AUTO:
            choice = autotune(opened, source, mode or "exact", device=compute.device)
            backend, compute, batch_size = choice.way.backend, choice.way.compute, choice.way.batch
        elif compute.instances is None:
            name = backend or default_backend(opened.model.form)
            images = None if source is None else len(source)
            instances = _instances(compute, images, batch_size, on_gpu=device_of(name, compute) != "cpu")
            compute = msgspec.structs.replace(compute, instances=instances)
        session = open_session(opened, backend, compute)
        if processes is None:
            processes = processes_for(None if source is None else len(source))
        cores = Cores(processes=processes)
        engine = cls.of(opened, session, mode=mode, batch_size=batch_size, workers=workers, cores=cores)
        return replace(engine, precision=compute.precision or engine.precision, choice=choice)

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        session: Session,
        *,
        mode: Mode | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        cores: Cores | None = None,
    ) -> Self:
        """An engine for a session that is open already, which it will close, as it will processes of the cores."""
        lane = Lane.of(session, bundle.model.preprocess, mode=mode or "exact", cores=cores)
        default = BATCH_SIZE if session.facts.device == "cpu" else GPU_BATCH_SIZE
        return cls(
            bundle=bundle,
            lane=lane,
            batch_size=session.facts.batch_size or batch_size or default,
            workers=workers or lane.cores.workers,
            mode=mode,
            precision=bundle.model.precision,
        )

    def with_lane(self, **changes: Any) -> Self:
        """The same engine with other parts of its lane: another session around its own, preprocessing, cores, clocks.

        It is closed with this one.
        """
        return replace(self, lane=replace(self.lane, **changes))

    def judging(self) -> Self:
        """The same engine with mode `reference`, unless another mode was asked for."""
        return self if self.mode else self.with_lane(mode="reference")

    @property
    def session(self) -> Session:
        """The loaded model."""
        return self.lane.session

    def __repr__(self) -> str:
        facts = self.session.facts
        return (
            f"Engine({self.bundle.model.name!r} in {facts.name}, {self.precision}, batches of {self.batch_size}, "
            f"{facts.instances} x {facts.threads} threads)"
        )

    def __call__(self, items: Sequence[Item]) -> list[Scored | Failure]:
        """Logits or a failure for each item of one batch, in order, computed in the caller's thread."""
        return self.open_lane(items)

    @property
    def open_lane(self) -> Lane:
        """The lane of an engine that is not closed.

        Raises:
            UsageError: it is.
        """
        if self.closed.is_set():
            raise UsageError(f"the model {self.bundle.model.name!r} was closed; load it again")
        return self.lane

    def stream(
        self, items: Iterable[Item], *, batch_size: int | None = None, max_wait_s: float | None = MAX_WAIT_S
    ) -> Generator[Scored | Failure, None, None]:
        """Yield logits or a failure for every item, in order, each as soon as it exists.

        It reads only a few batches ahead of the consumer, see `batches_under_way`. An error, an interruption, or a
        consumer that stops early ends all threads.

        Args:
            items: a data set, a queue, a camera: anything that yields items, at its own pace.
            batch_size: images per inference, by default the engine's.
            max_wait_s: longest time in seconds that an item waits for others to fill its batch. None waits until the
                batch is full or the items end, so that the same items always form the same batches.
        """
        size = self.session.facts.batch_size or batch_size or self.batch_size
        if max_wait_s is None:
            yield from _of_one(run_lanes([self.open_lane], items, size, workers=self.workers))
            return
        with closing(Arrivals(items, size, max_wait_s)) as arrivals:
            outcomes = stream_lanes([self.open_lane], arrivals, size, workers=self.workers, on_done=arrivals.wake)
            yield from _of_one(outcomes)

    def run(self, items: Iterable[Item], *, share_the_end: bool = True) -> Generator[Scored | Failure, None, None]:
        """Logits or a failure for every item of a data set, in whole batches: a stream that waits for them.

        Args:
            items: the data set.
            share_the_end: divide the last images among the instances; otherwise the same items form the same batches
                for any number of instances.
        """
        lanes = run_lanes([self.open_lane], items, self.batch_size, workers=self.workers, share_the_end=share_the_end)
        return _of_one(lanes)

    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        top: int = 5,
        threshold: float | None = None,
        max_wait_s: float | None = MAX_WAIT_S,
    ) -> Generator[Prediction | Failure, None, None]:
        """Yield the answer for every image, in order, each as soon as it exists: its likeliest classes, its embedding
        if the model has no classes, or a failure.

        Args:
            images: one or several: items, paths, encoded files, Pillow images, 8-bit arrays; or a folder's path.
            top: classes per image.
            threshold: return all classes of at least this probability, which may be none, instead of the `top`
                likeliest; only for models with a sigmoid per class.
            max_wait_s: see `stream`.

        Raises:
            UsageError: `top` is no number of classes, the threshold is no probability, or the model's answers are none.
        """
        check_top(top)
        if threshold is not None:
            check_threshold(threshold, self.bundle)
        for outcome in map(answered, self.stream(as_items(images), max_wait_s=max_wait_s)):
            yield outcome if isinstance(outcome, Failure) else prediction(outcome, self.bundle, top, threshold)

    def close(self) -> None:
        """Free the runtime, and end the processes that prepare images; once is enough, and more do no harm."""
        if not self.closed.is_set():
            self.closed.set()
            self.session.close()
            self.lane.cores.close()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "an engine holds a runtime and cannot be copied or pickled; load the model by its name where it is needed, "
            "with xception.load(NAME)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def require_engine(engine: object) -> None:
    """Refuse anything but an engine.

    Raises:
        UsageError: it is something else.
    """
    require_type(engine, Engine, "the model", "xception.Engine.open(...)")


def run_side_by_side(engines: Sequence[Engine], items: Iterable[Item]) -> Generator[OutcomePerLane, None, None]:
    """The outcomes of several engines for every item of a data set, in the order of the items.

    The engines share the cores, the batches and the workers of the first, so that items wait for no slower engine.
    """
    first = engines[0]
    lanes = [replace(engine.open_lane, cores=first.lane.cores) for engine in engines]
    return run_lanes(lanes, items, first.batch_size, workers=first.workers)


def check_options(
    backend: str | None,
    compute: Compute,
    batch_size: int | None = None,
    workers: int | None = None,
    processes: int | None = None,
) -> None:
    """Refuse options that do not fit together or the machine, before any work is done.

    Raises:
        UsageError: a number below one, more threads than cores, or something that `auto` is to choose.
        UnknownName: no such backend.
    """
    require_type(compute, Compute, "compute", "xception.Compute(...)")
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; expected at least 1")
    if processes is not None and processes < 0:
        raise UsageError(f"processes is {processes}; expected 0 for threads, or the number of processes")
    instances, threads = compute.instances or 1, compute.threads or 1
    if instances * threads > cores():
        raise UsageError(
            f"{instances} instances of {threads} threads are more than the {cores()} cores of this machine, and would "
            "wait for one another; lower instances or threads"
        )
    if backend not in (None, AUTO, *BACKENDS):
        raise UnknownName("backend", str(backend), (AUTO, *BACKENDS), BACKENDS_ELSEWHERE)
    given = {**msgspec.structs.asdict(compute), "batch": batch_size}
    chosen = [name for name, value in given.items() if value is not None and name != "device"]
    if backend == AUTO and chosen:
        raise UsageError(f"the backend auto chooses {chosen[0]} itself; leave that out, or name a backend")


def _instances(compute: Compute, images: int | None, batch_size: int | None, *, on_gpu: bool) -> int:
    """One per core or set of cores, or as many as keep a GPU busy; fewer for few batches."""
    most = GPU_INSTANCES if on_gpu else cores() // (compute.threads or 1)
    size = batch_size or (GPU_BATCH_SIZE if on_gpu else BATCH_SIZE)
    return max(1, most if images is None else min(most, -(-images // size)))


def _of_one(outcomes: Generator[OutcomePerLane, None, None]) -> Generator[Scored | Failure, None, None]:
    """The outcomes of the only lane."""
    with closing(outcomes):
        for (outcome,) in outcomes:
            yield outcome
