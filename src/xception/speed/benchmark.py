"""How fast a bundle runs here: each stage alone on all cores, and all of them overlapping."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Literal

import msgspec

from xception.backends.base import BACKENDS, Session
from xception.bundle import Bundle, Score
from xception.data.pixels import Mode
from xception.data.source import Item, Source
from xception.errors import InputError, UsageError
from xception.machine import fingerprint, peak_memory_bytes
from xception.pipeline.stream import STAGES
from xception.pipeline.timing import Clock, Latency, Rate, Rounds, Timed, bound, interleaved, latency, rate
from xception.speed.race import Race
from xception.speed.self_audit import Audit
from xception.speed.startup import Startup
from xception.speed.workload import Pass, Setting, Stages, end_to_end
from xception.tasks.evaluate import FailedImage, relabelled

MIN_IMAGES, MIN_BATCHES = 64, 4
"""Of one round, the batches for each instance, where nothing else is asked for."""

WARMUP, REPEATS = 1, 5
"""Rounds that do not count, and rounds that do."""


class Stage(Rate, frozen=True, kw_only=True):
    """The rate of the stage alone with all cores, and its part in the run from end to end.

    The shares are of the time of all lanes, for `postprocess` of the one thread that it has.
    """

    busy: float
    """The share in which it works."""
    waiting: float
    """The share in which a lane waits to begin it, because the cores or the session are taken."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size."""

    batch: int
    backend: str
    precision: str
    images: int
    """Of one round from end to end."""
    failed: int
    """Of these, images that could not be read; no rate counts them."""
    stages: dict[str, Stage]
    end_to_end: Rate
    latency_ms: Latency
    """Of one batch in the runtime."""
    answer_ms: Latency
    """Of one image from the start of its read to its answer, while the machine does as much as it can."""
    bottleneck: str
    """The slowest stage."""
    bound_images_per_second: float
    """What the stages allow together."""
    bound_by: Literal["shared cores", "slowest stage"]
    """See `bound`; an accelerator of its own leaves the cores to the other stages."""
    efficiency: float
    """End to end over the bound; both have a spread."""
    accuracy: Score | None
    """Of the last round that was timed, over each image once; None without labels that the model knows."""
    peak_memory_bytes: int | None
    """The most that the whole process held until now; None where the system does not tell."""


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """The result document."""

    bundle: str
    data: str
    pixels: Mode
    instances: int
    """Inferences at once."""
    threads: int
    """Cores of one inference."""
    workers: int
    """Lanes of the engine."""
    warmup: int
    repeats: int
    runs: tuple[Run, ...]
    failures: tuple[FailedImage, ...]
    environment: dict[str, str | int]
    races: tuple[Race, ...] = ()
    """Against another model or runtime, a batch size each."""
    audit: Audit | None = None
    startup: tuple[Startup, ...] = ()
    """A runtime each."""


def benchmark(
    bundle: Bundle,
    session: Session,
    source: Source,
    *,
    batches: tuple[int, ...] = (1, 8),
    images: int | None = None,
    workers: int | None = None,
    mode: Mode = "exact",
    warmup: int = WARMUP,
    repeats: int = REPEATS,
    precision: str | None = None,
    clock: Clock = perf_counter,
    after_round: Callable[[], object] = lambda: None,
) -> Benchmark:
    """Measure every batch size.

    Args:
        bundle: what runs.
        session: the bundle in a runtime.
        source: the images; if all have labels of the model's classes, accuracy is taken from the run that is timed.
        batches: images in one inference.
        images: how many of the source a round processes, repeated if it has fewer, and never less than a batch; by
            default 64, or four batches an instance if that is more.
        workers: see `pipeline.stream.infer`, as for the mode.
        mode: how images become pixels.
        warmup: rounds before those that count.
        repeats: rounds that count.
        precision: what the session computes in, if not in the bundle's.
        clock: what tells the time.
        after_round: called after each round of each batch size.

    Raises:
        UsageError: a number below one, or a batch that a graph of a fixed batch size cannot take.
        InputError: none of the images can be read.
        CheckFailed: the model's logits are not numbers.
    """
    check(session, batches, images, warmup, repeats)
    results = []
    for batch in batches:
        one = setting(bundle, session, source, batch, images=images, workers=workers, mode=mode, clock=clock)
        rounds = _timed(one, warmup, repeats, after_round)
        results.append(_run(one, rounds, precision or bundle.model.precision))
    return Benchmark(
        bundle=str(bundle.path),
        data=source.name,
        pixels=mode,
        instances=session.instances,
        threads=session.threads,
        workers=one.lanes,
        warmup=warmup,
        repeats=repeats,
        runs=tuple(run for run, _ in results),
        failures=_failures(failures for _, failures in results),
        environment=environment(session.name),
    )


