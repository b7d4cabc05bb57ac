"""The speed of a bundle on this machine: each stage by itself on all cores, and all of them overlapping."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Literal

import msgspec

from xception.backends.base import BACKENDS, Session
from xception.bundle import Bundle, Score
from xception.data.pixels import Mode
from xception.data.source import Item, Source, require_source
from xception.errors import InputError, UsageError
from xception.machine import fingerprint, peak_memory_bytes
from xception.pipeline.engine import Engine, require_engine
from xception.pipeline.lane import STAGES
from xception.pipeline.timing import Clock, Latency, Rate, Rounds, Timed, bound, interleaved, latency, rate
from xception.speed.race import Race
from xception.speed.self_audit import Audit
from xception.speed.startup import Startup
from xception.speed.workload import Pass, Stages, Workload, end_to_end
from xception.tasks.evaluation import FailedImage
from xception.tasks.targets import relabelled

MIN_IMAGES, MIN_BATCHES_PER_INSTANCE = 64, 4
"""Images of one round where the caller asks for no number: the larger of the two."""

WARMUP, REPEATS = 1, 5
"""Rounds that do not count, and rounds that do."""


class Stage(Rate, frozen=True, kw_only=True):
    """The rate of the stage by itself with all cores, and its part in the run from end to end.

    Shares are fractions of the time of all workers; for `postprocess`, of the one thread that it has.
    """

    busy: float
    """Share of the time in which a worker is in this stage."""
    waiting: float
    """Share of the time in which a worker waits to begin it, because the cores or the session are taken."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size."""

    batch: int
    backend: str
    precision: str
    images: int
    """Images per round from end to end."""
    failed: int
    """Images among these that could not be read; no rate counts them."""
    stages: dict[str, Stage]
    end_to_end: Rate
    latency_ms: Latency
    """Time of one batch in the runtime."""
    answer_ms: Latency
    """Latency of one image under full load, from the start of reading to its answer."""
    bottleneck: str
    """The slowest stage."""
    bound_images_per_second: float
    """Rate that the stages allow together."""
    bound_by: Literal["shared cores", "slowest stage"]
    """`shared cores` where all stages compute on the same cores, see `bound`; `slowest stage` where an accelerator
    leaves the cores to the other stages."""
    efficiency: float
    """End to end over the bound; both have a spread."""
    accuracy: Score | None
    """Accuracy in the last round that was timed, over each image once; None without labels that the model knows."""
    peak_memory_bytes: int | None
    """The most memory that the whole process held until now; None where the system does not tell."""


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """The result document."""

    bundle: str
    data: str
    pixels: Mode
    instances: int
    """Inferences at once."""
    threads: int
    """Cores per inference."""
    workers: int
    """Threads of the engine, each of which takes one batch at a time."""
    warmup: int
    repeats: int
    runs: tuple[Run, ...]
    failures: tuple[FailedImage, ...]
    environment: dict[str, str | int]
    races: tuple[Race, ...] = ()
    """Against another model or runtime, one per batch size."""
    audit: Audit | None = None
    startup: tuple[Startup, ...] = ()
    """One per runtime."""

    def __repr__(self) -> str:
        rates = ", ".join(f"batch {run.batch}: {run.end_to_end.images_per_second:,.1f} images/s" for run in self.runs)
        return f"Benchmark({self.bundle} on {self.data}: {rates})"


def benchmark(
    engine: Engine,
    source: Source,
    *,
    batches: tuple[int, ...] = (1, 8),
    images: int | None = None,
    warmup: int = WARMUP,
    repeats: int = REPEATS,
    clock: Clock = perf_counter,
    after_round: Callable[[], object] = lambda: None,
) -> Benchmark:
    """Measure every batch size.

    Args:
        engine: the opened model.
        source: the images; if all have labels of the model's classes, accuracy is taken from the run that is timed.
        batches: images per inference.
        images: images of the source per round, repeated if it has fewer, and never less than a batch; by default 64,
            or four batches per instance if that is more.
        warmup: rounds before those that count.
        repeats: rounds that count.
        clock: tells the time.
        after_round: called after each round of each batch size.

    Raises:
        UsageError: a number below one, or a batch that a graph of a fixed batch size cannot take.
        InputError: none of the images can be read.
        CheckFailed: the model's logits are not numbers.
    """
    require_engine(engine)
    require_source(source)
    check(engine.session, batches, images, warmup, repeats)
    results = []
    for batch in batches:
        one = workload(engine, source, batch, images=images, clock=clock)
        results.append(_run(one, _timed(one, warmup, repeats, after_round)))
    facts = engine.session.facts
    return Benchmark(
        bundle=str(engine.bundle.path),
        data=source.name,
        pixels=engine.lane.mode,
        instances=facts.instances,
        threads=facts.threads,
        workers=engine.workers,
        warmup=warmup,
        repeats=repeats,
        runs=tuple(run for run, _ in results),
        failures=_failures(failures for _, failures in results),
        environment=environment(facts.name),
    )


