import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import labelled
from xception.backends.base import Compute, open_session
from xception.bundle import Bundle
from xception.data.decode import decode
from xception.errors import InputError, UsageError
from xception.pipeline.stream import STAGES
from xception.preprocess import Preprocess, Squash
from xception.tasks.benchmark import Benchmark, benchmark, bound, noise_source


@pytest.fixture(scope="module")
def result(onnx_bundle: Bundle) -> Benchmark:
    session = open_session(onnx_bundle, compute=Compute(threads=1))
    return benchmark(onnx_bundle, session, labelled(5, broken=(1,)), batches=(1, 4), images=9)


def test_every_batch_size_is_measured_in_every_stage(result: Benchmark) -> None:
    assert [run.batch for run in result.runs] == [1, 4]
    for run in result.runs:
        assert tuple(run.stages) == STAGES
        assert (run.backend, run.precision, run.images) == ("onnxruntime", "float32", 9)
        for rate in (*run.stages.values(), run.end_to_end):
            assert 0 < rate.low <= rate.images_per_second <= rate.high


def test_bound_bottleneck_and_efficiency_follow_from_the_stages(result: Benchmark) -> None:
    for run in result.runs:
        rates = {name: rate.images_per_second for name, rate in run.stages.items()}
        assert rates[run.bottleneck] == min(rates.values())
        assert run.bound_images_per_second == pytest.approx(bound(rates.values()))
        assert run.efficiency == pytest.approx(run.end_to_end.images_per_second / run.bound_images_per_second)
        assert run.latency_ms == pytest.approx(1000 * run.batch / rates["infer"], rel=0.9)


def test_unreadable_images_are_skipped_and_counted(result: Benchmark) -> None:
    assert result.skipped == 1


def test_the_document_goes_through_json(result: Benchmark) -> None:
    assert msgspec.json.decode(msgspec.json.encode(result), type=Benchmark) == result


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=6))
def test_the_bound_is_below_the_slowest_stage(rates: list[float]) -> None:
    assert bound(rates) <= min(rates) * (1 + 1e-9)
    assert bound(rates) * len(rates) >= min(rates) * (1 - 1e-9)


def test_two_equal_stages_halve_the_rate() -> None:
    assert bound([100, 100]) == pytest.approx(50)


@pytest.mark.parametrize(("batches", "images"), [((1,), 0), ((0,), 4), ((), 4), ((4, -1), 4)])
def test_nothing_to_measure_is_refused(onnx_bundle: Bundle, batches: tuple[int, ...], images: int) -> None:
    with pytest.raises(UsageError, match="at least one image and batch sizes of at least 1"):
        benchmark(onnx_bundle, open_session(onnx_bundle), labelled(2), batches=batches, images=images)


def test_only_unreadable_images_are_refused(onnx_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="none of the images of pictures can be read"):
        benchmark(onnx_bundle, open_session(onnx_bundle), labelled(2, broken=(0, 1)))


def test_noise_needs_no_data_and_is_always_the_same() -> None:
    preprocess = Preprocess(resize=Squash(width_px=40, height_px=20))
    first, second = (noise_source(preprocess, 3) for _ in range(2))
    data = [item.load() for item in first]
    assert data == [item.load() for item in second]
    assert len(set(data)) == 3
    assert isinstance(data[0], bytes)
    assert decode(data[0]).size == (50, 25)


def test_the_environment_names_what_the_figures_depend_on(result: Benchmark) -> None:
    facts = result.environment
    assert {"cpu", "cores", "system", "python", "onnxruntime", "pillow"} == set(facts)
    assert all(facts.values())
