import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.conftest import PX
from tests.speed.clocks import Accelerator, HandClock, Paced, logits, slow_to_read
from tests.support.samples import CLASSES, OneAtATime, labelled
from xception.backends.base import Compute, Logits, Pixels, open_session
from xception.bundle import Bundle
from xception.data.pixels import pixels
from xception.data.source import Items
from xception.data.synthetic import noise_source
from xception.errors import CheckFailed, InputError, UsageError
from xception.machine import cores
from xception.pipeline import prepare
from xception.pipeline.cores import Cores
from xception.pipeline.engine import Engine
from xception.pipeline.lane import STAGES, Scored
from xception.pipeline.timing import bound
from xception.preprocess import Preprocess
from xception.speed import workload
from xception.speed.benchmark import Benchmark, benchmark
from xception.tasks.evaluate import evaluate


@pytest.fixture(scope="module")
def result(onnx_bundle: Bundle) -> Benchmark:
    session = open_session(onnx_bundle, compute=Compute(threads=1))
    return benchmark(Engine.of(onnx_bundle, session), labelled(5, broken=(1,)), batches=(1, 4), images=9)


def test_every_batch_size_is_measured_in_every_stage(result: Benchmark) -> None:
    assert [run.batch for run in result.runs] == [1, 4]
    for run in result.runs:
        assert tuple(run.stages) == STAGES
        assert (run.backend, run.precision, run.images) == ("onnxruntime", "float32", 9)
        for rate in (*run.stages.values(), run.end_to_end):
            assert 0 < rate.low <= rate.images_per_second <= rate.high
        for latency in (run.latency_ms, run.answer_ms):
            assert 0 < latency.p50 <= latency.p90 <= latency.p99
        assert (run.peak_memory_bytes or 0) > 1e7


def test_bound_bottleneck_and_efficiency_follow_from_the_stages(result: Benchmark) -> None:
    used = {"read": 1.0, "preprocess": 1.0, "infer": 1 / cores(), "postprocess": 1 / cores()}
    for run in result.runs:
        most = bound({name: stage.images_per_second for name, stage in run.stages.items()}, used)
        assert (run.bound_images_per_second, run.bottleneck, run.bound_by) == most
        assert run.efficiency == pytest.approx(run.end_to_end.images_per_second / run.bound_images_per_second)
        assert run.efficiency_low <= run.efficiency_high


def test_shares_of_time_do_not_exceed_it(result: Benchmark) -> None:
    for run in result.runs:
        read, preprocess, infer, postprocess = (run.stages[name] for name in STAGES)
        assert 0 < read.busy + read.waiting + preprocess.busy + preprocess.waiting <= 1
        assert 0 < infer.busy <= 1
        assert 0 <= infer.waiting <= 1
        assert 0 < postprocess.busy <= 1


def test_unreadable_images_are_named_and_in_no_rate(result: Benchmark) -> None:
    assert [failure.path for failure in result.failures] == ["001"]
    assert [run.failed for run in result.runs] == [2, 2]


def test_accuracy_is_what_evaluation_says_of_each_image_once(onnx_bundle: Bundle, result: Benchmark) -> None:
    session = open_session(onnx_bundle, compute=Compute(threads=1))
    score = evaluate(Engine.of(onnx_bundle, session, mode="exact"), labelled(5, broken=(1,))).score()
    assert (score.total, score.seen, score.failed) == (5, 4, 1)
    for run in result.runs:
        assert run.accuracy
        assert (run.accuracy.total, run.accuracy.seen, run.accuracy.failed) == (5, 4, 1)
        assert (run.accuracy.top1, run.accuracy.top5) == (score.top1, score.top5)
        assert run.accuracy.loss == pytest.approx(score.loss, rel=1e-4)


@pytest.mark.parametrize(
    "source",
    [
        Items("others", ("newt", "owl"), labelled(3, classes=("newt", "owl")).items),
        Items("unlabelled", CLASSES, tuple(replace(item, target=None) for item in labelled(3))),
    ],
    ids=lambda source: source.name,
)
def test_labels_that_the_model_does_not_know_give_no_accuracy(onnx_bundle: Bundle, source: Items) -> None:
    clock = HandClock()
    measured = benchmark(
        Engine.of(onnx_bundle, Ticking(clock)), source, batches=(1,), images=3, repeats=1, clock=Counting()
    )
    assert measured.runs[0].accuracy is None


