"""The page of a benchmark."""

from collections.abc import Iterator

from xception.report.evaluation import accuracy_card
from xception.report.heading import Card, Heading, model_names, result_origin
from xception.report.html import megabytes, page, percent_text, rate_text
from xception.speed.benchmark import Benchmark
from xception.tasks.provenance import flat


def render_benchmark(benchmark: Benchmark) -> str:
    """The HTML document.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    (name,) = model_names(benchmark.provenance, (benchmark.bundle,))
    heading = Heading(
        title=f"Speed of {name} on {benchmark.data}",
        conclusion=" ".join(_conclusion(benchmark)),
        conditions=_conditions(benchmark),
        origin=result_origin(benchmark.provenance),
        cards=tuple(_cards(benchmark)),
    )
    return page(
        "benchmark.html.j2",
        heading=heading,
        result=benchmark,
        throughput=benchmark.plot(),
        stages=tuple(benchmark.runs[0].stages),
        provenance=flat(benchmark.provenance) if benchmark.provenance else None,
    )


def _conclusion(benchmark: Benchmark) -> Iterator[str]:
    """The fastest batch size, if the rounds tell it from the others, its limit, and the verdict of each race."""
    best = max(benchmark.runs, key=lambda run: run.end_to_end.images_per_second)
    alike = [run for run in benchmark.runs if run is not best and run.end_to_end.high >= best.end_to_end.low]
    rate = f"{rate_text(best.end_to_end.images_per_second)} images per second from file to answer at batch {best.batch}"
    yield f"{rate}; {best.bottleneck} limits it."
    if alike:
        sizes = " and ".join(str(run.batch) for run in alike)
        yield f"Batch {sizes} is not slower by more than the rounds differ."
    for race in benchmark.races:
        yield f"Batch {race.batch}: {race.sentence()}."


def _conditions(benchmark: Benchmark) -> str:
    """The conditions for which the figures hold."""
    run = benchmark.runs[0]
    session = f"{benchmark.instances} x {benchmark.threads} threads" if benchmark.threads else "an accelerator"
    return (
        f"{benchmark.bundle}, {run.backend} in {run.precision} on {session}, {benchmark.pixels} pixels; medians of "
        f"{benchmark.repeats} rounds after {benchmark.warmup} that did not count"
    )


def _cards(benchmark: Benchmark) -> Iterator[Card]:
    best = max(benchmark.runs, key=lambda run: run.end_to_end.images_per_second)
    total = best.end_to_end
    note = f"images/s at batch {best.batch}, {rate_text(total.low)} to {rate_text(total.high)}"
    yield Card(label="End to end", value=rate_text(total.images_per_second), note=note)
    low, high = percent_text(best.efficiency_low), percent_text(best.efficiency_high)
    note = f"of {rate_text(best.bound_images_per_second)} images/s, by {best.bound_by}; {low} to {high} by round"
    yield Card(label="Efficiency", value=percent_text(best.efficiency), note=note)
    note = f"{rate_text(best.stages[best.bottleneck].images_per_second)} images/s by itself"
    yield Card(label="Bottleneck", value=best.bottleneck, note=note)
    if best.accuracy:
        yield accuracy_card("Top-1 accuracy", best.accuracy.top1)
    if best.peak_memory_bytes:
        yield Card(label="Peak memory", value=megabytes(best.peak_memory_bytes), note="of the whole process")
    if benchmark.startup:
        first = min(benchmark.startup, key=lambda one: one.first_label_ms.p50)
        note = f"from the start of a process, {first.backend}"
        yield Card(label="First label", value=f"{first.first_label_ms.p50 / 1000:.2f}\u00a0s", note=note)
