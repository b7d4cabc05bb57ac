from itertools import pairwise
from math import isnan
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq
from sklearn import metrics as theirs

from xception.errors import UsageError
from xception.metrics import (
    ExactSum,
    RankedScores,
    Reliability,
    balanced_accuracy,
    brier,
    cohens_kappa,
    equal_error_rate,
    log_sigmoid,
    log_softmax,
    loss,
    macro_f1,
    matthews_correlation,
    precision_recall_f1,
    probabilities,
    rank_of_target,
    roc_auc,
    sigmoid,
    softmax,
    top_k,
    weighted_f1,
)

LOGITS = arrays(np.float32, (3, 6), elements=st.floats(-1e4, 1e4, width=32))
COARSE = arrays(np.float32, (3, 6), elements=st.integers(-2, 2).map(float))


@given(LOGITS)
def test_probabilities_are_positive_and_sum_to_one(logits: np.ndarray) -> None:
    probabilities = softmax(logits)
    assert probabilities.dtype == np.float64
    assert (probabilities >= 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)


@given(LOGITS, st.floats(-1e3, 1e3))
def test_probabilities_do_not_depend_on_an_offset(logits: np.ndarray, offset: float) -> None:
    wide = logits.astype(np.float64)
    np.testing.assert_allclose(softmax(wide + offset), softmax(wide), rtol=1e-6, atol=1e-12)


def test_a_probability_is_the_definition() -> None:
    assert softmax(np.log(np.array([[1.0, 2.0, 5.0]]))) == pytest.approx(np.array([[0.125, 0.25, 0.625]]))
    assert log_softmax(np.array([[0.0, 0.0]])) == pytest.approx(-np.log(2))


def test_huge_logits_do_not_overflow() -> None:
    assert softmax(np.array([[1e30, -1e30]], np.float32)).tolist() == [[1, 0]]


@given(COARSE, st.integers(1, 8))
def test_the_best_classes_come_first_and_ties_go_to_the_lower_index(logits: np.ndarray, k: int) -> None:
    expected = [sorted(range(6), key=lambda index: (-row[index], index))[:k] for row in logits]
    assert top_k(logits, k).tolist() == expected


@given(COARSE)
def test_the_rank_is_the_place_among_the_best_classes(logits: np.ndarray) -> None:
    order = top_k(logits, 6)
    for target in range(6):
        ranks = rank_of_target(logits, np.full(3, target))
        assert [int(order[row, rank]) for row, rank in enumerate(ranks)] == [target] * 3


def test_a_logit_that_is_no_number_is_never_a_hit() -> None:
    logits = np.array([[np.nan, np.nan, np.nan], [np.nan, 1, 2], [np.nan, 1, 2]], np.float32)
    assert rank_of_target(logits, np.array([0, 0, 2])).tolist() == [3, 3, 1]


def test_the_loss_of_an_even_guess_is_the_logarithm_of_the_classes() -> None:
    assert loss(np.zeros((2, 10), np.float32), np.array([3, 9]), "softmax") == pytest.approx(np.log(10))


def test_the_loss_is_that_of_the_true_class() -> None:
    logits = np.log(np.array([[0.2, 0.8], [0.5, 0.5]]))
    assert loss(logits, np.array([1, 0]), "softmax") == pytest.approx(-np.log([0.8, 0.5]))


@given(st.lists(st.floats(0, 1e6), min_size=1), st.randoms())
def test_a_sum_does_not_depend_on_the_order(values: list[float], order: Random) -> None:
    first, second = ExactSum(), ExactSum()
    for value in values:
        first.add(value)
    order.shuffle(values)
    for value in values:
        second.add(value)
    assert first.mean(len(values)) == second.mean(len(values)) == pytest.approx(np.mean(values), rel=1e-12, abs=1e-17)


def test_a_plain_sum_does_depend_on_the_order() -> None:
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1


def test_nothing_has_no_mean() -> None:
    assert ExactSum().mean(0) is None


