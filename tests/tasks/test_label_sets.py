from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.samples import labelled
from xception.bundle import Bundle
from xception.data.memory import in_memory
from xception.data.source import Item
from xception.errors import CheckFailed, InputError, UsageError
from xception.intervals import wilson
from xception.metrics import sigmoid
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Failure, Scored
from xception.report.evaluation import evaluation_csv, render_evaluation
from xception.tasks.compare import compare
from xception.tasks.evaluate import evaluate
from xception.tasks.evaluation import Evaluation
from xception.tasks.image_results import ResultMaker, result_file
from xception.tasks.label_sets import SetTally
from xception.tasks.scored_rows import compare_rows, evaluate_rows
from xception.tasks.targets import named

NAMES = ("ant", "bee", "cow", "dog", "eel")
COUNT = 200


@pytest.fixture(scope="module")
def answers() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Logits with ties, and true classes: ant is common, dog rare, eel never there; some images have no class."""
    rng = np.random.Generator(np.random.PCG64(5))
    has = rng.random((COUNT, 5)) < [0.6, 0.4, 0.3, 0.05, 0]
    return np.round(rng.normal(size=(COUNT, 5)) + 1.5 * has - 0.7, 1).astype(np.float32), has


def outcome(index: int, logits: NDArray[np.float32], has: NDArray[np.bool_]) -> Scored:
    return Scored(Item(f"{index:04d}", tuple(map(int, np.flatnonzero(has))), bytes), logits, None)


def tally_of(answers: tuple[NDArray[np.float32], NDArray[np.bool_]], order: NDArray[np.intp]) -> SetTally:
    tally = SetTally(NAMES)
    for index in order:
        tally.add(outcome(int(index), answers[0][index], answers[1][index]))
    return tally


@pytest.fixture(scope="module")
def result(answers: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> Evaluation:
    return tally_of(answers, np.arange(COUNT)).evaluation("b", "d", "x", COUNT)


def test_every_figure_is_that_of_scikit_learn(
    answers: tuple[NDArray[np.float32], NDArray[np.bool_]], result: Evaluation
) -> None:
    from sklearn import metrics

    scores, has = sigmoid(answers[0]), answers[1]
    taken, sets, known = scores >= 0.5, result.label_sets, slice(0, 4)
    assert sets is not None
    assert sets.exact_match == wilson(int(metrics.accuracy_score(has, taken, normalize=False)), COUNT)
    assert sets.hamming_loss == pytest.approx(metrics.hamming_loss(has, taken))
    assert result.loss == pytest.approx(metrics.log_loss(has.ravel(), scores.ravel()))
    assert result.brier_score == pytest.approx(metrics.brier_score_loss(has.ravel(), scores.ravel()))
    for place, entry in enumerate(result.classes):
        values = metrics.precision_recall_fscore_support(
            has[:, place], taken[:, place], average="binary", zero_division=0
        )
        assert (entry.precision or 0, entry.recall or 0, entry.f1 or 0) == pytest.approx(values[:3])
        assert entry.support == has[:, place].sum()
    for place, entry in enumerate(result.classes[known]):
        own = has[:, place], scores[:, place]
        assert entry.roc_auc == pytest.approx(metrics.roc_auc_score(*own))
        assert entry.average_precision == pytest.approx(metrics.average_precision_score(*own))
        assert sets.best_thresholds[place].f1 == pytest.approx(_best_f1(*own))
    assert result.average_precision == pytest.approx(
        metrics.average_precision_score(has[:, known], scores[:, known], average="macro")
    )
    assert sets.mean_average_precision is not None
    assert sets.mean_average_precision.value == pytest.approx(result.average_precision)
    assert sets.mean_roc_auc is not None
    assert sets.mean_roc_auc.value == pytest.approx(metrics.roc_auc_score(has[:, known], scores[:, known]))
    assert sets.micro_average_precision == pytest.approx(metrics.average_precision_score(has, scores, average="micro"))
    assert sets.micro_roc_auc == pytest.approx(metrics.roc_auc_score(has, scores, average="micro"))
    assert result.weighted is not None
    assert result.macro is not None
    for average, own_means in {"micro": sets.micro, "macro": result.macro, "weighted": result.weighted}.items():
        values = metrics.precision_recall_fscore_support(has, taken, average=average, zero_division=0)
        found = (own_means.precision.value, own_means.recall.value, own_means.f1.value)
        assert found == pytest.approx(values[:3]), average


def _best_f1(has: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    from sklearn.metrics import f1_score

    return max(float(f1_score(has, scores >= threshold)) for threshold in np.unique(scores))


def test_no_figure_depends_on_the_order_or_on_the_parts(
    answers: tuple[NDArray[np.float32], NDArray[np.bool_]], result: Evaluation
) -> None:
    order = np.random.Generator(np.random.PCG64(1)).permutation(COUNT)
    first, second = tally_of(answers, order[:70]), tally_of(answers, order[70:])
    first.include(second)
    assert first.evaluation("b", "d", "x", COUNT) == result


def test_calibration_compares_the_probability_of_a_class_with_the_share_of_images_that_have_it(
    answers: tuple[NDArray[np.float32], NDArray[np.bool_]], result: Evaluation
) -> None:
    scores, has = sigmoid(answers[0]).ravel(), answers[1].ravel()
    assert sum(row.images for row in result.calibration) == has.size
    errors = 0.0
    for row in result.calibration:
        own = (scores > row.low) & (scores <= row.high)
        assert row.images == own.sum()
        if own.any():
            assert row.accuracy == has[own].mean()
            assert row.confidence == pytest.approx(scores[own].mean())
            errors += abs(has[own].sum() - scores[own].sum()) / has.size
    assert result.expected_calibration_error == pytest.approx(errors)


def test_the_mistakes_are_those_of_the_highest_loss(result: Evaluation) -> None:
    assert result.label_sets is not None
    losses = [mistake.loss for mistake in result.label_sets.mistakes]
    assert losses == sorted(losses, reverse=True)
    assert all(mistake.labels != mistake.predicted for mistake in result.label_sets.mistakes)


def test_a_threshold_is_a_probability_that_is_enough() -> None:
    tally = SetTally(("ant", "bee"), threshold=0.5)
    tally.add(Scored(Item("a", (0,), bytes), np.array([0.0, -1e-6], np.float32), None))
    tally.add(Failure("b", "gone"))
    result = tally.evaluation("b", "d", "x", 2)
    assert (result.seen, result.failed, result.loss) == (1, 1, pytest.approx(np.log(2), abs=1e-6))
    assert result.label_sets is not None
    assert result.label_sets.exact_match == wilson(1, 1)
    assert result.label_sets.mean_average_precision is None or result.label_sets.mean_average_precision.value == 1


def test_logits_that_are_no_numbers_are_refused_and_nothing_seen_gives_no_figures() -> None:
    tally = SetTally(("ant", "bee"))
    with pytest.raises(CheckFailed, match="not finite"):
        tally.add(Scored(Item("a", (0,), bytes), np.array([np.nan, 0], np.float32), None))
    empty = SetTally(("ant", "bee"))
    empty.add(Failure("b", "gone"))
    assert empty.evaluation("b", "d", "x", 1).label_sets is None
    with pytest.raises(InputError, match="announced 2 images and gave 1"):
        empty.evaluation("b", "d", "x", 2)


def test_the_page_and_the_table_have_every_figure(result: Evaluation) -> None:
    page = render_evaluation(result, {})
    assert "Mean average precision" in page
    assert "Confusions" not in page
    assert "images get all their classes and no other at the threshold 0.5" in page
    assert "over all decisions" in page
    table = evaluation_csv(result)
    for row in (
        "summary,,exact_match,",
        "summary,,micro.f1,",
        "class,dog,average_precision,",
        "calibration,0.0000-0.0667,accuracy,",
        "class,ant,best_threshold,",
    ):
        assert row in table


def test_rows_are_scored_again_to_the_same_figures(
    tmp_path: Path, answers: tuple[NDArray[np.float32], NDArray[np.bool_]], result: Evaluation
) -> None:
    maker = ResultMaker(NAMES, "sigmoid", logits=True)
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        with result_file(tmp_path / name) as file:
            for index in range(COUNT):
                made = outcome(index, answers[0][index], answers[1][index])
                file.add(maker.row(made, named(made.item.target, NAMES), made.item.target))
        again = evaluate_rows(tmp_path / name)
        assert again.label_sets == result.label_sets, name
        assert again.temperature is not None
        assert evaluate_rows(tmp_path / name, threshold=0.9).label_sets != result.label_sets
    with pytest.raises(InputError, match="may have several classes each, and a comparison"):
        compare_rows(tmp_path / "rows.csv", tmp_path / "rows.jsonl")
    with pytest.raises(UsageError, match="label issues need data with one class"):
        evaluate_rows(tmp_path / "rows.csv", find_label_issues=True)


def test_a_softmax_and_options_of_one_class_are_refused(onnx_bundle: Bundle) -> None:
    images = in_memory([np.zeros((8, 8, 3), np.uint8)], [(0, 1)], onnx_bundle.labels.names)
    with Engine.open(onnx_bundle) as engine:
        with pytest.raises(UsageError, match=r"activation is 'softmax', which chooses one; expected .* sigmoid"):
            evaluate(engine, images)
        with pytest.raises(UsageError, match="a comparison of two models judges one class per image"):
            compare(engine, engine, images)
        with pytest.raises(UsageError, match="a threshold needs multi-label data"):
            evaluate(engine, labelled(3), threshold=0.3)
        with pytest.raises(UsageError, match=r"the threshold is 1\.5; expected a probability"):
            evaluate(engine, images, threshold=1.5)
