import msgspec
import pytest

from tests.report.browser import Page, outside_references
from tests.report.pages import latency, run
from xception.bundle import Score
from xception.intervals import Interval, wilson
from xception.report.benchmark import render_benchmark
from xception.report.html import percent_text, rate_text
from xception.speed.benchmark import Benchmark
from xception.speed.race import Race, Racer
from xception.speed.self_audit import Audit
from xception.speed.startup import Startup
from xception.tasks.evaluation import FailedImage

HOSTILE = '<script>alert("1")</script>'


def measured() -> Benchmark:
    plain = run({"read": 9000, "preprocess": 400, "infer": 150, "postprocess": 30_000}, 101)
    score = Score(total=41, seen=40, failed=1, top1=wilson(37, 40), top5=wilson(40, 40), loss=0.3)
    return Benchmark(
        bundle="runs/photos",
        data="photos:test",
        pixels="exact",
        instances=2,
        threads=1,
        workers=4,
        warmup=1,
        repeats=5,
        runs=(
            msgspec.structs.replace(plain, batch=1),
            msgspec.structs.replace(plain, accuracy=score, failed=3, bound_by="slowest stage"),
        ),
        failures=(FailedImage(path=HOSTILE, reason="truncated"),),
        environment={"cpu": "A processor", "cores": 2},
    )


def with_all() -> Benchmark:
    plain = measured()
    racer = Racer(bundle="a", backend="onnxruntime", end_to_end=plain.runs[0].end_to_end)
    ratio = Interval(value=1.25, low=1.21, high=1.3)
    other = msgspec.structs.replace(racer, bundle="b", backend="openvino")
    return msgspec.structs.replace(
        plain,
        races=(Race(batch=8, images=64, first=racer, second=other, ratio=ratio, faster="first"),),
        audit=Audit(
            batch=1,
            images=16,
            ratios=dict.fromkeys(("preprocess", "infer", "end_to_end"), ratio),
            caching=("infer",),
            undecided=("end_to_end",),
        ),
        startup=(
            Startup(
                backend="onnxruntime",
                label="crane",
                first_label_ms=msgspec.structs.replace(latency(512), samples=5),
                peak_memory_bytes=10**8,
            ),
        ),
    )


@pytest.mark.parametrize("benchmark", [measured(), with_all()], ids=["plain", "all"])
def test_the_page_is_well_formed_and_fetches_nothing(benchmark: Benchmark) -> None:
    html = render_benchmark(benchmark)
    page = Page(html)
    assert page.open == []
    assert outside_references(html) == []
    assert "script" not in {tag for tag, _ in page.elements}
    assert f"{HOSTILE}truncated" in page.text
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in page.elements if "aria-labelledby" in attrs} <= set(ids)


def test_every_figure_is_on_the_page() -> None:
    text = Page(render_benchmark(measured())).text
    assert "Speed of photos on photos:test" in text
    assert "onnxruntime in float32 on 2 x 1 threads, exact pixels; medians of 5 rounds after 1" in text
    for one in measured().runs:
        assert percent_text(one.efficiency) in text
        assert f"{one.latency_ms.p50:.2f}{one.latency_ms.p90:.2f}{one.latency_ms.p99:.2f}" in text
        assert f"{one.answer_ms.p50:.2f}{one.answer_ms.p90:.2f}{one.answer_ms.p99:.2f}" in text
        for measure in (*one.stages.values(), one.end_to_end):
            low, high = rate_text(measure.low), rate_text(measure.high)
            assert f"{rate_text(measure.images_per_second)}{low}\u2013{high}" in text
    assert "shared cores" in text
    assert "slowest stage" in text
    assert "40 seen + 1 failed = 41" in text
    assert "256 images, 3 unreadable" in text
    assert "cpuA processor" in text
    assert "123.46\u00a0MB" in text


def test_what_was_measured_besides_is_there_only_then() -> None:
    plain, full = (Page(render_benchmark(one)).text for one in (measured(), with_all()))
    for words in (
        "a (onnxruntime) is faster than b (openvino) by 25.0% [21.0%, 30.0%]",
        "\u2717 cached",
        "\u2713 not cached",
        "hidden by the noise",
        "onnxruntime5 processes512.00614.40768.00\n100.00\u00a0MBcrane",
    ):
        assert words in full
        assert words not in plain


def test_an_accelerator_is_called_one() -> None:
    benchmark = msgspec.structs.replace(measured(), threads=0)
    assert "onnxruntime in float32 on an accelerator" in Page(render_benchmark(benchmark)).text