def check(session: Session, batches: Sequence[int], images: int | None, warmup: int, repeats: int) -> None:
    """Refuse numbers that measure nothing.

    Raises:
        UsageError: see there.
    """
    if not batches or min(*batches, repeats, 1 if images is None else images) < 1 or warmup < 0:
        raise UsageError(
            "a benchmark needs at least one image and batch sizes of at least 1, one round that counts, and a "
            f"warm-up of at least 0; got {images} images, batches {list(batches)}, {repeats} rounds after {warmup}"
        )
    fixed = session.batch_size
    if fixed and set(batches) != {fixed}:
        raise UsageError(f"the graph runs only at batch {fixed}; pass --batch {fixed}")


def setting(
    bundle: Bundle,
    session: Session,
    source: Source,
    batch: int,
    *,
    images: int | None = None,
    workers: int | None = None,
    mode: Mode = "exact",
    clock: Clock = perf_counter,
) -> Setting:
    """What `benchmark` measures, with the images that it takes and their labels, if the model knows them."""
    count = max(images or max(MIN_IMAGES, MIN_BATCHES * batch * session.instances), batch)
    items = tuple(islice(source, count))
    targets = _known_targets(bundle, source, items)
    return Setting(
        bundle=bundle,
        session=session,
        data=source.name,
        items=tuple(relabelled(items, targets)) if targets else items,
        is_labelled=bool(targets),
        images=count,
        batch=batch,
        mode=mode,
        workers=workers,
        clock=clock,
    )


def environment(backend: str) -> dict[str, str | int]:
    """What the figures depend on."""
    packages = [BACKENDS[backend].package] if backend in BACKENDS else []
    return fingerprint(*packages, "pillow")


def _known_targets(bundle: Bundle, source: Source, items: Sequence[Item]) -> tuple[int, ...]:
    if any(item.target is None for item in items):
        return ()
    try:
        return bundle.labels.targets(source.classes)
    except InputError:
        return ()


def _timed(one: Setting, warmup: int, repeats: int, after_round: Callable[[], object]) -> Rounds:
    alone = Stages(one)
    work = {**{stage: getattr(alone, stage) for stage in STAGES}, "end_to_end": partial(end_to_end, one)}
    return interleaved(work, warmup=warmup, repeats=repeats, clock=one.clock, after_round=after_round)


def _run(one: Setting, rounds: Rounds, precision: str) -> tuple[Run, Mapping[str, str]]:
    """A batch size, and the images that could not be read with their reasons."""
    whole = rounds.pop("end_to_end")
    passes: list[Pass] = [round_.result for round_ in whole]
    last = passes[-1]
    stages = {name: _stage(name, times, one.held, whole, one.lanes) for name, times in rounds.items()}
    most, bound_by = _bound([stage.images_per_second for stage in stages.values()], one.session)
    total = rate([round_.seconds for round_ in whole], last.seen)
    return Run(
        batch=one.batch,
        backend=one.session.name,
        precision=precision,
        images=one.images,
        failed=one.images - last.seen,
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


def _stage(name: str, times: Sequence[Timed], images: int, whole: Sequence[Timed], lanes: int) -> Stage:
    threads = 1 if name == "postprocess" else lanes
    clocks = [round_.result.clocks[name] for round_ in whole]
    lived_s = threads * sum(round_.seconds for round_ in whole)
    return Stage(
        **msgspec.structs.asdict(rate([round_.seconds for round_ in times], images)),
        busy=sum(clock.busy_s for clock in clocks) / lived_s,
        waiting=sum(clock.waiting_s for clock in clocks) / lived_s,
    )


def _bound(rates: Sequence[float], session: Session) -> tuple[float, Literal["shared cores", "slowest stage"]]:
    return (min(rates), "slowest stage") if session.threads == 0 else (bound(rates), "shared cores")


def _failures(found: Iterable[Mapping[str, str]]) -> tuple[FailedImage, ...]:
    """Each image once, by path."""
    reasons = {path: reason for failures in found for path, reason in failures.items()}
    return tuple(FailedImage(path=path, reason=reasons[path]) for path in sorted(reasons))
