"""Honest evaluation: every image of a labelled set is counted, and no result is without its interval."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from xception.backends.base import Session
from xception.bundle import Bundle, Score
from xception.data.source import Item, Source
from xception.errors import CheckFailed, InputError
from xception.metrics import cross_entropy, rank_of_target, softmax
from xception.pipeline.stream import Clocks, Failure, Scored, infer
from xception.statistics import Interval, wilson


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
    """Of the predicted class."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The result document. Fractions in [0, 1] with 95 % Wilson intervals; `seen + failed = total`."""

    bundle: str
    data: str
    backend: str
    total: int
    seen: int
    failed: int
    top1: Interval | None
    top5: Interval | None
    """None for models of fewer than six classes, where it says nothing."""
    loss: float | None
    """Mean cross-entropy in nats."""
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Counts, row = true class, column = predicted class; classes as in `labels`."""
    mistakes: tuple[Mistake, ...]
    """The most confident ones first, at most `MOST_MISTAKES`."""
    failures: tuple[FailedImage, ...]

    def score(self) -> Score:
        """What a bundle keeps of this."""
        return Score(
            total=self.total, seen=self.seen, failed=self.failed, top1=self.top1, top5=self.top5, loss=self.loss
        )


MOST_MISTAKES = 24


def evaluate(
    bundle: Bundle,
    session: Session,
    source: Source,
    *,
    batch_size: int = 8,
    workers: int = 2,
    clocks: Clocks | None = None,
) -> Evaluation:
    """Run the model over a labelled data set.

    Raises:
        InputError: a class of the data is none of the model's.
        CheckFailed: the model's logits are not numbers.
    """
    targets = bundle.labels.targets(source.classes)
    clocks = clocks or Clocks()
    tally = Tally(len(bundle.labels))
    outcomes = infer(
        relabelled(source, targets),
        bundle.model.preprocess,
        session,
        batch_size=batch_size,
        workers=workers,
        clocks=clocks,
    )
    for outcome in outcomes:
        with clocks["postprocess"].measure():
            tally.add(outcome)
    return tally.evaluation(bundle, source.name, session.name, len(source))


def relabelled(items: Iterable[Item], targets: tuple[int, ...]) -> Iterator[Item]:
    """Items with the model's class indices in place of the data set's.

    Raises:
        InputError: an item has no label.
    """
    for item in items:
        if item.target is None:
            raise InputError(f"{item.key} has no label; expected a labelled data set")
        yield Item(item.key, targets[item.target], item.load)


@dataclass
class Tally:
    """Running sums over outcomes; memory does not grow with the number of images, failures aside."""

    num_classes: int
    hits1: int = 0
    hits5: int = 0
    loss: float = 0.0
    failures: list[FailedImage] = field(default_factory=list)
    mistakes: list[tuple[float, str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.num_classes, self.num_classes), np.int64)

    @property
    def seen(self) -> int:
        """Images that were scored."""
        return int(self.confusion.sum())

    def add(self, outcome: Scored | Failure) -> None:
        """Count one image.

        Raises:
            CheckFailed: its logits are not numbers.
        """
        if isinstance(outcome, Failure):
            self.failures.append(FailedImage(path=outcome.key, reason=outcome.reason))
            return
        logits, target = outcome.logits[None], int(outcome.item.target or 0)
        if not np.isfinite(logits).all():
            raise CheckFailed(
                f"the logits of {outcome.item.key} are not finite numbers; the model is broken, "
                "so that no accuracy is reported: convert or train it again"
            )
        rank = int(rank_of_target(logits, np.array([target]))[0])
        predicted = int(logits[0].argmax())
        self.hits1 += rank < 1
        self.hits5 += rank < 5
        self.loss += float(cross_entropy(logits, np.array([target]))[0])
        self.confusion[target, predicted] += 1
        if predicted != target:
            self._remember(float(softmax(logits)[0, predicted]), outcome.item.key, target, predicted)

    def _remember(self, probability: float, key: str, target: int, predicted: int) -> None:
        self.mistakes.append((-probability, key, target, predicted))
        self.mistakes.sort()
        del self.mistakes[MOST_MISTAKES:]

    def evaluation(self, bundle: Bundle, data: str, backend: str, total: int) -> Evaluation:
        """The document for what was counted.

        Raises:
            InputError: the source promised another number of images than it gave.
        """
        seen, failed, names = self.seen, len(self.failures), bundle.labels.names
        if seen + failed != total:
            raise InputError(
                f"{data} announced {total} images and gave {seen + failed}; do not change it while it is read"
            )
        return Evaluation(
            bundle=str(bundle.path),
            data=data,
            backend=backend,
            total=total,
            seen=seen,
            failed=failed,
            top1=wilson(self.hits1, seen),
            top5=wilson(self.hits5, seen) if len(names) > 5 else None,
            loss=self.loss / seen if seen else None,
            labels=names,
            confusion=tuple(tuple(map(int, row)) for row in self.confusion),
            mistakes=tuple(
                Mistake(path=key, label=names[target], predicted=names[predicted], probability=-negative)
                for negative, key, target, predicted in self.mistakes
            ),
            failures=tuple(self.failures),
        )
