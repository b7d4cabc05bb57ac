"""The speed of a bundle on this machine: each stage by itself on all cores, and all of them overlapping."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from time import perf_counter

import msgspec

from xception.backends.base import BACKENDS, Session, processor_of, warm_up
from xception.bundle import Bundle, Score
from xception.charts import Chart
from xception.data.pixels import Mode
from xception.data.source import Item, Source, require_source
from xception.errors import DecodeError, InputError, UsageError
from xception.machine import fingerprint, peak_memory_bytes
from xception.pipeline.engine import Engine, require_engine
from xception.pipeline.lane import STAGES
from xception.pipeline.stream import batches_under_way
from xception.pipeline.timing import BoundBy, Clock, Latency, Rate, Rounds, Timed, bound, interleaved, latency, rate
from xception.speed.charts import throughput
from xception.speed.race import Race
from xception.speed.self_audit import Audit
from xception.speed.startup import Startup
from xception.speed.workload import Pass, Stages, Workload, end_to_end
from xception.tables import ResultTable, TableResult, TableValue
from xception.tasks.evaluation import FailedImage
from xception.tasks.provenance import DataFingerprint, ResultProvenance, provenance_of
from xception.tasks.targets import relabelled

MIN_IMAGES, MIN_BATCHES_PER_INSTANCE = 64, 4
"""Images of one round where the caller asks for no number: the larger of the two."""

WARMUP, REPEATS = 1, 5
"""Rounds that do not count, and rounds that do."""


class Stage(Rate, frozen=True, kw_only=True):
    """The rate of the stage by itself with all cores, and its part in the run from end to end.

    Shares are fractions of the time of all that do the stage: the workers, which read and preprocess; for `infer` the
    instances of the session; for `postprocess` the one thread that it has.
    """

    busy: float
    """Share of the time in which they do it."""
    waiting: float
    """Share of the time in which a worker waits for a core; for `infer`, in which a batch that is under way waits for
    an instance."""


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
    """The stage that allows least: the slowest one, or the one that takes most of the cores' time."""
    bound_images_per_second: float
    """Rate that the stages allow together, see `bound`."""
    bound_by: BoundBy
    efficiency: float
    """End to end over the bound, of their medians. Both have a spread, so it may be above 1."""
    efficiency_low: float
    """The lowest of the rounds, each end to end over the bound of the same round."""
    efficiency_high: float
    """The highest of the rounds."""
    accuracy: Score | None
    """Accuracy in the last round that was timed, over each image once; None without labels that the model knows."""
    peak_memory_bytes: int | None
    """The most memory that the whole process held until now; None where the system does not tell."""


class Benchmark(TableResult, msgspec.Struct, frozen=True, kw_only=True):
    """Result of a benchmark: rates of every stage and of the whole run for each batch size, and the environment."""

    bundle: str
    data: str
    pixels: Mode
    instances: int
    """Inferences at once."""
    threads: int
    """Cores per inference."""
    workers: int
    """Threads that read and preprocess, each of them one image at a time."""
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
    provenance: ResultProvenance | None = None
    """Model, images, options, versions and machine behind the figures."""

    def __repr__(self) -> str:
        rates = ", ".join(f"batch {run.batch}: {run.end_to_end.images_per_second:,.1f} images/s" for run in self.runs)
        return f"Benchmark({self.bundle} on {self.data}: {rates})"

    def displayed(self) -> ResultTable:
        """The rate, its range over the rounds and what limits it, for each batch size."""
        columns = ("batch", "runtime", "images/s", "of the rounds", "limited by", "median ms per batch")
        note = "; ".join(f"batch {race.batch}: {race.sentence()}" for race in self.races)
        return ResultTable(columns, list(map(_shown_run, self.runs)), f"{self.bundle} on {self.data}", note)

    def records(self) -> ResultTable:
        """The rate of each stage and from end to end, in images per second, a row for each of each batch size."""
        columns = ("batch", "backend", "precision", "stage", "images_per_second", "low", "high")
        return ResultTable(columns, [row for run in self.runs for row in _stage_rows(run)])

    def plot(self) -> Chart:
        """The rate of each stage and from end to end, with its range over the rounds, for each batch size."""
        return throughput([(run.backend, run) for run in self.runs])


def _shown_run(run: Run) -> tuple[str, ...]:
    total = run.end_to_end
    rates = (f"{total.images_per_second:,.1f}", f"{total.low:,.1f} to {total.high:,.1f}")
    return str(run.batch), f"{run.backend}, {run.precision}", *rates, run.bottleneck, f"{run.latency_ms.p50:.2f}"


