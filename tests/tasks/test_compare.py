from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.support.samples import CLASSES, OneAtATime, encoded, labelled, picture
from xception.backends.base import Compute, Logits, Pixels, Session, open_session
from xception.bundle import Bundle
from xception.data.source import Item, Items
from xception.errors import CheckFailed, InputError, UsageError
from xception.intervals import bootstrap_difference, mcnemar, non_inferiority, paired_difference, wilson
from xception.labels import Labels
from xception.metrics import softmax
from xception.pipeline.engine import Engine
from xception.pipeline.lane import Failure, Scored
from xception.tasks.compare import MAX_FLIPS, Comparison, PairedTally, compare, matched
from xception.tasks.evaluate import evaluate
from xception.tasks.evaluation import FailedImage

COUNT = 60
BROKEN = (3, 17)


@pytest.fixture(scope="module")
def session(onnx_bundle: Bundle) -> Iterator[Session]:
    opened = open_session(onnx_bundle, compute=Compute(threads=1))
    yield opened
    opened.close()


class Changed(OneAtATime):
    """Another session with an offset a class, its classes in another order."""

    def __init__(self, session: Session, order: Sequence[int] = range(len(CLASSES)), offset: float = 40) -> None:
        self._session = session
        self._order = list(order)
        self._offsets = np.linspace(0, offset, session.facts.num_outputs, dtype=np.float32)
        self.name, self.input_shape, self.batch_size = "changed", session.facts.input_shape, session.facts.batch_size
        self.num_classes = session.facts.num_outputs

    def __call__(self, pixels: Pixels, /) -> Logits:
        return np.asarray((self._session(pixels) + self._offsets)[:, self._order])

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def contenders(onnx_bundle: Bundle, session: Session) -> tuple[Engine, Engine]:
    return Engine.of(onnx_bundle, session), Engine.of(onnx_bundle, Changed(session))


def test_every_figure_is_the_direct_computation(contenders: tuple[Engine, Engine]) -> None:
    source = labelled(COUNT, broken=BROKEN)
    result = compare(*contenders, source, margin=0.02)
    good = [index for index in range(COUNT) if index not in BROKEN]
    targets = np.array(good) % len(CLASSES)
    pixels = np.stack([contenders[0].bundle.model.preprocess(picture(seed=index)) for index in good])
    guesses = [contender.session(pixels).argmax(1) for contender in contenders]
    first, second = (guess == targets for guess in guesses)
    counts = (int((first & ~second).sum()), int((second & ~first).sum()), len(good))
    assert counts[0] + counts[1] > 0
    assert (result.first_only, result.second_only) == counts[:2]
    assert (result.both_right, result.both_wrong) == (int((first & second).sum()), int((~first & ~second).sum()))
    assert result.agreement == wilson(int((guesses[0] == guesses[1]).sum()), len(good))
    assert result.flips == int((guesses[0] != guesses[1]).sum()) > 0
    assert (result.difference, result.bootstrap) == (paired_difference(*counts), bootstrap_difference(*counts))
    assert (result.mcnemar_p, result.non_inferiority) == (mcnemar(*counts[:2]), non_inferiority(*counts, 0.02))
    scores = [evaluate(contender, source).score() for contender in contenders]
    assert [result.first.score, result.second.score] == scores
    assert (result.total, result.seen, result.failed) == (COUNT, COUNT - 2, 2)
    assert [failure.path for failure in result.failures] == ["003", "017"]
    assert (result.first.backend, result.second.backend, result.data) == ("onnxruntime", "changed", "pictures")


def test_a_model_agrees_with_itself(contenders: tuple[Engine, Engine]) -> None:
    result = compare(contenders[0], contenders[0], labelled(COUNT))
    assert (result.flips, result.first_only, result.second_only, result.worst_flips) == (0, 0, 0, ())
    assert (result.mcnemar_p, result.non_inferiority.verdict) == (1, "undecided")
    assert result.difference
    assert result.difference.value == 0


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 4), (64, 1)])
def test_no_figure_depends_on_batches_workers_or_order(
    contenders: tuple[Engine, Engine], batch_size: int, workers: int
) -> None:
    source = labelled(COUNT, broken=BROKEN)
    order = np.random.default_rng(batch_size).permutation(COUNT)
    shuffled = Items(source.name, source.classes, tuple(source[index] for index in order))
    first, second = contenders
    result = compare(replace(first, batch_size=batch_size, workers=workers), second, shuffled)
    assert result == compare(*contenders, source)


def test_each_model_has_its_own_preprocessing(contenders: tuple[Engine, Engine]) -> None:
    first = contenders[0]
    darker = msgspec.structs.replace(first.bundle.model.preprocess, mean=(0.9, 0.9, 0.9))
    model = msgspec.structs.replace(first.bundle.model, preprocess=darker)
    other = Bundle(path=first.bundle.path, model=model, labels=first.bundle.labels)
    result = compare(first, Engine.of(other, first.session), labelled(COUNT))
    assert result.second.score == evaluate(Engine.of(other, first.session), labelled(COUNT)).score()
    assert result.flips > 0


