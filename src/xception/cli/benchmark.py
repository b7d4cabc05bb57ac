"""`xception benchmark`"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter, Token

from xception.backends.base import installed
from xception.cli.engine import DEFAULT_RUNTIME, RuntimeOptions
from xception.cli.models import check_order, open_model
from xception.cli.options import Html, Json, ModelOption, NoVerify, VendorOption, page_packages
from xception.cli.origin import made_here
from xception.cli.output import explain, percent, print_facts, print_json, print_line, print_rows, say
from xception.cli.progress import progress_bar
from xception.data.source import Source
from xception.data.sources import open_source, packages_for
from xception.data.synthetic import noise_source
from xception.errors import CheckFailed, UsageError
from xception.extras import require_all
from xception.interchange.ascend_speed import QUIRK, AscendSpeed, speed_file, speed_lines
from xception.outputs import write_file
from xception.pipeline.engine import Engine
from xception.pipeline.requirements import packages_to_run
from xception.pipeline.timing import Latency, Rate
from xception.speed.benchmark import REPEATS, WARMUP, Benchmark, Run, check, workload
from xception.speed.benchmark import benchmark as run
from xception.speed.race import Race, race, require_enough_rounds
from xception.speed.self_audit import self_audit
from xception.speed.startup import Startup, startup


def numbers(_: Any, tokens: Sequence[Token]) -> tuple[int, ...]:
    """Whole numbers from `1,4,8`."""
    return tuple(int(part) for token in tokens for part in token.value.split(","))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RoundOptions:
    """The measurements, and their number."""

    batch: Annotated[
        tuple[int, ...],
        Parameter(converter=numbers, n_tokens=1, help="Images per inference; several sizes are separated by commas."),
    ] = (1, 8)
    images: Annotated[
        int | None,
        Parameter(help="Images per round (default: 64, or four batches per instance if that is more)."),
    ] = None
    warmup: Annotated[int, Parameter(help="Rounds before those that count.")] = WARMUP
    repeats: Annotated[int, Parameter(help="Rounds that count; figures are their medians.")] = REPEATS


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Extras:
    """Further measurements."""

    against: Annotated[
        str | None,
        Parameter(
            help="Another model to compare with. The faster one is named, if the difference is larger than the noise."
        ),
    ] = None
    against_backend: Annotated[
        str | None, Parameter(help="Backend of the other model. Without --against, the same model is compared on both.")
    ] = None
    self_audit: Annotated[
        bool, Parameter(help="Show that nothing is cached: one image repeated is no faster than many.")
    ] = False
    time_to_first: Annotated[
        bool, Parameter(help="Time fresh processes from their start to the first label for one photo.")
    ] = False

    @property
    def is_race(self) -> bool:
        """True if there is another model or backend."""
        return bool(self.against or self.against_backend)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BenchmarkOutput:
    """The forms in which the figures are given."""

    json: Json = False
    html: Html = None
    vendor: VendorOption = None
    out: Annotated[
        Path | None, Parameter(help="Folder of the result, with one file per batch size; --vendor needs it.")
    ] = None

    def check(self) -> None:
        """Refuse, before the work, what cannot be done after it."""
        if self.json and self.vendor:
            raise UsageError("--json and --vendor exclude one another; choose one")
        if self.vendor not in (None, "ascend"):
            raise UsageError(f"no benchmark tool of {self.vendor} prints lines that are known here; expected ascend")
        if self.out and not self.vendor:
            raise UsageError("--out is the folder for --vendor ascend; pass both")


DEFAULT_ROUNDS = RoundOptions()
NO_EXTRAS = Extras()
PRINTED_TABLE = BenchmarkOutput()


def benchmark(
    model: ModelOption,
    data: str | None = None,
    /,
    *,
    rounds: RoundOptions = DEFAULT_ROUNDS,
    runtime: RuntimeOptions = DEFAULT_RUNTIME,
    extras: Extras = NO_EXTRAS,
    no_verify: NoVerify = False,
    output: BenchmarkOutput = PRINTED_TABLE,
) -> None:
    """Measure how fast a bundle runs here: every stage by itself, and all of them overlapping.

    ```
    xception benchmark digits-onnx digits --batch 1,4,8
    xception benchmark digits-openvino --images 256 --json
    xception benchmark digits-int8 digits --against digits-onnx --repeats 10
    ```

    Args:
        data: A data set in any form, such as class folders, shards or a URL; without it, JPEG files of noise.
    """
    output.check()
    runtime.check()
    check_order("benchmark", model, *([data] if data else []))
    if extras.self_audit or extras.is_race:
        require_enough_rounds(rounds.repeats)
    require_all(*_packages(model, data, runtime, extras), *page_packages(output.html))
    opened = open_model(model, verify=not no_verify)
    source = open_source(data) if data else noise_source(opened.model.preprocess)
    with runtime.open(opened, source) as engine:
        check(engine.session, rounds.batch, rounds.images, rounds.warmup, rounds.repeats)
        # First, since this opens the other model, which may be refused.
        races = tuple(_races(engine, source, rounds, extras, runtime)) if extras.is_race else ()
        result = msgspec.structs.replace(_measured(engine, source, rounds, extras, runtime), races=races)
    result = msgspec.structs.replace(result, provenance=result.provenance and made_here(result.provenance))
    _give(result, output)
    if result.audit and result.audit.caching:
        raise CheckFailed(result.audit.sentence())


def _packages(model: str, data: str | None, runtime: RuntimeOptions, extras: Extras) -> tuple[str, ...]:
    """All that the models and the data need."""
    backend = extras.against_backend or runtime.backend
    other = packages_to_run(extras.against or model, backend) if extras.is_race else ()
    return (*packages_to_run(model, runtime.backend), *other, *packages_for(data))


def _measured(
    engine: Engine, source: Source, rounds: RoundOptions, extras: Extras, runtime: RuntimeOptions
) -> Benchmark:
    """The benchmark, after the processes of their own and before the audit, so that neither disturbs it."""
    repeats, bundle = rounds.repeats, engine.bundle
    backends = installed(bundle.model.form) if runtime.backend is None else (engine.session.facts.name,)
    first = tuple(
        startup(bundle.path, name, source, repeats=repeats) for name in (backends if extras.time_to_first else ())
    )
    with progress_bar() as progress:
        task = progress.add_task("measuring", total=len(rounds.batch) * (rounds.warmup + repeats))
        result = run(
            engine,
            source,
            batches=rounds.batch,
            images=rounds.images,
            warmup=rounds.warmup,
            repeats=repeats,
            after_round=lambda: progress.advance(task),
        )
    audit = None
    if extras.self_audit:
        audit = self_audit(workload(engine, source, rounds.batch[0], images=rounds.images), repeats=repeats)
    return msgspec.structs.replace(result, startup=first, audit=audit)


def _races(
    engine: Engine, source: Source, rounds: RoundOptions, extras: Extras, runtime: RuntimeOptions
) -> Iterator[Race]:
    other = open_model(extras.against) if extras.against else engine.bundle
    backend = extras.against_backend or runtime.backend
    with replace(runtime, backend=backend).open(other, source) as second:
        check(second.session, rounds.batch, rounds.images, rounds.warmup, rounds.repeats)
        for batch in rounds.batch:
            one, two = (workload(each, source, batch, images=rounds.images) for each in (engine, second))
            yield race(one, two, warmup=rounds.warmup, repeats=rounds.repeats)


def _give(result: Benchmark, output: BenchmarkOutput) -> None:
    if output.json:
        print_json(result)
    elif output.vendor:
        _give_lines(result, output.out)
    else:
        _print(result)
    # Last, so that a full disk does not cost the figures.
    if output.html:
        from xception.report.benchmark import render_benchmark

        write_file(output.html, render_benchmark(result).encode())


def _give_lines(result: Benchmark, out: Path | None) -> None:
    for one in result.runs:
        lines = speed_lines(_speed(one, result.instances))
        if out:
            write_file(out / speed_file(one.batch), lines.encode())
            lines = f"{out / speed_file(one.batch)}\n"
        sys.stdout.write(lines)
    say(QUIRK)


def _speed(one: Run, instances: int) -> AscendSpeed:
    rates = {name: stage.images_per_second for name, stage in one.stages.items()}
    calls = instances * 1000 * one.batch / one.latency_ms.p50
    images = one.images - one.failed
    return AscendSpeed(
        batch=one.batch, images=images, end_to_end=one.end_to_end.images_per_second, calls=calls, **rates
    )


def _print(result: Benchmark) -> None:
    _print_rates(result)
    print_line()
    _print_times(result)
    print_facts(
        {
            **{f"first label, {one.backend}": _first_label(one) for one in result.startup},
            **{f"batch {one.batch}": one.sentence() for one in result.races},
            **({"self-audit": result.audit.sentence()} if result.audit else {}),
        }
    )
    _explain(result)


def _print_rates(result: Benchmark) -> None:
    stages = list(result.runs[0].stages)
    header = ("batch", "backend", *stages, "end to end", "bound", "efficiency", "bottleneck")
    print_rows(
        header,
        [
            (
                str(one.batch),
                one.backend,
                *(_rate(one.stages[stage]) for stage in stages),
                _rate(one.end_to_end),
                _figure(one.bound_images_per_second),
                f"{one.efficiency:.2f} [{one.efficiency_low:.2f}, {one.efficiency_high:.2f}]",
                one.bottleneck,
            )
            for one in result.runs
        ],
    )


def _print_times(result: Benchmark) -> None:
    stages = list(result.runs[0].stages)
    header = ("batch", "runtime ms", "answer ms", *(f"{stage} busy" for stage in stages), "peak memory", "top-1")
    print_rows(
        header,
        [
            (
                str(one.batch),
                _ms(one.latency_ms),
                _ms(one.answer_ms),
                *(f"{one.stages[stage].busy:.0%} +{one.stages[stage].waiting:.0%}" for stage in stages),
                _megabytes(one.peak_memory_bytes),
                percent(one.accuracy.top1) if one.accuracy else "-",
            )
            for one in result.runs
        ],
    )


def _explain(result: Benchmark) -> None:
    explain(
        {
            "images/s": "median [slowest, fastest round] of the stage by itself, and of all stages from end to end",
            "bound": "the most images per second that the stages allow together",
            "efficiency": "end to end over the bound [lowest, highest round]",
            "runtime ms": "p50 / p90 / p99 of a batch in the runtime",
            "answer ms": "p50 / p90 / p99 of an image, from its read to its answer",
            "busy": f"share of the time that {result.workers} workers (for infer: {result.instances} instances) work, "
            "+ share that they wait",
        }
    )
    above = [f"{one.batch}" for one in result.runs if one.efficiency > 1]
    if above:
        say(
            f"an efficiency above 1 (batch {', '.join(above)}) means that the machine was faster during the whole run "
            "than during its stages; compare its range, or repeat with more --repeats on a quieter machine"
        )
    explain({"machine": ", ".join(f"{name} {value}" for name, value in result.environment.items())})
    for failure in result.failures:
        say(f"failed, and not counted: {failure.path}: {failure.reason}")


def _first_label(first: Startup) -> str:
    return f"{_ms(first.first_label_ms)} ms, {_megabytes(first.peak_memory_bytes)}, {first.label!r}"


def _rate(rate: Rate) -> str:
    return f"{_figure(rate.images_per_second)} [{_figure(rate.low)}, {_figure(rate.high)}]"


def _ms(times: Latency) -> str:
    return " / ".join(map(_figure, (times.p50, times.p90, times.p99)))


def _figure(value: float) -> str:
    """Three digits, and all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _megabytes(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / 1e6:,.0f} MB"
