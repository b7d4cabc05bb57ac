import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from xception.tasks.averages import averages


def confusion_of(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (targets, predicted), 1)
    return confusion


def test_the_means_are_those_of_scikit_learn_where_classes_are_missing_too() -> None:
    rng = np.random.default_rng(0)
    targets, guesses = rng.integers(0, 6, 200), rng.integers(2, 9, 200)
    predicted = np.where(rng.random(200) < 0.5, targets, guesses)
    found = averages(confusion_of(targets, predicted, 10))
    assert found
    for means, kind in zip(found, ("macro", "weighted"), strict=True):
        expected = precision_recall_fscore_support(targets, predicted, average=kind, zero_division=0)[:3]
        assert [means.precision.value, means.recall.value, means.f1.value] == pytest.approx(list(expected), rel=1e-12)


def test_the_intervals_cover_the_truth_and_shrink_with_more_images() -> None:
    rng = np.random.default_rng(1)
    covered, widths = 0, []
    truth = 0.8
    for images in [200] * 100 + [20_000]:
        targets = np.arange(images) % 4
        predicted = np.where(rng.random(images) < truth, targets, (targets + 1) % 4)
        found = averages(confusion_of(targets, predicted, 4))
        assert found
        macro = found[0].recall
        assert macro.low < macro.value < macro.high
        covered += macro.low <= truth <= macro.high
        widths.append(macro.high - macro.low)
    assert 88 <= covered <= 101
    assert widths[-1] < widths[0] / 5


def test_without_images_there_are_no_means() -> None:
    assert averages(np.zeros((3, 3), np.int64)) is None
    assert averages(np.diag([2, 3])) == averages(np.diag([2, 3]))
