from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from tests.samples import CLASSES, encoded, labelled, picture
from xception.backends.base import Session, open_session
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.errors import CheckFailed, InputError
from xception.pipeline.stream import Failure, Scored
from xception.statistics import wilson
from xception.tasks.evaluate import MOST_MISTAKES, Tally, evaluate, relabelled

COUNT = 60
BROKEN = (3, 17, 18)


@pytest.fixture(scope="module")
def session(onnx_bundle: Bundle) -> Iterator[Session]:
    opened = open_session(onnx_bundle, threads=1)
    yield opened
    opened.close()


def direct_logits(bundle: Bundle, session: Session) -> tuple[np.ndarray, np.ndarray]:
    good = [index for index in range(COUNT) if index not in BROKEN]
    pixels = np.stack([bundle.model.preprocess(picture(seed=index)) for index in good])
    return session(pixels).astype(np.float64), np.array(good) % len(CLASSES)


def test_every_figure_is_the_direct_computation(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluate(onnx_bundle, session, labelled(COUNT, broken=BROKEN))
    logits, targets = direct_logits(onnx_bundle, session)
    order = np.argsort(-logits, axis=1)
    hits1 = int((order[:, 0] == targets).sum())
    hits5 = int((order[:, :5] == targets[:, None]).any(axis=1).sum())
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert (result.total, result.seen, result.failed) == (COUNT, COUNT - 3, 3)
    assert 0 < hits1 < hits5 < result.seen
    assert result.top1 == wilson(hits1, result.seen)
    assert result.top5 == wilson(hits5, result.seen)
    assert result.loss == pytest.approx(-np.log(probabilities[np.arange(len(targets)), targets]).mean(), rel=1e-4)
    confusion = np.zeros((7, 7), int)
    np.add.at(confusion, (targets, order[:, 0]), 1)
    assert np.array_equal(result.confusion, confusion)
    assert [failure.path for failure in result.failures] == ["003", "017", "018"]
    assert (result.labels, result.backend, result.data) == (CLASSES, "onnxruntime", "pictures")


def test_mistakes_are_the_most_confident_ones_first(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluate(onnx_bundle, session, labelled(COUNT, broken=BROKEN))
    logits, targets = direct_logits(onnx_bundle, session)
    wrong = sum(int(row.argmax()) != target for row, target in zip(logits, targets, strict=True))
    assert len(result.mistakes) == min(wrong, MOST_MISTAKES)
    confidences = [mistake.probability for mistake in result.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    assert all(mistake.label != mistake.predicted for mistake in result.mistakes)
    first = result.mistakes[0]
    assert first.label == CLASSES[int(first.path) % 7]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("workers", [1, 4])
def test_the_result_does_not_depend_on_batches_or_workers(
    onnx_bundle: Bundle, session: Session, batch_size: int, workers: int
) -> None:
    source = labelled(COUNT, broken=BROKEN)
    expected = evaluate(onnx_bundle, session, source)
    result = evaluate(onnx_bundle, session, source, batch_size=batch_size, workers=workers)
    for name in ("total", "seen", "failed", "top1", "top5", "confusion", "failures"):
        assert getattr(result, name) == getattr(expected, name)
    assert result.loss == pytest.approx(expected.loss, rel=1e-5)
    assert [mistake.path for mistake in result.mistakes] == [mistake.path for mistake in expected.mistakes]


def test_the_same_run_gives_the_same_document(onnx_bundle: Bundle, session: Session) -> None:
    first, second = (msgspec.json.encode(evaluate(onnx_bundle, session, labelled(20))) for _ in range(2))
    assert first == second


def test_classes_are_matched_by_name_whatever_their_order(onnx_bundle: Bundle, session: Session) -> None:
    plain = labelled(COUNT)
    turned = tuple(reversed(CLASSES))
    items = tuple(Item(item.key, turned.index(CLASSES[int(item.target or 0)]), item.load) for item in plain)
    expected, result = (evaluate(onnx_bundle, session, source) for source in (plain, Items("pictures", turned, items)))
    assert result == expected
    mislabelled = Items("pictures", turned, plain.items)
    assert evaluate(onnx_bundle, session, mislabelled).top1 != expected.top1


def test_a_data_set_may_hold_fewer_classes_than_the_model(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluate(onnx_bundle, session, labelled(10, ("gnu", "ant")))
    assert np.nonzero(np.sum(result.confusion, axis=1))[0].tolist() == [0, 6]


def test_a_class_that_the_model_does_not_know_is_refused(onnx_bundle: Bundle, session: Session) -> None:
    with pytest.raises(InputError, match="'yak'"):
        evaluate(onnx_bundle, session, labelled(10, ("ant", "yak")))


def test_an_image_without_label_is_refused() -> None:
    with pytest.raises(InputError, match="a has no label"):
        list(relabelled([Item("a", None, bytes)], ()))


def test_without_a_readable_image_there_is_no_accuracy_and_no_loss(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluate(onnx_bundle, session, labelled(4, broken=range(4)))
    assert (result.total, result.seen, result.failed) == (4, 0, 4)
    assert (result.top1, result.top5, result.loss) == (None, None, None)


def test_top_five_says_nothing_about_five_classes() -> None:
    tally = Tally(5)
    tally.add(Scored(Item("a", 1, bytes), np.arange(5, dtype=np.float32)))
    assert (tally.hits1, tally.hits5, tally.seen) == (0, 1, 1)


def test_a_source_that_changes_while_it_is_read_is_refused(onnx_bundle: Bundle) -> None:
    tally = Tally(7)
    tally.add(Failure("a", "gone"))
    with pytest.raises(InputError, match="announced 2 images and gave 1"):
        tally.evaluation(onnx_bundle, "data", "onnxruntime", 2)


def test_a_score_is_the_evaluation_in_short(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluate(onnx_bundle, session, labelled(20, broken=(1,)))
    score = result.score()
    assert (score.total, score.seen, score.failed) == (20, 19, 1)
    assert (score.top1, score.top5, score.loss) == (result.top1, result.top5, result.loss)


def test_memory_of_mistakes_is_bounded() -> None:
    tally = Tally(2)
    for index in range(100):
        tally.add(Scored(Item(str(index), 0, lambda: encoded(picture())), np.array([0, index], np.float32)))
    assert len(tally.mistakes) == MOST_MISTAKES
    assert {key for _, key, _, _ in tally.mistakes} <= {str(index) for index in range(30, 100)}


def test_no_accuracy_is_reported_for_logits_that_are_no_numbers() -> None:
    tally = Tally(2)
    item = Item("broken.png", 0, lambda: b"")
    tally.add(Scored(item, np.array([0, 1], np.float32)))
    with pytest.raises(CheckFailed, match=r"logits of broken\.png are not finite"):
        tally.add(Scored(item, np.array([np.nan, 1], np.float32)))