def test_classes_in_another_order_are_the_same_classes(contenders: tuple[Engine, Engine]) -> None:
    first, second = contenders
    order = (3, 1, 6, 0, 2, 5, 4)
    turned = Bundle(
        path=first.bundle.path, model=first.bundle.model, labels=Labels(tuple(CLASSES[index] for index in order))
    )
    result = compare(first, Engine.of(turned, Changed(first.session, order)), labelled(COUNT))
    assert result == compare(first, second, labelled(COUNT))


def test_an_image_that_one_model_cannot_be_given_has_failed_for_both() -> None:
    tally = PairedTally(CLASSES[:2])
    tally.add(scored("a", 0, 1), Failure("a", "gone"))
    tally.add(Failure("b", "broken"), scored("b", 1, 0))
    tally.add(scored("c", 1, 0), scored("c", 1, 0))
    assert [side.confusion.sum() for side in tally.sides] == [1, 1]
    expected = [FailedImage(path="a", reason="gone"), FailedImage(path="b", reason="broken")]
    assert all(side.failures == expected for side in tally.sides)


def scored(key: str, *logits: float, target: int = 0) -> Scored:
    return Scored(Item(key, target, bytes), np.array(logits, np.float32))


def test_the_worst_flips_are_those_whose_true_class_moves_most() -> None:
    tally = PairedTally(CLASSES[:3])
    for index in range(2 * MAX_FLIPS):
        tally.add(scored(f"{index:03d}", 5, 0, 0), scored(f"{index:03d}", 0, index // 2 + 0.5, 0))
    keys = [flip.path for flip in tally.worst]
    # Pairs of one swing are in the order of their names.
    assert keys == [f"{2 * pair + half:03d}" for pair in reversed(range(MAX_FLIPS // 2, MAX_FLIPS)) for half in (0, 1)]
    flip = tally.worst[0]
    before, after = softmax(np.array([[5.0, 0, 0], [0, MAX_FLIPS - 0.5, 0]]))
    assert (flip.label, flip.first, flip.second) == ("ant", "ant", "bee")
    assert flip.first_probability == pytest.approx(before[0])
    assert flip.second_probability == pytest.approx(after[1])
    assert flip.swing == pytest.approx(after[0] - before[0])


def test_logits_that_are_no_numbers_are_compared_with_nothing() -> None:
    with pytest.raises(CheckFailed, match="logits of a are not finite"):
        PairedTally(CLASSES[:2]).add(scored("a", 0, 1), scored("a", 0, np.nan))


def test_without_a_readable_image_nothing_is_said(contenders: tuple[Engine, Engine]) -> None:
    result = compare(*contenders, labelled(3, broken=range(3)))
    assert (result.agreement, result.difference, result.bootstrap, result.seen, result.failed) == (None,) * 3 + (0, 3)
    assert result.non_inferiority.verdict == "undecided"


@pytest.mark.parametrize("margin", [-0.01, 1, 100])
def test_a_margin_in_percent_is_refused(contenders: tuple[Engine, Engine], margin: float) -> None:
    with pytest.raises(UsageError, match=r"pass 0\.01"):
        compare(*contenders, labelled(3), margin=margin)


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        (Labels(("a", "b")), Labels(("b", "a")), (1, 0)),
        (Labels(("crane", "crane"), ("n1", "n2")), Labels(("crane", "crane"), ("n2", "n1")), (1, 0)),
        (Labels(("cat", "dog"), ("n1", "n2")), Labels(("n2", "n1")), (1, 0)),
        (Labels(("n1", "n2")), Labels(("dog", "cat"), ("n2", "n1")), (1, 0)),
        (Labels(("cat", "dog"), ("n1", "n2")), Labels(("dog", "cat")), (1, 0)),
        (Labels(("crane", "crane")), Labels(("crane", "crane")), (0, 1)),
    ],
)
def test_classes_are_matched_by_ids_or_names(first: Labels, second: Labels, order: tuple[int, ...]) -> None:
    assert matched(first, second) == order


@pytest.mark.parametrize(
    "second", [Labels(("a", "c")), Labels(("a", "b", "c")), Labels(("a",)), Labels(("a", "a")), Labels(("b", "b", "a"))]
)
def test_other_classes_are_refused(second: Labels) -> None:
    with pytest.raises(InputError, match="different classes"):
        matched(Labels(("a", "b")), second)


def test_the_document_reads_back(contenders: tuple[Engine, Engine]) -> None:
    result = compare(*contenders, labelled(COUNT))
    assert msgspec.json.decode(msgspec.json.encode(result), type=Comparison) == result


def test_damaged_images_are_seen_and_named(onnx_bundle: Bundle, weights_bundle: Bundle) -> None:
    sound = encoded(picture(320, 240), "JPEG", quality=90)
    files = {"a": sound, "b": sound[: len(sound) // 2] + b"\xff\xd9"}
    items = tuple(Item(key, 0, lambda data=data: data) for key, data in files.items())
    with Engine.open(onnx_bundle) as first, Engine.open(weights_bundle) as second:
        result = compare(first, second, Items("photos", CLASSES, items))
    assert (result.seen, result.failed) == (2, 0)
    assert [(image.path, "Corrupt JPEG" in image.reason) for image in result.damaged or ()] == [("b", True)]
