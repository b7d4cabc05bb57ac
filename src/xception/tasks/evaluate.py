"""Honest evaluation: every image of a labelled set is counted, and no result is without its interval."""

from array import array
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from math import isnan
from types import MappingProxyType

import msgspec
import numpy as np

from xception.backends.base import Logits
from xception.bundle import Score
from xception.data.inventory import EMPTY, Inventory, inventory_of
from xception.data.source import Item, Source, require_source
from xception.errors import CheckFailed, InputError
from xception.intervals import Interval, wilson
from xception.metrics import (
    Activation,
    ExactSum,
    Reliability,
    check_probabilities,
    equal_error_rate,
    loss,
    precision_recall_f1,
    probabilities,
    rank_of_target,
    roc_auc,
)
from xception.pipeline.engine import Engine, require_engine
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.sessions import VIEWS, Averaged, Restricted, Tta
from xception.tasks.binary import two_classes
from xception.tasks.real_labels import RealLabels


class FailedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that could not be read, and why."""

    path: str
    reason: str


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose likeliest class is not its own."""

    path: str
    label: str
    predicted: str
    probability: float
    """Probability of the predicted class."""


class ClassScore(msgspec.Struct, frozen=True, kw_only=True):
    """One class against all others. Fractions, None where no image decides them."""

    label: str
    support: int
    """Images of this class that were seen."""
    precision: float | None
    recall: float | None
    f1: float | None


class ConfidenceBin(msgspec.Struct, frozen=True, kw_only=True):
    """The images whose likeliest class has a probability in (low, high]; means are None without any."""

    low: float
    high: float
    images: int
    confidence: float | None
    """Mean probability of the likeliest class."""
    accuracy: float | None