def _stage_rows(run: Run) -> list[tuple[TableValue, ...]]:
    rates: dict[str, Rate] = {**run.stages, "end to end": run.end_to_end}
    return [
        (run.batch, run.backend, run.precision, stage, rate.images_per_second, rate.low, rate.high)
        for stage, rate in rates.items()
    ]


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
    """Measure the speed of a model: each stage and the whole run, for every batch size.

    Args:
        engine: the opened model.
        source: the images; if all have labels of the model's classes, accuracy is taken from the run that is timed.
        batches: images per inference.
        images: number of images per round, at least one batch, repeated if the source has fewer; by default 64, or
            four batches per instance if that is more.
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
    used = max(run.images for run, _ in results)
    options = {"batches": list(batches), "images": images, "warmup": warmup, "repeats": repeats}
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
        environment=environment(facts.name, facts.device),
        provenance=provenance_of([engine], source, _fingerprint(source, used), options),
    )


def _fingerprint(source: Source, count: int) -> DataFingerprint:
    """The fingerprint of the images that were used, which are loaded again, since that takes time of its own."""
    found = DataFingerprint()
    for item in found.watch(islice(source, count)):
        with suppress(DecodeError, OSError):
            item.load()
    return found


def check(session: Session, batches: Sequence[int], images: int | None, warmup: int, repeats: int) -> None:
    """Refuse numbers that measure nothing.

    Raises:
        UsageError: no image, batch or round that counts, or a batch that the graph cannot take.
    """
    given = {"--batch": min(batches, default=0), "--images": 1 if images is None else images, "--repeats": repeats}
    for option, number in given.items():
        if number < 1:
            raise UsageError(f"{option} is {number}, which measures nothing; expected at least 1")
    if warmup < 0:
        raise UsageError(f"--warmup is {warmup}; expected at least 0")
    fixed = session.facts.batch_size
    if fixed and set(batches) != {fixed}:
        raise UsageError(f"the graph runs only at batch {fixed}; pass --batch {fixed}")


def workload(
    engine: Engine, source: Source, batch: int, *, images: int | None = None, clock: Clock = perf_counter
) -> Workload:
    """The work that `benchmark` measures at one batch size: its images, and their labels if the model knows them.

    A session that prepares itself for a batch size does so here, so that no round has to wait for it.
    """
    warm_up(engine.session, batch)
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


def environment(backend: str, device: str = "cpu") -> dict[str, str | int]:
    """The machine and the software on which the figures depend."""
    packages = [BACKENDS[backend].package] if backend in BACKENDS else []
    return {**processor_of(backend, device), **fingerprint(*packages, "pillow")}


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
    stages = {name: _stage(name, times, one, whole) for name, times in rounds.items()}
    most = bound({name: stage.images_per_second for name, stage in stages.items()}, _shares(one.engine))
    total = rate([round_.seconds for round_ in whole], last.seen)
    efficiencies = _efficiencies(rounds, one, [last.seen / round_.seconds for round_ in whole])
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
        bottleneck=most.bottleneck,
        bound_images_per_second=most.images_per_second,
        bound_by=most.by,
        efficiency=total.images_per_second / most.images_per_second,
        efficiency_low=min(efficiencies),
        efficiency_high=max(efficiencies),
        accuracy=last.answers.score(),
        peak_memory_bytes=peak_memory_bytes(),
    ), last.failures


def _stage(name: str, times: Sequence[Timed], one: Workload, whole: Sequence[Timed]) -> Stage:
    doing, waiting = _threads(name, one.engine)
    clocks = [round_.result.clocks[name] for round_ in whole]
    seconds = sum(round_.seconds for round_ in whole)
    return Stage(
        **msgspec.structs.asdict(rate([round_.seconds for round_ in times], one.preloaded)),
        busy=sum(clock.busy_s for clock in clocks) / (doing * seconds),
        waiting=sum(clock.waiting_s for clock in clocks) / (waiting * seconds),
    )


def _threads(stage: str, engine: Engine) -> tuple[int, int]:
    """The number that do a stage at once, and the number that may wait to do it."""
    facts = engine.session.facts
    if stage == "infer":
        return facts.instances, batches_under_way(facts, engine.workers, engine.batch_size)
    return (1, 1) if stage == "postprocess" else (engine.workers, engine.workers)


def _shares(engine: Engine) -> dict[str, float]:
    """The share of the cores that each stage uses by itself."""
    facts, cores = engine.session.facts, engine.lane.cores.count
    threads = {
        "read": engine.workers,
        "preprocess": engine.workers,
        "infer": facts.instances * facts.threads,
        "postprocess": 1,
    }
    return {name: min(count, cores) / cores for name, count in threads.items()}


def _efficiencies(rounds: Rounds, one: Workload, totals: Sequence[float]) -> list[float]:
    """The rate from end to end over the bound, for each round."""
    shares = _shares(one.engine)
    rates = [
        {name: one.preloaded / times[place].seconds for name, times in rounds.items()} for place in range(len(totals))
    ]
    return [total / bound(each, shares).images_per_second for total, each in zip(totals, rates, strict=True)]


def _failures(found: Iterable[Mapping[str, str]]) -> tuple[FailedImage, ...]:
    """Each image once, by path."""
    reasons = {path: reason for failures in found for path, reason in failures.items()}
    return tuple(FailedImage(path=path, reason=reasons[path]) for path in sorted(reasons))
