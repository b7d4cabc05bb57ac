import pytest

from tests.speed.clocks import HandClock, Paced
from tests.support.samples import labelled
from xception.bundle import Bundle
from xception.intervals import Interval
from xception.pipeline.engine import Engine
from xception.quantize.speed import TURN_IMAGES, Int8Speed, drawn_network_speed, int8_speed, measured
from xception.speed.benchmark import workload
from xception.speed.workload import Workload


def side(bundle: Bundle, clock: HandClock, image_s: float) -> Workload:
    return workload(Engine.of(bundle, Paced(clock, image_s), workers=1), labelled(8), 8, images=64, clock=clock)


@pytest.mark.parametrize(("int8_s", "verdict"), [(0.05, "faster"), (0.1, "undecided"), (0.2, "slower")])
def test_the_ratio_is_that_of_the_runtimes(onnx_bundle: Bundle, int8_s: float, verdict: str) -> None:
    clock = HandClock()
    found = measured(side(onnx_bundle, clock, 0.1), side(onnx_bundle, clock, int8_s))
    assert found.verdict == verdict
    assert found.ratio.value == pytest.approx(0.1 / int8_s)
    assert found.batch == 8


@pytest.mark.parametrize(("image_s", "images"), [(1.0, 8), (0.01, 16), (0.0001, TURN_IMAGES)])
def test_a_turn_is_long_enough_and_no_longer(onnx_bundle: Bundle, image_s: float, images: int) -> None:
    clock = HandClock()
    assert measured(*(side(onnx_bundle, clock, image_s) for _ in range(2))).images == images


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1.1, 1.5, "int8 is faster here: +30.0% [+10.0%, +50.0%] images per second than in float (a at batch 8)"),
        (0.8, 1.8, "no verdict on speed: +30.0% [-20.0%, +80.0%]"),
        (0.7, 0.9, "int8 is slower here: -20.0% [-30.0%, -10.0%]"),
    ],
)
def test_the_verdict_is_said_in_words(low: float, high: float, words: str) -> None:
    ratio = Interval(value=(low + high) / 2, low=low, high=high)
    speed = Int8Speed(parent_backend="a", backend="a", batch=8, images=8, ratio=ratio)
    assert speed.sentence().startswith(words)
    other = Int8Speed(parent_backend="b", backend="a", batch=8, images=8, ratio=ratio)
    assert "(a at batch 8, the float graph in b)" in other.sentence()


def test_real_runtimes_are_measured(onnx_bundle: Bundle) -> None:
    with Engine.open(onnx_bundle) as first, Engine.open(onnx_bundle) as second:
        found = int8_speed(first, second, labelled(4))
    assert found.ratio.low <= found.ratio.value <= found.ratio.high
    assert found.parent_backend == found.backend == "onnxruntime"


def test_a_network_with_drawn_weights_is_measured_in_both_precisions() -> None:
    found = drawn_network_speed("mini_xception", width=0.25, px=32)
    assert found.backend == found.parent_backend == "onnxruntime"
    assert found.images % found.batch == 0
    assert 0 < found.ratio.low <= found.ratio.high