def test_the_calibration_error_is_the_definition() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.1, 1, 500)
    right = rng.random(500) < confidences**2
    measured = Reliability(15)
    for confidence, is_right in zip(confidences, right, strict=True):
        measured.add(float(confidence), bool(is_right))
    edges = np.linspace(0, 1, 16)
    inside = [(confidences > low) & (confidences <= high) for low, high in pairwise(edges)]
    expected = sum(abs(right[part].mean() - confidences[part].mean()) * part.mean() for part in inside if part.any())
    assert measured.expected_calibration_error() == pytest.approx(expected, rel=1e-12)
    assert measured.counts == [int(part.sum()) for part in inside]
    assert measured.confidences[0] is None
    assert measured.confidences[14] == pytest.approx(confidences[inside[14]].mean())


def test_confidence_that_is_earned_has_no_calibration_error() -> None:
    earned, doubted = Reliability(10), Reliability(10)
    for index in range(10):
        earned.add(0.7, index < 7)
        doubted.add(0.7, True)
    assert earned.expected_calibration_error() == pytest.approx(0, abs=1e-15)
    assert doubted.expected_calibration_error() == pytest.approx(0.3)
    assert Reliability(10).expected_calibration_error() is None


def test_certainty_and_its_absence_fall_into_the_outer_bins() -> None:
    measured = Reliability(4)
    for confidence in (0.0, 0.25, 0.26, 1.0, 1.0000000002):
        measured.add(confidence, True)
    assert measured.counts == [2, 1, 0, 2]


@given(arrays(np.int64, (4, 4), elements=st.integers(0, 5)).filter(np.any))
def test_scores_of_classes_are_sklearns(confusion: np.ndarray) -> None:
    targets, predicted = (np.repeat(index.ravel(), confusion.ravel()) for index in np.indices((4, 4)))
    expected = theirs.precision_recall_fscore_support(targets, predicted, labels=range(4), zero_division=np.nan)
    ours = precision_recall_f1(confusion)
    np.testing.assert_allclose(ours[:, 0], expected[0])
    np.testing.assert_allclose(ours[:, 1], expected[1])
    known = ~np.isnan(ours[:, 2]) & ~np.isnan(expected[2])
    np.testing.assert_allclose(ours[known, 2], expected[2][known])
    assert [isnan(f1) for f1 in ours[:, 2]] == [not (confusion[:, k].any() or confusion[k].any()) for k in range(4)]


SCORES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_the_area_under_the_roc_curve_is_sklearns(negatives: list[float], positives: list[float]) -> None:
    targets = [0] * len(negatives) + [1] * len(positives)
    ours = roc_auc(np.array(negatives), np.array(positives))
    assert ours == pytest.approx(theirs.roc_auc_score(targets, negatives + positives), rel=1e-12)


@given(SCORES, SCORES)
def test_the_equal_error_rate_is_where_the_roc_curve_crosses_the_diagonal(
    negatives: list[float], positives: list[float]
) -> None:
    targets = [0] * len(negatives) + [1] * len(positives)
    false, true, _ = theirs.roc_curve(targets, negatives + positives, drop_intermediate=False)
    length = np.arange(len(false), dtype=float)
    place = brentq(lambda x: 1 - np.interp(x, length, true) - np.interp(x, length, false), 0, length[-1], xtol=1e-12)
    assert equal_error_rate(np.array(negatives), np.array(positives)) == pytest.approx(
        np.interp(place, length, false), abs=1e-9
    )


@given(SCORES, SCORES)
def test_it_does_not_matter_which_class_is_the_positive_one(negatives: list[float], positives: list[float]) -> None:
    first, second = np.array(negatives), np.array(positives)
    assert roc_auc(first, second) == pytest.approx(roc_auc(-second, -first))
    assert equal_error_rate(first, second) == pytest.approx(equal_error_rate(-second, -first), abs=1e-12)


def test_scores_that_separate_the_classes_make_no_errors() -> None:
    low, high = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    assert (roc_auc(low, high), equal_error_rate(low, high)) == (1, 0)
    assert (roc_auc(high, low), equal_error_rate(high, low)) == (0, 1)
    assert (roc_auc(low, low), equal_error_rate(low, low)) == (0.5, 0.5)


def test_one_class_alone_has_no_roc_curve() -> None:
    assert roc_auc(np.array([]), np.array([1.0])) is None
    assert equal_error_rate(np.array([1.0]), np.array([])) is None