class Counting:
    """A clock that moves whenever it is looked at."""

    def __init__(self) -> None:
        self.looks = 0.0

    def __call__(self) -> float:
        self.looks += 1
        return self.looks


class Ticking(Paced):
    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock, 0.0)


def test_the_document_goes_through_json(result: Benchmark) -> None:
    assert msgspec.json.decode(msgspec.json.encode(result), type=Benchmark) == result


SECONDS = {"read": 0.004, "preprocess": 0.005, "infer": 0.010, "postprocess": 0.001}


def measured_by_hand(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[str, float],
    batches: tuple[int, ...] = (1, 4),
    kind: type[Paced] = Paced,
    after_round: Callable[[], object] = lambda: None,
) -> Benchmark:
    """A benchmark of stages that take so long for an image, on a clock that nothing else moves, and one core."""
    clock = HandClock()
    session = kind(clock, seconds["infer"])

    def slow_pixels(*arguments: object) -> np.ndarray:
        clock.move(seconds["preprocess"])
        return pixels(*arguments)

    def slow_finite(outcome: Scored) -> Logits:
        clock.move(seconds["postprocess"])
        return outcome.logits

    def next_round() -> None:
        after_round()
        session.image_s = seconds["infer"]

    monkeypatch.setattr(prepare, "pixels", slow_pixels)
    monkeypatch.setattr(workload, "finite_logits", slow_finite)
    source = slow_to_read(8, clock, lambda: seconds["read"])
    engine = Engine.of(bundle, session, workers=1, mode="reference").with_lane(cores=Cores(1))
    return benchmark(engine, source, batches=batches, images=8, repeats=3, clock=clock, after_round=next_round)


