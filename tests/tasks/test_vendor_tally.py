import numpy as np
import pytest

from xception.interchange.vendor_answers import Unreadable, VendorAnswer
from xception.labels import Labels
from xception.tasks.evaluation import Evaluation
from xception.tasks.kept_logits import KeptLogits
from xception.tasks.vendor_tally import VendorTally, facts_of

LABELS = Labels(("ant", "bee", "cat"))


def counted(*answers: VendorAnswer | Unreadable, labels_wrong: bool = False) -> tuple[Evaluation, str]:
    with KeptLogits("<f8") as kept:
        tally = VendorTally(LABELS, "softmax", None, kept)
        for place, answer in enumerate(answers):
            tally.add(answer, f"{answer.path}.jpg", place % 3)
        total = len(answers)
        result = tally.evaluation("place", "ascend", total, top=5, find_label_issues=labels_wrong)
        return result, tally.digest


def scores(seed: int, count: int = 12) -> list[VendorAnswer]:
    rng = np.random.default_rng(seed)
    return [VendorAnswer(f"{n}", rng.normal(size=3).astype(np.float32)) for n in range(count)]


def test_rankings_have_what_the_order_of_the_classes_tells() -> None:
    rankings = [VendorAnswer(f"{n}", classes=tuple(np.argsort(-answer.scores))) for n, answer in enumerate(scores(0))]
    by_rank, _ = counted(*rankings)
    by_score, _ = counted(*scores(0))
    assert (by_rank.top_k, by_rank.confusion) == (by_score.top_k, by_score.confusion)
    assert (by_rank.loss, by_rank.brier_score, by_rank.roc_auc, by_rank.calibration) == (None, None, None, ())
    assert {mistake.probability for mistake in by_rank.mistakes} == {None}
    assert by_score.loss is not None
    assert (by_rank.macro, by_rank.cohens_kappa) == (by_score.macro, by_score.cohens_kappa)


def test_places_that_are_not_known_are_not_guessed() -> None:
    result, _ = counted(VendorAnswer("a", classes=(0,)), VendorAnswer("b", classes=(2,)))
    assert [interval.value for interval in result.top_k] == [0.5]


def test_the_digest_is_that_of_the_answers_in_any_order() -> None:
    first, second = counted(*scores(0)), counted(*scores(1))
    assert counted(*scores(0))[1] == first[1] != second[1]
    turned = [VendorAnswer("b", classes=(1, 0)), VendorAnswer("a", classes=(0, 1))]
    assert counted(*turned)[1] == counted(*turned[::-1])[1]


def test_failures_are_counted_and_bound_the_accuracy() -> None:
    answers: list[VendorAnswer | Unreadable] = [*scores(0), Unreadable("x", "is empty")]
    with KeptLogits("<f8") as kept:
        tally = VendorTally(LABELS, "softmax", None, kept)
        for place, answer in enumerate(answers):
            tally.add(answer, answer.path, place % 3)
        result = tally.evaluation("place", "ascend", 13, top=5, find_label_issues=False)
        facts = facts_of(tally, result, "ascend", "truth", ["z", "y"])
    right = sum(result.confusion[place][place] for place in range(3))
    assert (result.seen, result.failed, result.failures[0].reason) == (12, 1, "is empty")
    assert facts.top1_of_all == (right / 13, (right + 1) / 13)
    assert (facts.values, facts.scores, facts.extra) == (3, "logits", ("y", "z"))


def test_labels_of_a_tools_answers_are_looked_at_too() -> None:
    certain = [VendorAnswer(f"{n}", 6 * np.eye(3, dtype=np.float32)[n % 3]) for n in range(30)]
    certain[4] = VendorAnswer("4", 6 * np.eye(3, dtype=np.float32)[0])
    result, _ = counted(*certain, labels_wrong=True)
    assert result.label_issues
    assert [(issue.path, issue.suggested) for issue in result.label_issues.candidates] == [("4.jpg", "ant")]
    assert pytest.approx(1.0, abs=0.01) == result.label_issues.candidates[0].probability
