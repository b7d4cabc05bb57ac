import msgspec
import numpy as np
import pytest

from xception.errors import CheckFailed
from xception.quantize.gate import MIN_AGREEMENT, TOLERANCE, check_parent, judge
from xception.quantize.outputs import Outputs

KEYS = tuple(map(str, range(1000)))


def answered(hits: int, total: int = 1000, classes: int = 2, labels: bool = True) -> Outputs:
    """The first `hits` images right, and the others wrong."""
    targets = np.arange(total) % classes
    predicted = np.where(np.arange(total) < hits, targets, (targets + 1) % classes)
    logits = 10 * np.eye(classes, dtype=np.float32)[predicted]
    return Outputs(data="d", names=("a", "b"), keys=KEYS, logits=logits, targets=targets if labels else None, failed=2)


@pytest.mark.parametrize(("candidate", "passed"), [(900, True), (910, True), (895, True), (894, False), (0, False)])
def test_a_loss_up_to_and_including_the_tolerance_passes(candidate: int, passed: bool) -> None:
    verdict = judge(answered(900), answered(candidate))
    assert verdict.tolerance == TOLERANCE
    assert verdict.difference
    assert verdict.difference.value == pytest.approx((candidate - 900) / 1000)
    assert verdict.passed is passed
    assert bool(verdict.reasons) is not passed


def test_the_tolerance_may_be_chosen() -> None:
    assert judge(answered(900), answered(892), 0.02).passed
    assert not judge(answered(900), answered(899), 0.0).passed


def test_less_than_99_percent_of_the_parents_accuracy_fails_even_within_the_tolerance() -> None:
    verdict = judge(answered(200), answered(196))
    assert verdict.difference
    assert verdict.difference.value == pytest.approx(-0.004)
    assert verdict.reasons == ("98.00% of the parent's accuracy, less than the 99% demanded",)


def test_an_undecided_test_passes_with_the_number_of_images_that_would_decide() -> None:
    verdict = judge(answered(900), answered(898))
    assert verdict.passed
    assert verdict.non_inferiority
    assert verdict.non_inferiority.verdict == "undecided"
    assert "not enough images (1,000), need about" in verdict.sentence()
    assert not judge(answered(900), answered(898), is_strict=True).passed
    assert judge(answered(900), answered(900), is_strict=True).passed


def test_the_verdict_is_a_sentence_with_percentages() -> None:
    assert judge(answered(900), answered(880)).sentence() == (
        "88.00% of 1000 held-out images against 90.00%, a difference of -2.00 points; "
        "within 0.5 points with 95 % confidence: no; worse by more than the 0.5 points allowed; "
        "97.78% of the parent's accuracy, less than the 99% demanded; "
        "shown to be worse"
    )


def test_the_verdict_is_a_document() -> None:
    verdict = judge(answered(900), answered(880))
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=type(verdict)) == verdict
    assert verdict.p_value == pytest.approx(2 * 0.5**20)
    assert (verdict.candidate.total, verdict.candidate.seen, verdict.candidate.failed) == (1002, 1000, 2)


@pytest.mark.parametrize(("changed", "passed"), [(0, True), (20, True), (21, False)])
def test_without_labels_the_parents_classes_count(changed: int, passed: bool) -> None:
    verdict = judge(answered(1000, labels=False), answered(1000 - changed, labels=False))
    assert verdict.top1_agreement == pytest.approx(1 - changed / 1000)
    assert MIN_AGREEMENT == 0.98
    assert (verdict.difference, verdict.non_inferiority) == (None, None)
    assert ("less than the agreement of 98% demanded" not in verdict.reasons) is passed


def test_without_labels_logits_must_not_be_far_off_either() -> None:
    parent = answered(1000, labels=False)
    faded = Outputs(data="d", names=("a", "b"), keys=KEYS, logits=parent.logits / 2, targets=None, failed=0)
    assert judge(parent, faded).reasons == ("more than the logit error of 0.25 allowed",)
    lifted = Outputs(data="d", names=("a", "b"), keys=KEYS, logits=parent.logits + 7, targets=None, failed=0)
    assert judge(parent, lifted).logit_error == pytest.approx(0, abs=1e-6)


def test_a_parent_that_may_be_guessing_is_refused() -> None:
    check_parent(answered(600))
    with pytest.raises(CheckFailed, match="no better than guessing among 2 classes"):
        check_parent(answered(520))
    with pytest.raises(CheckFailed, match="all 1000 images of d the same class"):
        check_parent(
            Outputs(
                data="d",
                names=("a", "b"),
                keys=KEYS,
                logits=np.tile(np.float32([1, 0]), (1000, 1)),
                targets=None,
                failed=0,
            )
        )