def test_stages_of_known_rates_are_recovered(onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in measured_by_hand(onnx_bundle, monkeypatch, SECONDS).runs:
        for name, seconds in SECONDS.items():
            assert run.stages[name].images_per_second == pytest.approx(1 / seconds, rel=0.02)
        assert run.end_to_end.images_per_second == pytest.approx(1 / 0.020, rel=0.02)
        assert run.bound_images_per_second == pytest.approx(1 / 0.020, rel=0.02)
        assert run.efficiency == pytest.approx(1, rel=0.02)
        assert run.latency_ms.p50 == run.latency_ms.p99 == pytest.approx(10 * run.batch)
        assert run.answer_ms.p50 >= 19 * 0.999


@pytest.mark.parametrize("slow", STAGES)
def test_a_planted_slow_stage_is_the_bottleneck(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    (run,) = measured_by_hand(onnx_bundle, monkeypatch, {**SECONDS, slow: 0.03}, batches=(4,)).runs
    assert run.bottleneck == slow
    assert run.stages[slow].images_per_second == pytest.approx(1 / 0.03, rel=0.02)


@pytest.mark.parametrize(
    ("read_s", "bottleneck", "bound_by", "most"),
    [(0.003, "infer", "slowest stage", 100), (0.019, "read", "shared cores", 40)],
)
def test_an_accelerator_leaves_the_cores_to_the_other_stages(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, read_s: float, bottleneck: str, bound_by: str, most: float
) -> None:
    seconds = {**SECONDS, "read": read_s}
    (run,) = measured_by_hand(onnx_bundle, monkeypatch, seconds, batches=(1,), kind=Accelerator).runs
    assert (run.bottleneck, run.bound_by) == (bottleneck, bound_by)
    assert run.bound_images_per_second == pytest.approx(most)
    # The clock knows only one thing at a time.
    assert run.efficiency == pytest.approx(1 / sum(seconds.values()) / most)


def test_the_efficiency_of_each_round_is_that_of_its_own_stages(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that becomes slower from round to round changes all rates, and no efficiency."""
    seconds = dict(SECONDS)

    def slower() -> None:
        seconds.update({name: 2 * value for name, value in seconds.items()})

    (run,) = measured_by_hand(onnx_bundle, monkeypatch, seconds, batches=(1,), after_round=slower).runs
    assert run.end_to_end.high == pytest.approx(4 * run.end_to_end.low)
    assert (run.efficiency_low, run.efficiency_high) == (pytest.approx(1), pytest.approx(1))


class Failing(Paced):
    """Fails in its second call."""

    calls = 0

    def __call__(self, pixels: Pixels, /) -> Logits:
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("the device is gone")
        return logits(pixels)


def test_a_stage_that_fails_stops_the_run_and_leaves_no_thread(onnx_bundle: Bundle) -> None:
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="the device is gone"):
        benchmark(Engine.of(onnx_bundle, Failing(HandClock(), 0.0)), labelled(30), batches=(2,))
    assert set(threading.enumerate()) == before


class Broken(OneAtATime):
    name, input_shape, num_classes, batch_size = "broken", (3, 32, 32), len(CLASSES), None

    def __call__(self, pixels: Pixels, /) -> Logits:
        return np.full((len(pixels), len(CLASSES)), np.nan, np.float32)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("source", [labelled(2), noise_source(Preprocess(), 2)], ids=lambda source: source.name)
def test_logits_that_are_no_numbers_have_no_speed(onnx_bundle: Bundle, source: Items) -> None:
    before = set(threading.enumerate())
    with pytest.raises(CheckFailed, match="not finite numbers"):
        benchmark(Engine.of(onnx_bundle, Broken()), source, batches=(1,))
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize(
    ("batches", "numbers", "message"),
    [
        ((1,), {"images": 0}, "--images is 0, which measures nothing; expected at least 1"),
        ((0,), {}, "--batch is 0, "),
        ((), {}, "--batch is 0, "),
        ((4, -1), {}, "--batch is -1, "),
        ((1,), {"repeats": 0}, "--repeats is 0, "),
        ((1,), {"warmup": -1}, "--warmup is -1; expected at least 0"),
    ],
)
def test_nothing_to_measure_is_refused(
    onnx_bundle: Bundle, batches: tuple[int, ...], numbers: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        benchmark(Engine.of(onnx_bundle, Broken()), labelled(2), batches=batches, **numbers)


def test_another_batch_than_the_graphs_own_is_refused(onnx_bundle: Bundle) -> None:
    session = Paced(HandClock(), 0.0)
    session.batch_size = 4  # type: ignore[assignment]
    with pytest.raises(UsageError, match="only at batch 4; pass --batch 4"):
        benchmark(Engine.of(onnx_bundle, session), labelled(2), batches=(1, 4))


def test_a_session_prepares_itself_for_each_batch_size_before_it_is_timed(
    onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(onnx_bundle, compute=Compute(threads=1))
    prepared: list[tuple[int, int, int]] = []
    monkeypatch.setattr(session, "warm_up", lambda *size: prepared.append(size), raising=False)
    benchmark(Engine.of(onnx_bundle, session), labelled(4), batches=(1, 2), images=2, warmup=0, repeats=1)
    assert prepared == [(1, PX, PX), (2, PX, PX)]


def test_few_images_still_fill_a_batch(onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = measured_by_hand(onnx_bundle, monkeypatch, SECONDS, batches=(16,)).runs
    assert run.images == 16
    assert run.latency_ms.p50 == pytest.approx(160)


def test_only_unreadable_images_are_refused(onnx_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="none of the first 2 images of pictures can be read"):
        benchmark(Engine.of(onnx_bundle, Broken()), labelled(2, broken=(0, 1)), batches=(1,), images=2)


def test_the_environment_names_what_the_figures_depend_on(result: Benchmark) -> None:
    assert {"cpu", "cores", "system", "python", "onnxruntime", "pillow"} == set(result.environment)
    assert all(result.environment.values())


def test_the_origin_names_the_images_that_were_used(onnx_bundle: Bundle) -> None:
    with Engine.open(onnx_bundle) as engine:
        few, all_of_them, others = (
            benchmark(engine, source, batches=(1,), images=count, warmup=0, repeats=1).provenance
            for source, count in ((labelled(6), 3), (labelled(6), 6), (labelled(3), 3))
        )
    assert few
    assert all_of_them
    assert others
    assert few.options == {"batches": [1], "images": 3, "warmup": 0, "repeats": 1}
    assert few.data.fingerprint == others.data.fingerprint != all_of_them.data.fingerprint
    assert few.models[0].digest == onnx_bundle.model.digest