def check(session: Session, batches: Sequence[int], images: int | None, warmup: int, repeats: int) -> None:
    """Refuse numbers that measure nothing.

    Raises:
        UsageError: no image, batch or round that counts, or a batch that the graph cannot take.
    """
    if not batches or min(*batches, repeats, 1 if images is None else images) < 1 or warmup < 0:
        raise UsageError(
            "a benchmark needs at least one image and batch sizes of at least 1, one round that counts, and a "
            f"warm-up of at least 0; got {images} images, batches {list(batches)}, {repeats} rounds after {warmup}"
        )
    fixed = session.facts.batch_size
    if fixed and set(batches) != {fixed}:
        raise UsageError(f"the graph runs only at batch {fixed}; pass --batch {fixed}")


def workload(
    engine: Engine, source: Source, batch: int, *, images: int | None = None, clock: Clock = perf_counter
) -> Workload:
    """The work that `benchmark` measures at one batch size: its images, and their labels if the model knows them."""
    fewest = max(MIN_IMAGES, MIN_BATCHES_PER_INSTANCE * batch * engine.session.facts.instances)
    count = max(images or fewest, batch)
    items = tuple(islice(source, count))
    targets = _known_targets(engine.bundle, source, items)
    return Workload(
        engine=replace(engine, batch_size=batch),
        data=source.name,
        items=tuple(relabelled(items, targets)) if targets else items,
        is_labelled=bool(targets),
        images_per_run=count,
        clock=clock,
    )


def environment(backend: str) -> dict[str, str | int]:
    """The machine and the software on which the figures depend."""
    packages = [BACKENDS[backend].package] if backend in BACKENDS else []
    return fingerprint(*packages, "pillow")


def _known_targets(bundle: Bundle, source: Source, items: Sequence[Item]) -> tuple[int, ...]:
    if bundle.model.activation == "none" or any(item.target is None for item in items):
        return ()
    try:
        return bundle.labels.targets(source.classes)
    except InputError:
        return ()


def _timed(one: Workload, warmup: int, repeats: int, after_round: Callable[[], object]) -> Rounds:
    stages = Stages(one)
    work = {**{stage: getattr(stages, stage) for stage in STAGES}, "end_to_end": partial(end_to_end, one)}
    return interleaved(work, warmup=warmup, repeats=repeats, clock=one.clock, after_round=after_round)


def _run(one: Workload, rounds: Rounds) -> tuple[Run, Mapping[str, str]]:
    """The figures of a batch size, and the images that could not be read with their reasons."""
    whole = rounds.pop("end_to_end")
    passes: list[Pass] = [round_.result for round_ in whole]
    last = passes[-1]
    workers = one.engine.workers
    stages = {name: _stage(name, times, one.preloaded, whole, workers) for name, times in rounds.items()}
    most, bound_by = _bound([stage.images_per_second for stage in stages.values()], one.session)
    total = rate([round_.seconds for round_ in whole], last.seen)
    return Run(
        batch=one.engine.batch_size,
        backend=one.session.facts.name,
        precision=one.engine.precision,
        images=one.images_per_run,
        failed=one.images_per_run - last.seen,
        stages=stages,
        end_to_end=total,
        latency_ms=latency([seconds for round_ in rounds["infer"] for seconds in round_.result]),
        answer_ms=latency([seconds for each in passes for seconds in each.answers_s]),
        bottleneck=min(stages, key=lambda stage: stages[stage].images_per_second),
        bound_images_per_second=most,
        bound_by=bound_by,
        efficiency=total.images_per_second / most,
        accuracy=last.answers.score(),
        peak_memory_bytes=peak_memory_bytes(),
    ), last.failures


def _stage(name: str, times: Sequence[Timed], images: int, whole: Sequence[Timed], workers: int) -> Stage:
    threads = 1 if name == "postprocess" else workers
    clocks = [round_.result.clocks[name] for round_ in whole]
    lived_s = threads * sum(round_.seconds for round_ in whole)
    return Stage(
        **msgspec.structs.asdict(rate([round_.seconds for round_ in times], images)),
        busy=sum(clock.busy_s for clock in clocks) / lived_s,
        waiting=sum(clock.waiting_s for clock in clocks) / lived_s,
    )


def _bound(rates: Sequence[float], session: Session) -> tuple[float, Literal["shared cores", "slowest stage"]]:
    return (min(rates), "slowest stage") if session.facts.threads == 0 else (bound(rates), "shared cores")


def _failures(found: Iterable[Mapping[str, str]]) -> tuple[FailedImage, ...]:
    """Each image once, by path."""
    reasons = {path: reason for failures in found for path, reason in failures.items()}
    return tuple(FailedImage(path=path, reason=reasons[path]) for path in sorted(reasons))
