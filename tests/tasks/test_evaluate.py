import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.support.samples import CLASSES, encoded, labelled, picture
from xception.backends.base import Compute, Session, open_session
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.errors import CheckFailed, InputError
from xception.intervals import wilson
from xception.metrics import softmax
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Failure, Scored
from xception.tasks.evaluate import evaluate
from xception.tasks.evaluation import Evaluation, RealScore
from xception.tasks.real_labels import RealLabels
from xception.tasks.tally import MAX_MISTAKES, Tally
from xception.tasks.targets import relabelled

COUNT = 60
BROKEN = (3, 17, 18)


@pytest.fixture(scope="module")
def session(onnx_bundle: Bundle) -> Iterator[Session]:
    opened = open_session(onnx_bundle, compute=Compute(threads=1))
    yield opened
    opened.close()


def evaluated(
    bundle: Bundle,
    session: Session,
    source: Items,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    **options: object,
) -> Evaluation:
    return evaluate(Engine.of(bundle, session, batch_size=batch_size, workers=workers), source, **options)


def direct_logits(
    bundle: Bundle, session: Session, broken: Sequence[int] = BROKEN, flip: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    good = [index for index in range(COUNT) if index not in broken]
    pixels = np.stack([bundle.model.preprocess(picture(seed=index)) for index in good])
    return session(np.flip(pixels, 3).copy() if flip else pixels).astype(np.float64), np.array(good) % len(CLASSES)


def test_every_figure_is_the_direct_computation(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluated(onnx_bundle, session, labelled(COUNT, broken=BROKEN))
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
    result = evaluated(onnx_bundle, session, labelled(COUNT, broken=BROKEN))
    logits, targets = direct_logits(onnx_bundle, session)
    wrong = sum(int(row.argmax()) != target for row, target in zip(logits, targets, strict=True))
    assert len(result.mistakes) == min(wrong, MAX_MISTAKES)
    confidences = [mistake.probability for mistake in result.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    assert all(mistake.label != mistake.predicted for mistake in result.mistakes)
    first = result.mistakes[0]
    assert first.label == CLASSES[int(first.path) % 7]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("workers", [1, 4])
def test_no_figure_depends_on_batches_workers_or_order(
    onnx_bundle: Bundle, session: Session, batch_size: int, workers: int
) -> None:
    source = labelled(COUNT, broken=BROKEN)
    expected = evaluated(onnx_bundle, session, source)
    order = np.random.default_rng(batch_size + workers).permutation(COUNT)
    shuffled = Items(source.name, source.classes, tuple(source[index] for index in order))
    assert evaluated(onnx_bundle, session, shuffled, batch_size=batch_size, workers=workers) == expected


def test_another_set_of_images_gives_another_result(onnx_bundle: Bundle, session: Session) -> None:
    source = labelled(COUNT, broken=BROKEN)
    fewer = Items(source.name, source.classes, source.items[1:])
    assert evaluated(onnx_bundle, session, fewer).loss != evaluated(onnx_bundle, session, source).loss


def test_the_same_run_gives_the_same_document(onnx_bundle: Bundle, session: Session) -> None:
    first, second = (msgspec.json.encode(evaluated(onnx_bundle, session, labelled(20))) for _ in range(2))
    assert first == second


def test_classes_are_matched_by_name_whatever_their_order(onnx_bundle: Bundle, session: Session) -> None:
    plain = labelled(COUNT)
    turned = tuple(reversed(CLASSES))
    items = tuple(Item(item.key, turned.index(CLASSES[int(item.target or 0)]), item.load) for item in plain)
    expected, result = (evaluated(onnx_bundle, session, source) for source in (plain, Items("pictures", turned, items)))
    assert result == expected
    mislabelled = Items("pictures", turned, plain.items)
    assert evaluated(onnx_bundle, session, mislabelled).top1 != expected.top1


def test_a_data_set_may_hold_fewer_classes_than_the_model(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluated(onnx_bundle, session, labelled(10, ("gnu", "ant")))
    assert np.nonzero(np.sum(result.confusion, axis=1))[0].tolist() == [0, 6]


def test_a_class_that_the_model_does_not_know_is_refused(onnx_bundle: Bundle, session: Session) -> None:
    with pytest.raises(InputError, match="'yak'"):
        evaluated(onnx_bundle, session, labelled(10, ("ant", "yak")))


def test_an_image_without_label_is_refused() -> None:
    with pytest.raises(InputError, match="a has no label"):
        list(relabelled([Item("a", None, bytes)], ()))


def test_without_a_readable_image_there_is_no_accuracy_and_no_loss(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluated(onnx_bundle, session, labelled(4, broken=range(4)))
    assert (result.total, result.seen, result.failed) == (4, 0, 4)
    assert (result.top1, result.top5, result.loss) == (None, None, None)


def scored(key: str, target: int, *logits: float) -> Scored:
    return Scored(Item(key, target, bytes), np.array(logits, np.float32))


def tallied(*outcomes: Scored | Failure, names: tuple[str, ...] = CLASSES, top: int = 5) -> Evaluation:
    tally = Tally(names)
    for outcome in outcomes:
        tally.add(outcome)
    return tally.evaluation("bundle", "data", "backend", len(outcomes), top)


def test_top_k_is_cumulative_and_ends_below_the_number_of_classes() -> None:
    ranks = [0, 0, 1, 2, 2, 3]
    outcomes = [scored(str(index), rank, 9, 8, 7, 6, 5, 4, 3) for index, rank in enumerate(ranks)]
    result = tallied(*outcomes)
    assert [interval.value * 6 for interval in result.top_k] == pytest.approx([2, 3, 5, 6, 6])
    assert result.top_k[0] == result.top1
    assert result.top_k[4] == result.top5
    assert len(tallied(*outcomes, top=2).top_k) == 2
    assert len(tallied(*outcomes, top=99).top_k) == 6


def test_top_five_says_nothing_about_five_classes() -> None:
    result = tallied(scored("a", 1, *range(5)), names=CLASSES[:5])
    assert result.top5 is None
    assert [interval.value for interval in result.top_k] == [0, 0, 0, 1]


def test_every_class_has_its_scores_and_its_support() -> None:
    result = tallied(scored("a", 0, 2, 1, 0), scored("b", 0, 1, 2, 0), scored("c", 1, 1, 2, 0), names=CLASSES[:3])
    ant, bee, cat = result.classes
    assert (ant.label, ant.support, ant.precision, ant.recall, ant.f1) == ("ant", 2, 1.0, 0.5, pytest.approx(2 / 3))
    assert (bee.support, bee.precision, bee.recall) == (1, 0.5, 1.0)
    assert (cat.support, cat.precision, cat.recall, cat.f1) == (0, None, None, None)


def test_confidence_is_compared_with_accuracy() -> None:
    certain = np.log([0.9, 0.1])
    result = tallied(*(scored(str(index), int(index > 5), *certain) for index in range(10)), names=CLASSES[:2])
    assert result.expected_calibration_error == pytest.approx(0.3, abs=1e-6)
    (full,) = (entry for entry in result.calibration if entry.images)
    assert (full.images, full.accuracy, full.confidence) == (10, 0.6, pytest.approx(0.9))
    assert full.low < 0.9 <= full.high


def test_two_classes_have_a_roc_curve_and_three_have_none() -> None:
    outcomes = [scored("a", 0, 2, 1), scored("b", 1, 1, 2), scored("c", 0, 1, 2.5), scored("d", 1, 0, 9)]
    result = tallied(*outcomes, names=CLASSES[:2])
    assert (result.roc_auc, result.equal_error_rate) == (0.75, 0.5)
    three = tallied(scored("a", 0, 2, 1, 0), names=CLASSES[:3])
    assert (three.roc_auc, three.equal_error_rate) == (None, None)


def test_mistakes_of_one_confidence_are_in_the_order_of_their_names() -> None:
    outcomes = [scored(f"{index:03d}", 0, 0, 1) for index in range(2 * MAX_MISTAKES)]
    result = tallied(*outcomes[::-1], names=CLASSES[:2])
    assert [mistake.path for mistake in result.mistakes] == [f"{index:03d}" for index in range(MAX_MISTAKES)]
    assert result == tallied(*outcomes, names=CLASSES[:2])


def test_every_failure_is_named_however_many_there_are() -> None:
    result = tallied(*(Failure(f"{index:04d}", "gone") for index in reversed(range(1000))))
    assert [failure.path for failure in result.failures] == [f"{index:04d}" for index in range(1000)]
    assert (result.total, result.seen, result.failed, result.top_k, result.top1) == (1000, 0, 1000, (), None)


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    tally = Tally(CLASSES)
    rng = np.random.default_rng(0)
    for index in range(20):
        tally.add(scored(str(index), index % 7, *rng.normal(size=7)))
    tracemalloc.start()
    for index in range(3000):
        tally.add(scored(str(index), index % 7, *rng.normal(size=7)))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000


def test_a_model_may_be_held_to_the_classes_of_the_data(onnx_bundle: Bundle, session: Session) -> None:
    source = labelled(COUNT, ("gnu", "ant", "cat"))
    free, held = (evaluated(onnx_bundle, session, source, subset=subset) for subset in (False, True))
    assert (free.labels, held.labels) == (CLASSES, ("ant", "cat", "gnu"))
    assert (free.subset, held.subset) == (False, True)
    logits, _ = direct_logits(onnx_bundle, session, ())
    targets = np.array([6, 0, 2])[np.arange(COUNT) % 3]
    assert free.top1 == wilson(int((logits.argmax(1) == targets).sum()), COUNT)
    columns = np.array([0, 2, 6])
    assert held.top1 == wilson(int((columns[logits[:, columns].argmax(1)] == targets).sum()), COUNT)
    assert free.top1 != held.top1
    assert np.sum(held.confusion) == COUNT


def test_a_model_is_held_to_classes_that_have_images_not_to_all_that_the_data_name(
    onnx_bundle: Bundle, session: Session
) -> None:
    some = Items("pictures", CLASSES, tuple(item for item in labelled(COUNT) if item.target in (2, 5)))
    result = evaluated(onnx_bundle, session, some, subset=True)
    assert result.labels == ("cat", "fox")
    assert result.seen == len(some)
    with pytest.raises(InputError, match="no labelled images"):
        evaluated(onnx_bundle, session, Items("pictures", CLASSES, ()), subset=True)


def test_classes_of_another_name_are_mapped(onnx_bundle: Bundle, session: Session) -> None:
    plain = labelled(COUNT)
    other = Items("pictures", ("ant", "abeille", "chat", "dog", "eel", "fox", "gnu"), plain.items)
    class_map = {"abeille": "bee", "chat": "cat"}
    mapped, own = evaluated(onnx_bundle, session, other, class_map=class_map), evaluated(onnx_bundle, session, plain)
    assert msgspec.structs.replace(mapped, provenance=own.provenance) == own
    assert (mapped.provenance, own.provenance) != (own.provenance, own.provenance)
    two_in_one = Items("pictures", ("tabby", "siamese", "dog"), labelled(30, CLASSES[:3]).items)
    result = evaluated(onnx_bundle, session, two_in_one, class_map={"tabby": "cat", "siamese": "cat"}, subset=True)
    assert [(entry.label, entry.support) for entry in result.classes] == [("cat", 20), ("dog", 10)]
    with pytest.raises(InputError, match="'vache', which is none of the data's 7 classes"):
        evaluated(onnx_bundle, session, plain, class_map={"vache": "cow"})
    with pytest.raises(InputError, match="'abeille'"):
        evaluated(onnx_bundle, session, other, class_map={"chat": "cat"})


def test_flipped_images_are_averaged_as_probabilities(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluated(onnx_bundle, session, labelled(COUNT, broken=BROKEN), tta="flip")
    upright, targets = direct_logits(onnx_bundle, session)
    flipped, _ = direct_logits(onnx_bundle, session, flip=True)
    probabilities = (softmax(upright) + softmax(flipped)) / 2
    own = probabilities[np.arange(len(targets)), targets]
    assert result.tta == "flip"
    assert result.loss == pytest.approx(-np.log(own).mean(), rel=1e-5)
    assert result.top1 == wilson(int((probabilities.argmax(1) == targets).sum()), len(targets))
    assert result.loss != evaluated(onnx_bundle, session, labelled(COUNT, broken=BROKEN)).loss


def test_several_right_answers_count_where_there_is_any(onnx_bundle: Bundle, session: Session) -> None:
    source = labelled(COUNT, broken=BROKEN)
    logits, _ = direct_logits(onnx_bundle, session, ())
    predicted = logits.argmax(1).tolist()
    # Right for every third image, wrong for every third, and none for every third.
    lists = [[[guess, 3], [(guess + 1) % 7], []][index % 3] for index, guess in enumerate(predicted)]
    real = RealLabels(Path("real.json"), lists, onnx_bundle.labels, COUNT)
    result = evaluated(onnx_bundle, session, source, real=real)
    seen = [index for index in range(COUNT) if index not in BROKEN]
    hits, counted = (sum(index % 3 in kinds for index in seen) for kinds in ((0,), (0, 1)))
    assert result.real == RealScore(top1=wilson(hits, counted), counted=counted, uncounted=len(seen) - counted)
    assert result.seen == len(seen)
    assert evaluated(onnx_bundle, session, source).real is None


def test_right_answers_outside_the_data_s_classes_are_none_for_a_model_held_to_them(
    onnx_bundle: Bundle, session: Session
) -> None:
    source = labelled(6, ("ant", "gnu"))
    real = RealLabels(Path("real.json"), [[0], [6], [0, 6], [3], ["dog"], [3, 6]], onnx_bundle.labels, 6)
    result = evaluated(onnx_bundle, session, source, subset=True, real=real)
    assert result.real
    assert (result.real.counted, result.real.uncounted) == (4, 2)


def test_a_source_that_changes_while_it_is_read_is_refused() -> None:
    tally = Tally(CLASSES)
    tally.add(Failure("a", "gone"))
    with pytest.raises(InputError, match="announced 2 images and gave 1"):
        tally.evaluation("bundle", "data", "onnxruntime", 2)


def test_a_score_is_the_evaluation_in_short(onnx_bundle: Bundle, session: Session) -> None:
    result = evaluated(onnx_bundle, session, labelled(20, broken=(1,)))
    score = result.score()
    assert (score.total, score.seen, score.failed) == (20, 19, 1)
    assert (score.top1, score.top5, score.loss) == (result.top1, result.top5, result.loss)


def test_memory_of_mistakes_is_bounded() -> None:
    tally = Tally(CLASSES[:2])
    for index in range(100):
        tally.add(Scored(Item(str(index), 0, lambda: encoded(picture())), np.array([0, index], np.float32)))
    assert len(tally.mistakes) == MAX_MISTAKES
    assert {key for _, key, _, _ in tally.mistakes} <= {str(index) for index in range(30, 100)}


def test_no_accuracy_is_reported_for_logits_that_are_no_numbers() -> None:
    tally = Tally(CLASSES[:2])
    item = Item("broken.png", 0, lambda: b"")
    tally.add(Scored(item, np.array([0, 1], np.float32)))
    with pytest.raises(CheckFailed, match=r"logits of broken\.png are not finite"):
        tally.add(Scored(item, np.array([np.nan, 1], np.float32)))


def test_damaged_photographs_are_seen_and_named_or_failed_if_images_are_to_be_strict(onnx_bundle: Bundle) -> None:
    sound = encoded(picture(320, 240), "JPEG", quality=90)
    damaged = sound[: len(sound) // 2] + b"\xff\xd9"
    files = {"a": sound, "b": damaged, "c": damaged, "d": encoded(picture())}
    items = tuple(Item(key, 0, partial(bytes, data)) for key, data in files.items())
    with Engine.open(onnx_bundle) as engine:
        lenient = evaluate(engine, Items("photos", CLASSES, items))
        strict = evaluate(engine, Items("photos", CLASSES, items), strict_images=True)
    assert (lenient.seen, lenient.failed, strict.seen, strict.failed) == (4, 0, 2, 2)
    assert [image.path for image in lenient.damaged or ()] == [image.path for image in strict.failures] == ["b", "c"]
    assert {image.reason for image in strict.failures} == {"Corrupt JPEG data: premature end of data segment"}
    assert strict.damaged == ()
