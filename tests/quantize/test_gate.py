import pytest

from xception.quantize.gate import TOLERANCE, judge
from xception.statistics import wilson
from xception.tasks.evaluate import Evaluation


def evaluation(hits: int, total: int = 1000) -> Evaluation:
    return Evaluation(
        bundle="b",
        data="d",
        backend="onnxruntime",
        total=total,
        seen=total,
        failed=0,
        top1=wilson(hits, total),
        top5=None,
        loss=None,
        labels=("a", "b"),
        confusion=((0, 0), (0, 0)),
        mistakes=(),
        failures=(),
    )


@pytest.mark.parametrize(("candidate", "passed"), [(900, True), (910, True), (895, True), (894, False), (0, False)])
def test_a_loss_up_to_and_including_the_tolerance_passes(candidate: int, passed: bool) -> None:
    verdict = judge("max", evaluation(900), evaluation(candidate))
    assert verdict.tolerance == TOLERANCE
    assert verdict.drop == pytest.approx((900 - candidate) / 1000)
    assert verdict.passed is passed


def test_the_tolerance_may_be_chosen() -> None:
    assert judge("max", evaluation(900), evaluation(890), 0.02).passed
    assert not judge("max", evaluation(900), evaluation(890), 0.0).passed


def test_the_verdict_is_a_sentence_with_percentages() -> None:
    sentence = judge("entropy", evaluation(900), evaluation(880)).sentence()
    assert sentence == (
        "int8 by entropy: 88.00% of 1000 held-out images against 90.00%, "
        "a loss of +2.00 points, more than the 0.5 allowed"
    )


def test_without_a_seen_image_nothing_was_right() -> None:
    assert judge("max", evaluation(5, 10), evaluation(0, 0)).drop == 0.5