def test_sigmoids_are_exact_where_probabilities_are_tiny() -> None:
    logits = np.array([[-800.0, -40.0, 0.0, 40.0, 800.0]])
    assert log_sigmoid(logits)[0, :3] == pytest.approx([-800, -40, -np.log(2)])
    assert sigmoid(logits)[0].tolist() == [0.0, pytest.approx(np.exp(-40)), 0.5, 1.0, 1.0]


def test_probabilities_are_those_of_the_activation() -> None:
    logits = np.array([[0.0, np.log(3.0)]])
    assert probabilities(logits, "softmax")[0] == pytest.approx([0.25, 0.75])
    assert probabilities(logits, "sigmoid")[0] == pytest.approx([0.5, 0.75])
    with pytest.raises(UsageError, match="are no probabilities"):
        probabilities(logits, "none")


def test_the_loss_of_sigmoids_is_the_mean_over_the_classes() -> None:
    found = loss(np.array([[0.0, np.log(3.0)]]), np.array([1]), "sigmoid")
    assert found == pytest.approx([-(np.log(0.5) + np.log(0.75)) / 2])


def test_figures_over_classes_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    targets, predicted = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
    confusion = np.zeros((6, 6), np.int64)
    np.add.at(confusion, (targets, predicted), 1)
    # Class 4 has no sample of its own, class 5 not even a prediction.
    assert balanced_accuracy(confusion) == pytest.approx(
        theirs.recall_score(targets, predicted, average=None, labels=range(4)).mean()
    )
    assert macro_f1(confusion) == pytest.approx(theirs.f1_score(targets, predicted, average="macro"))
    assert weighted_f1(confusion) == pytest.approx(theirs.f1_score(targets, predicted, average="weighted"))
    assert matthews_correlation(confusion) == pytest.approx(theirs.matthews_corrcoef(targets, predicted))
    assert cohens_kappa(confusion) == pytest.approx(theirs.cohen_kappa_score(targets, predicted))
    for figure in (weighted_f1, matthews_correlation, cohens_kappa):
        assert figure(np.zeros((2, 2), int)) is None
    assert balanced_accuracy(np.zeros((2, 2), int)) is None


def test_the_brier_score_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    values = softmax(rng.normal(size=(50, 4)))
    targets = rng.integers(0, 4, 50)
    expected = theirs.brier_score_loss(targets, values, labels=range(4), scale_by_half=False)
    assert brier(values, targets).mean() == pytest.approx(expected)


@pytest.mark.parametrize("levels", [3, 1000])
def test_a_class_against_all_others_is_ranked_as_scikit_learn_does_it(levels: int) -> None:
    rng = np.random.default_rng(levels)
    scores, is_own = rng.integers(0, levels, 300) / levels, rng.random(300) < 0.2
    ranked = RankedScores(scores, is_own)
    assert ranked.roc_auc() == pytest.approx(theirs.roc_auc_score(is_own, scores), rel=1e-12)
    assert ranked.roc_auc() == pytest.approx(roc_auc(scores[~is_own], scores[is_own]), rel=1e-12)
    assert ranked.average_precision() == pytest.approx(theirs.average_precision_score(is_own, scores), rel=1e-12)
    rates, recalls, thresholds = theirs.roc_curve(is_own, scores, drop_intermediate=False)
    assert ranked.thresholds.tolist() == thresholds[1:].tolist()
    assert (ranked.own / is_own.sum()).tolist() == recalls[1:].tolist()
    assert (ranked.others / (~is_own).sum()).tolist() == rates[1:].tolist()
    order = rng.permutation(300)
    again = RankedScores(scores[order], is_own[order])
    assert (again.roc_auc(), again.average_precision()) == (ranked.roc_auc(), ranked.average_precision())


def test_a_class_without_images_or_without_others_has_no_curve() -> None:
    for is_own in (np.zeros(3, bool), np.ones(3, bool), np.zeros(0, bool)):
        ranked = RankedScores(np.arange(len(is_own)) / 3, is_own)
        assert (ranked.roc_auc(), ranked.average_precision()) == (None, None)