class RealScore(msgspec.Struct, frozen=True, kw_only=True):
    """Top-1 against several right answers per image; `counted + uncounted = seen`."""

    top1: Interval | None
    counted: int
    uncounted: int
    """Images for which no class of the model is right."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The result document. Fractions in [0, 1] with 95 % Wilson intervals; `seen + failed = total`."""

    bundle: str
    data: str
    backend: str
    total: int
    seen: int
    failed: int
    inventory: Inventory = EMPTY
    """Files of the data that are not among the images, and images that are among them twice."""
    top1: Interval | None
    top5: Interval | None
    """None for models of fewer than six classes, where it says nothing."""
    loss: float | None
    """Mean cross-entropy in nats; of sigmoids the mean over the classes of each one's binary cross-entropy."""
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Counts, row = true class, column = predicted class; classes as in `labels`."""
    mistakes: tuple[Mistake, ...]
    """The most confident ones first, at most `MAX_MISTAKES`."""
    failures: tuple[FailedImage, ...]
    """All of them, by path."""
    top_k: tuple[Interval, ...] = ()
    """Top-1, top-2 and so on, cumulative, below the number of classes; empty if nothing was seen."""
    expected_calibration_error: float | None = None
    """Over `calibration`, whose bins are of equal width."""
    calibration: tuple[ConfidenceBin, ...] = ()
    classes: tuple[ClassScore, ...] = ()
    """One per class, in the order of `labels`."""
    roc_auc: float | None = None
    """Only for models of two classes, as is the next figure; the second class is the positive one, which changes
    neither."""
    equal_error_rate: float | None = None
    real: RealScore | None = None
    """Accuracy against several right answers per image, if these were given."""
    tta: Tta | None = None
    """Test-time augmentation."""
    subset: bool = False
    """True if the model was held to the classes of the data."""

    def __repr__(self) -> str:
        top1 = f"top-1 {self.top1.value:.2%} [{self.top1.low:.2%}, {self.top1.high:.2%}]" if self.top1 else "no top-1"
        return f"Evaluation({self.bundle} on {self.data}: {top1}, {self.seen} seen, {self.failed} failed)"

    def score(self) -> Score:
        """The short form that a bundle keeps."""
        return Score(
            total=self.total, seen=self.seen, failed=self.failed, top1=self.top1, top5=self.top5, loss=self.loss
        )


MAX_MISTAKES = 24
BINS = 15
"""Bins of confidence, as many as Guo et al. (2017) use."""

Valid = Callable[[str, int], Set[int]]


def evaluate(
    engine: Engine,
    source: Source,
    *,
    top: int = 5,
    class_map: Mapping[str, str] = MappingProxyType({}),
    subset: bool = False,
    tta: Tta | None = None,
    real: RealLabels | None = None,
) -> Evaluation:
    """Run a model over a labelled data set.

    No figure depends on the order of the images. Memory does not grow with their number, except by the failures,
    which are all named, and by eight bytes per image for models of two classes.

    Args:
        engine: the opened model; images become pixels as published, to the bit, unless it was opened with another mode.
        source: labelled images of classes that the model knows.
        top: the largest k of `top_k`.
        class_map: the model's class by the data's, for those of another name.
        subset: let the model choose only among the classes of which there are images.
        tta: average the class probabilities over several views of each image.
        real: several right answers per image, for `Evaluation.real`.

    Raises:
        InputError: a class of the data is none of the model's, or an image is missing in `real`.
        CheckFailed: the model's logits are not numbers.
    """
    require_engine(engine)
    require_source(source)
    tally = count_outcomes(engine, source, class_map=class_map, subset=subset, tta=tta, real=real)
    result = tally.evaluation(str(engine.bundle.path), source.name, engine.session.facts.name, len(source), top)
    return msgspec.structs.replace(result, tta=tta, subset=subset, inventory=inventory_of(source))


def count_outcomes(
    engine: Engine,
    source: Source,
    *,
    class_map: Mapping[str, str] = MappingProxyType({}),
    subset: bool = False,
    tta: Tta | None = None,
    real: RealLabels | None = None,
) -> "Tally":
    """Run the model over a labelled data set; returns the counts behind `evaluate`, which takes the same arguments.

    Counts of parts of a data set add up to those of the whole, which fractions do not.

    Raises:
        InputError: a class of the data is none of the model's, or an image is missing in `real`.
        CheckFailed: the model's logits are not numbers.
    """
    names = renamed(source.classes, class_map)
    engine = two_classes(engine, names)
    labels, activation = engine.bundle.labels, engine.bundle.model.activation
    check_probabilities(activation)
    targets = labels.targets(names)
    classes = present(source, targets) if subset else range(len(labels))
    place = {model_class: index for index, model_class in enumerate(classes)}

    def valid(key: str, position: int) -> set[int]:
        return {place[index] for index in real.valid(key, position) if index in place} if real else set()

    tally = Tally(tuple(labels.names[index] for index in classes), valid if real else None, activation)
    runner = _with_views(engine.judging(), classes if subset else None, tta)
    for outcome in runner.run(relabelled(source, tuple(place.get(target, -1) for target in targets))):
        tally.add(outcome)
    return tally


def _with_views(engine: Engine, classes: Sequence[int] | None, tta: Tta | None) -> Engine:
    session = engine.session if classes is None else Restricted(engine.session, classes)
    return engine.with_lane(session=Averaged(session, VIEWS[tta], engine.bundle.model.activation) if tta else session)


def renamed(classes: Sequence[str], class_map: Mapping[str, str]) -> tuple[str, ...]:
    """The model's names of a data set's classes.

    Raises:
        InputError: a class is mapped that the data do not have.
    """
    strange = sorted(class_map.keys() - set(classes))
    if strange:
        raise InputError(
            f"the class map names {strange[0]!r}, which is none of the data's {len(classes)} classes, "
            f"such as {', '.join(classes[:3])}; expected the data's classes on its left side"
        )
    return tuple(class_map.get(name, name) for name in classes)


def present(source: Source, targets: Sequence[int]) -> tuple[int, ...]:
    """The model's classes of which there are images, in the model's order.

    Raises:
        InputError: there are no labelled images.
    """
    # By index, since iterating moves a progress bar.
    found = {source[index].target for index in range(len(source))} - {None}
    if not found:
        raise InputError(f"{source.name} has no labelled images; expected some to hold the model to their classes")
    return tuple(sorted({targets[target] for target in found if target is not None}))


def relabelled(items: Iterable[Item], targets: tuple[int, ...]) -> Iterator[Item]:
    """Items with the model's class indices in place of the data set's.

    Raises:
        InputError: an item has no label.
    """
    for item in items:
        if item.target is None:
            raise InputError(f"{item.key} has no label; expected a labelled data set")
        yield Item(item.key, targets[item.target], item.load)


class Tally:
    """Running sums over outcomes, none of which depends on their order.

    Args:
        names: the classes, in the order of the logits.
        valid: the right classes of an image, given its key and its place among the outcomes, if there may be several.
        activation: the way from logits to probabilities.
    """

    def __init__(self, names: tuple[str, ...], valid: Valid | None = None, activation: Activation = "softmax") -> None:
        self.names, self.activation = names, activation
        self.confusion = np.zeros((len(names), len(names)), np.int64)
        self.ranks = np.zeros(len(names), np.int64)
        self.loss = ExactSum()
        self.reliability = Reliability(BINS)
        self.margins = (array("d"), array("d"))
        self.failures: list[FailedImage] = []
        self.mistakes: list[tuple[float, str, int, int]] = []
        self.valid = valid
        self.real_hits = self.real_counted = 0
        self._added = 0

    def add(self, outcome: Scored | Failure) -> None:
        """Count one image.

        Raises:
            CheckFailed: its logits are not numbers.
        """
        if isinstance(outcome, Failure):
            self.failures.append(FailedImage(path=outcome.key, reason=outcome.reason))
        else:
            self._score(outcome.item.key, int(outcome.item.target or 0), finite_logits(outcome))
        self._added += 1

    def _score(self, key: str, target: int, logits: Logits) -> None:
        predicted = int(logits.argmax())
        row = logits[None]
        confidence = float(probabilities(row, self.activation)[0, predicted])
        self.confusion[target, predicted] += 1
        self.ranks[rank_of_target(row, np.array([target]))] += 1
        self.loss.add(float(loss(row, np.array([target]), self.activation)[0]))
        self.reliability.add(confidence, predicted == target)
        if len(self.names) == 2:
            self.margins[target].append(float(logits[1]) - float(logits[0]))
        if predicted != target:
            insort(self.mistakes, (-confidence, key, target, predicted))
            del self.mistakes[MAX_MISTAKES:]
        if self.valid and (right := self.valid(key, self._added)):
            self.real_counted += 1
            self.real_hits += predicted in right

    @property
    def seen(self) -> int:
        """Images that were given to the model."""
        return self._added - len(self.failures)

    def hits(self, k: int) -> int:
        """Images whose class is among the k likeliest."""
        return int(self.ranks[:k].sum())

    def check_total(self, data: str, total: int) -> None:
        """Raise an InputError if the source gave fewer or more images than it announced."""
        if self._added != total:
            raise InputError(
                f"{data} announced {total} images and gave {self._added}; do not change it while it is read"
            )

    def evaluation(self, bundle: str, data: str, backend: str, total: int, top: int = 5) -> Evaluation:
        """The document for what was counted.

        Raises:
            InputError: the source promised another number of images than it gave.
        """
        seen, failed = self.seen, len(self.failures)
        self.check_total(data, total)
        hits = [wilson(int(count), seen) for count in self.ranks.cumsum()]
        negatives, positives = (np.array(margins) for margins in self.margins)
        return Evaluation(
            bundle=bundle,
            data=data,
            backend=backend,
            total=total,
            seen=seen,
            failed=failed,
            top1=hits[0],
            top5=hits[4] if len(hits) > 5 else None,
            top_k=tuple(interval for interval in hits[: min(top, max(1, len(hits) - 1))] if interval),
            loss=self.loss.mean(seen),
            expected_calibration_error=self.reliability.expected_calibration_error(),
            calibration=self._calibration(),
            roc_auc=roc_auc(negatives, positives),
            equal_error_rate=equal_error_rate(negatives, positives),
            real=self._real(seen),
            labels=self.names,
            confusion=tuple(tuple(map(int, row)) for row in self.confusion),
            classes=self._classes(),
            mistakes=tuple(
                Mistake(path=key, label=self.names[target], predicted=self.names[predicted], probability=-negative)
                for negative, key, target, predicted in self.mistakes
            ),
            failures=tuple(sorted(self.failures, key=lambda failure: (failure.path, failure.reason))),
        )

    def _calibration(self) -> tuple[ConfidenceBin, ...]:
        measured = self.reliability
        rows = zip(measured.counts, measured.hits, measured.confidences, strict=True)
        return tuple(
            ConfidenceBin(
                low=index / BINS,
                high=(index + 1) / BINS,
                images=count,
                confidence=confidence,
                accuracy=hits / count if count else None,
            )
            for index, (count, hits, confidence) in enumerate(rows)
        )

    def _classes(self) -> tuple[ClassScore, ...]:
        scores = precision_recall_f1(self.confusion).tolist()
        support = self.confusion.sum(axis=1).tolist()
        rows = ([None if isnan(score) else score for score in row] for row in scores)
        return tuple(
            ClassScore(label=label, support=images, precision=precision, recall=recall, f1=f1)
            for label, images, (precision, recall, f1) in zip(self.names, support, rows, strict=True)
        )

    def _real(self, seen: int) -> RealScore | None:
        if self.valid is None:
            return None
        counted = self.real_counted
        return RealScore(top1=wilson(self.real_hits, counted), counted=counted, uncounted=seen - counted)


def finite_logits(outcome: Scored) -> Logits:
    """The logits of an image.

    Raises:
        CheckFailed: they are not numbers.
    """
    if not np.isfinite(outcome.logits).all():
        raise CheckFailed(
            f"the logits of {outcome.item.key} are not finite numbers; the model is broken, "
            "so that no accuracy is reported: convert or train it again"
        )
    return outcome.logits
