from itertools import count

import numpy as np
import pytest

from tests.speed.clocks import HandClock, Paced
from tests.support.samples import labelled
from xception.bundle import Bundle
from xception.errors import InputError, UsageError
from xception.intervals import Interval
from xception.pipeline.engine import Engine
from xception.pipeline.timing import rate
from xception.speed.benchmark import workload
from xception.speed.race import Race, Racer, race
from xception.speed.workload import Workload


class Noisy(Paced):
    """Takes its time, more or less from call to call."""

    def __init__(self, clock: HandClock, image_s: float, spread: float, seed: int = 0) -> None:
        super().__init__(clock, image_s)
        draws = np.random.default_rng(seed)
        self._times = (image_s * float(np.exp(draws.normal(0, spread))) for _ in count())

    def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
        self.image_s = next(self._times)
        return super().__call__(pixels)


def contender(bundle: Bundle, clock: HandClock, image_s: float, spread: float = 0.0, seed: int = 0) -> Workload:
    session = Noisy(clock, image_s, spread, seed)
    return workload(Engine.of(bundle, session, workers=1), labelled(8), 8, images=8, clock=clock)


@pytest.mark.parametrize(("first_s", "second_s", "faster"), [(0.1, 0.125, "first"), (0.125, 0.1, "second")])
def test_a_clear_difference_is_told_with_its_interval(
    onnx_bundle: Bundle, first_s: float, second_s: float, faster: str
) -> None:
    clock = HandClock()
    sides = contender(onnx_bundle, clock, first_s, 0.01), contender(onnx_bundle, clock, second_s, 0.01, seed=1)
    result = race(*sides, warmup=1, repeats=8)
    assert result.faster == faster
    assert result.ratio.low < second_s / first_s < result.ratio.high
    assert result.ratio.high - result.ratio.low < 0.1
    assert result.first.end_to_end.images_per_second == pytest.approx(1 / first_s, rel=0.02)
    assert result.second.end_to_end.images_per_second == pytest.approx(1 / second_s, rel=0.02)
    assert "is faster than" in result.sentence()


def test_a_difference_within_the_noise_is_no_verdict(onnx_bundle: Bundle) -> None:
    clock = HandClock()
    sides = contender(onnx_bundle, clock, 0.1, 0.3), contender(onnx_bundle, clock, 0.102, 0.3, seed=1)
    result = race(*sides, warmup=0, repeats=5)
    assert result.faster is None
    assert result.sentence().startswith("no verdict: the noise (±")


def test_a_model_against_itself_has_a_verdict_at_most_1_time_in_20(onnx_bundle: Bundle) -> None:
    clock = HandClock()
    sides = contender(onnx_bundle, clock, 0.1, 0.05), contender(onnx_bundle, clock, 0.1, 0.05, seed=1)
    verdicts = [race(*sides, warmup=1, repeats=5).faster for _ in range(40)]
    assert sum(verdict is not None for verdict in verdicts) <= 5


def test_a_steady_drift_is_no_difference(onnx_bundle: Bundle) -> None:
    class Tiring(Paced):
        """Every call of either takes longer than the one before."""

        calls = count(1)

        def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
            self.image_s = 0.1 + 0.01 * next(self.calls)
            return super().__call__(pixels)

    clock = HandClock()
    sides = [workload(Engine.of(onnx_bundle, Tiring(clock, 0.1), workers=1), labelled(8), 8, images=8, clock=clock)] * 2
    assert race(*sides, warmup=1, repeats=5).ratio.value == pytest.approx(1)


def test_too_few_rounds_are_refused(onnx_bundle: Bundle) -> None:
    side = contender(onnx_bundle, HandClock(), 0.1)
    with pytest.raises(UsageError, match="at least 4"):
        race(side, side, warmup=0, repeats=3)


def test_images_that_cannot_be_read_decide_nothing(onnx_bundle: Bundle) -> None:
    clock = HandClock()
    engine = Engine.of(onnx_bundle, Paced(clock, 0.1), workers=1)
    side = workload(engine, labelled(2, broken=(0, 1)), 2, images=2, clock=clock)
    with pytest.raises(InputError, match="none of the images of pictures can be read"):
        race(side, side, warmup=1, repeats=4)


def test_images_that_fail_count_for_neither(onnx_bundle: Bundle) -> None:
    clock = HandClock()
    engine = Engine.of(onnx_bundle, Paced(clock, 0.1), workers=1)
    side = workload(engine, labelled(4, broken=(1,)), 4, images=4, clock=clock)
    result = race(side, side, warmup=1, repeats=4)
    assert result.first.end_to_end.images_per_second == pytest.approx(10)
    assert result.ratio.value == pytest.approx(1)


def told(value: float, low: float, high: float, faster: str | None) -> str:
    racer = Racer(bundle="a", backend="onnxruntime", end_to_end=rate([1.0], 8))
    return Race(
        batch=8,
        images=64,
        first=racer,
        second=Racer(bundle="b", backend="openvino", end_to_end=rate([1.0], 8)),
        ratio=Interval(value=value, low=low, high=high),
        faster=faster,
    ).sentence()


def test_the_verdict_is_said_in_words() -> None:
    assert told(1.25, 1.2, 1.3, "first") == "a (onnxruntime) is faster than b (openvino) by 25.0% [20.0%, 30.0%]"
    assert told(0.8, 0.5, 0.9, "second") == "b (openvino) is faster than a (onnxruntime) by 25.0% [11.1%, 100.0%]"
    assert told(1.02, 0.97, 1.07, None) == "no verdict: the noise (±5.0%) is larger than the difference (2.0%)"
