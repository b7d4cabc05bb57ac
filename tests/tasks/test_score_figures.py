import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from xception.data.source import Item
from xception.metrics import Activation, probabilities
from xception.pipeline.lane import Scored
from xception.tasks.evaluation import Evaluation
from xception.tasks.kept_logits import KeptLogits
from xception.tasks.score_figures import CLASSES_AT_ONCE, MAX_CURVES, MAX_POINTS
from xception.tasks.tally import Tally


def drawn(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that know something of their classes, the last of which has no images."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes - 1, images)
    logits = rng.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), targets] += 1
    return logits, targets


def evaluated(logits: np.ndarray, targets: np.ndarray, activation: Activation = "softmax") -> Evaluation:
    with KeptLogits() as kept:
        tally = Tally(tuple(f"c{k}" for k in range(logits.shape[1])), activation=activation, kept=kept)
        for place, (row, target) in enumerate(zip(logits, targets, strict=True)):
            tally.add(Scored(Item(str(place), int(target), bytes), row))
        return tally.evaluation("bundle", "data", "backend", len(targets))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("classes", [2, 5, CLASSES_AT_ONCE + 3])
def test_areas_are_those_of_scikit_learn(classes: int, activation: Activation) -> None:
    logits, targets = drawn(400, classes + 1)
    logits = logits[:, :classes] if classes == 2 else logits
    targets = targets % logits.shape[1]
    result, shares = evaluated(logits, targets, activation), probabilities(logits, activation)
    present = [k for k in range(logits.shape[1]) if (targets == k).any()]
    areas = {k: roc_auc_score(targets == k, shares[:, k]) for k in present}
    precisions = {k: average_precision_score(targets == k, shares[:, k]) for k in present}
    for k, entry in enumerate(result.classes):
        assert entry.average_precision == (pytest.approx(precisions[k], rel=1e-12) if k in present else None)
        assert entry.roc_auc == (pytest.approx(areas[k], rel=1e-12) if k in present else None)
    support = [np.sum(targets == k) for k in present]
    if activation == "softmax":
        assert result.roc_auc == pytest.approx(np.mean(list(areas.values())), rel=1e-12)
    assert result.roc_auc_weighted == pytest.approx(np.average(list(areas.values()), weights=support), rel=1e-12)
    assert result.average_precision == pytest.approx(np.mean(list(precisions.values())), rel=1e-12)


def test_one_vs_rest_is_what_scikit_learn_calls_so() -> None:
    logits, targets = drawn(300, 5)
    shares = probabilities(logits[:, :4], "softmax")
    result = evaluated(logits[:, :4], targets)
    for average, value in (("macro", result.roc_auc), ("weighted", result.roc_auc_weighted)):
        expected = roc_auc_score(targets, shares, multi_class="ovr", average=average)
        assert value == pytest.approx(expected, rel=1e-12)


def test_two_classes_have_the_curve_of_the_second_one() -> None:
    logits, targets = drawn(50, 3)
    result = evaluated(logits[:, :2], targets)
    (curve,) = result.curves
    assert curve.label == "c1"
    shares = probabilities(logits[:, :2], "softmax")[:, 1]
    precision, recall, thresholds = precision_recall_curve(targets == 1, shares)
    assert [point.threshold for point in curve.points] == pytest.approx(thresholds[::-1].tolist())
    assert [point.precision for point in curve.points] == pytest.approx(precision[-2::-1].tolist())
    assert [point.recall for point in curve.points] == pytest.approx(recall[-2::-1].tolist())
    assert curve.points[-1].false_positive_rate == 1


def test_of_many_classes_the_worst_curves_are_kept_and_of_many_thresholds_some() -> None:
    result = evaluated(*drawn(500, MAX_CURVES + 9))
    assert len(result.curves) == MAX_CURVES
    precision = {entry.label: entry.average_precision for entry in result.classes}
    kept = [precision[curve.label] for curve in result.curves]
    assert kept == sorted(value for value in precision.values() if value is not None)[:MAX_CURVES]
    assert {len(curve.points) for curve in result.curves} == {MAX_POINTS}
    assert all(curve.points[-1].recall == 1 for curve in result.curves)


def test_no_figure_depends_on_the_order_of_the_images() -> None:
    logits, targets = drawn(300, 6)
    order = np.random.default_rng(5).permutation(300)
    first, second = evaluated(logits, targets), evaluated(logits[order], targets[order])
    for figure in ("classes", "curves", "temperature", "roc_auc", "average_precision_weighted", "macro", "weighted"):
        assert getattr(first, figure) == getattr(second, figure)
