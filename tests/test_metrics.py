import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xception.metrics import cross_entropy, log_softmax, rank_of_target, softmax, top_k

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
    assert cross_entropy(np.zeros((2, 10), np.float32), np.array([3, 9])) == pytest.approx(np.log(10))


def test_the_loss_is_that_of_the_true_class() -> None:
    logits = np.log(np.array([[0.2, 0.8], [0.5, 0.5]]))
    assert cross_entropy(logits, np.array([1, 0])) == pytest.approx(-np.log([0.8, 0.5]))
