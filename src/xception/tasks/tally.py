"""Running sums over the outcomes of a labelled data set, and the document that they make."""

from array import array
from bisect import insort
from collections.abc import Callable, Iterator, Set
from math import fsum, isnan

import numpy as np

from xception.backends.base import Logits
from xception.errors import CheckFailed, InputError
from xception.intervals import wilson
from xception.metrics import (
    CONFIDENCE_BINS,
    Activation,
    ExactSum,
    Reliability,
    balanced_accuracy,
    brier,
    cohens_kappa,
    equal_error_rate,
    loss,
    macro_f1,
    matthews_correlation,
    precision_recall_f1,
    probabilities,
    rank_of_target,
    roc_auc,
    weighted_f1,
)
from xception.pipeline.lane import Failure, Scored
from xception.tasks.averages import averages
from xception.tasks.evaluation import (
    ClassScore,
    ConfidenceBin,
    ConfusedPair,
    Evaluation,
    FailedImage,
    Mistake,
    RealScore,
)
from xception.tasks.kept_logits import KeptLogits
from xception.tasks.score_figures import with_score_figures

MAX_MISTAKES = 24
MAX_CONFUSED_PAIRS = 12
"""Pairs of confused classes that are named."""

MAX_EXAMPLES = 3
"""Images that are named of a pair."""

Valid = Callable[[str, int], Set[int]]


class Tally:
    """Running sums over outcomes, none of which depends on their order.

    Args:
        names: the classes, in the order of the logits.
        valid: the right classes of an image, given its key and its place among the outcomes, if there may be several.
        activation: the way from logits to probabilities.
        kept: takes the logits of all images, for the figures that need them at once.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        valid: Valid | None = None,
        activation: Activation = "softmax",
        kept: KeptLogits | None = None,
    ) -> None:
        self.names, self.activation, self.kept = names, activation, kept
        self.confusion = np.zeros((len(names), len(names)), np.int64)
        self.ranks = np.zeros(len(names), np.int64)
        self.loss = ExactSum()
        self.class_losses = [ExactSum() for _ in names]
        self.brier = ExactSum()
        self.reliability = Reliability(CONFIDENCE_BINS)
        self.margins = (array("d"), array("d"))
        self.failures: list[FailedImage] = []
        self.damaged: list[FailedImage] = []
        self.mistakes: list[tuple[float, str, int, int]] = []
        self.examples: dict[tuple[int, int], list[tuple[float, str]]] = {}
        self.valid = valid
        self.real_hits = self.real_counted = 0
        self.depth = len(names)
        """Number of places, from the best on, that are known of every image."""
        self.has_scores = True
        self._added = 0

    def add(self, outcome: Scored | Failure) -> None:
        """Count one image.

        Raises:
            CheckFailed: its logits are not numbers.
        """
        if isinstance(outcome, Failure):
            self.failures.append(FailedImage(path=outcome.key, reason=outcome.reason))
        else:
            if outcome.warning:
                self.damaged.append(FailedImage(path=outcome.item.key, reason=outcome.warning))
            self._score(outcome.item.key, outcome.item.class_index or 0, finite_logits(outcome))
        self._added += 1

    def add_order(self, key: str, target: int, predicted: int, rank: int, depth: int) -> None:
        """Count an image of which no probabilities are known, only the order of the classes.

        Args:
            key: its name.
            target: its class.
            predicted: the likeliest class.
            rank: the number of classes before its own; `depth` or more where that is not known.
            depth: the number of places that are known.
        """
        self.has_scores, self.depth = False, min(self.depth, depth)
        self._count(key, target, predicted, min(rank, len(self.names) - 1), 0.0)
        self._added += 1

    def _count(self, key: str, target: int, predicted: int, rank: int, confidence: float) -> None:
        self.confusion[target, predicted] += 1
        self.ranks[rank] += 1
        if predicted != target:
            self._mistake(-confidence, key, target, predicted)

    def _score(self, key: str, target: int, logits: Logits) -> None:
        predicted = int(logits.argmax())
        row = logits[None]
        shares = probabilities(row, self.activation)
        confidence = float(shares[0, predicted])
        self._count(key, target, predicted, int(rank_of_target(row, np.array([target]))[0]), confidence)
        self.brier.add(float(brier(shares, np.array([target]))[0]))
        own_loss = float(loss(row, np.array([target]), self.activation)[0])
        self.loss.add(own_loss)
        self.class_losses[target].add(own_loss)
        self.reliability.add(confidence, predicted == target)
        if len(self.names) == 2:
            self.margins[target].append(float(logits[1]) - float(logits[0]))
        if self.kept:
            self.kept.add(self._added, target, logits)
        if self.valid and (right := self.valid(key, self._added)):
            self.real_counted += 1
            self.real_hits += predicted in right

    def include(self, other: "Tally") -> None:
        """Count what was counted of another part of the data, with the same classes."""
        self.confusion += other.confusion
        self.ranks += other.ranks
        self.loss.include(other.loss)
        for mine, theirs in zip(self.class_losses, other.class_losses, strict=True):
            mine.include(theirs)
        self.brier.include(other.brier)
        self.reliability.include(other.reliability)
        for own, others in zip(self.margins, other.margins, strict=True):
            own.extend(others)
        self.failures += other.failures
        self.damaged += other.damaged
        self.mistakes = sorted(self.mistakes + other.mistakes)[:MAX_MISTAKES]
        for pair, examples in other.examples.items():
            self.examples[pair] = sorted(self.examples.get(pair, []) + examples)[:MAX_EXAMPLES]
        self.real_hits += other.real_hits
        self.real_counted += other.real_counted
        self._added += other._added

    def _mistake(self, negative: float, key: str, target: int, predicted: int) -> None:
        """Note a mistake, by its confidence with a minus."""
        insort(self.mistakes, (negative, key, target, predicted))
        del self.mistakes[MAX_MISTAKES:]
        of_pair = self.examples.setdefault((target, predicted), [])
        insort(of_pair, (negative, key))
        del of_pair[MAX_EXAMPLES:]

    @property
    def seen(self) -> int:
        """Images that were given to the model."""
        return self._added - len(self.failures)

    def hits(self, k: int) -> int:
        """Images whose class is among the k likeliest."""
        return int(self.ranks[:k].sum())

    def check_total(self, data: str, total: int) -> None:
        """Raise an InputError if the source gave fewer or more images than it announced."""
        check_announced(data, self._added, total)

    def evaluation(self, bundle: str, data: str, backend: str, total: int, top: int = 5) -> Evaluation:
        """The document for what was counted.

        Raises:
            InputError: the source promised another number of images than it gave.
        """
        seen, failed = self.seen, len(self.failures)
        self.check_total(data, total)
        known = self.ranks.cumsum()[: self.depth]
        hits = [wilson(int(count), seen) for count in known]
        places = min(top, max(1, len(self.names) - 1))
        scored = seen if self.has_scores else 0
        negatives, positives = (np.array(margins) for margins in self.margins)
        macro, weighted = averages(self.confusion) or (None, None)
        result = Evaluation(
            bundle=bundle,
            data=data,
            backend=backend,
            total=total,
            seen=seen,
            failed=failed,
            top1=hits[0],
            top5=hits[4] if len(self.names) > 5 and len(hits) > 4 else None,
            top_k=tuple(interval for interval in hits[:places] if interval),
            loss=self.loss.mean(scored),
            balanced_loss=self._balanced_loss() if self.has_scores else None,
            expected_calibration_error=self.reliability.expected_calibration_error() if scored else None,
            calibration=confidence_bins(self.reliability) if self.has_scores else (),
            balanced_accuracy=balanced_accuracy(self.confusion),
            macro_f1=macro_f1(self.confusion),
            weighted_f1=weighted_f1(self.confusion),
            matthews_correlation=matthews_correlation(self.confusion),
            cohens_kappa=cohens_kappa(self.confusion),
            macro=macro,
            weighted=weighted,
            brier_score=self.brier.mean(scored),
            roc_auc=roc_auc(negatives, positives),
            equal_error_rate=equal_error_rate(negatives, positives),
            real=self._real(seen),
            labels=self.names,
            confusion=tuple(tuple(map(int, row)) for row in self.confusion),
            classes=self._classes(),
            mistakes=tuple(self._named(*row) for row in self.mistakes),
            confused=tuple(self._confused()),
            failures=by_path(self.failures),
            damaged=by_path(self.damaged),
        )
        return with_score_figures(result, self.kept, self.activation) if self.kept else result

    def _named(self, negative: float, key: str, target: int, predicted: int) -> Mistake:
        probability = -negative if self.has_scores else None
        return Mistake(path=key, label=self.names[target], predicted=self.names[predicted], probability=probability)

    def _confused(self) -> Iterator[ConfusedPair]:
        """The pairs of classes with most confusions; of those with equally many, the first in the order of classes."""
        most = sorted(self.examples, key=lambda pair: (-int(self.confusion[pair]), pair))[:MAX_CONFUSED_PAIRS]
        for target, predicted in most:
            yield ConfusedPair(
                label=self.names[target],
                predicted=self.names[predicted],
                count=int(self.confusion[target, predicted]),
                support=int(self.confusion[target].sum()),
                examples=tuple(self._named(*row, target, predicted) for row in self.examples[target, predicted]),
            )

    def _balanced_loss(self) -> float | None:
        support = self.confusion.sum(axis=1).tolist()
        means = [total.mean(images) for total, images in zip(self.class_losses, support, strict=True)]
        present = [mean for mean in means if mean is not None]
        return fsum(present) / len(present) if present else None

    def _classes(self) -> tuple[ClassScore, ...]:
        scores = precision_recall_f1(self.confusion).tolist()
        support, taken = (self.confusion.sum(axis=axis).tolist() for axis in (1, 0))
        rows = ([None if isnan(score) else score for score in row] for row in scores)
        return tuple(
            ClassScore(
                label=label,
                support=images,
                precision=precision,
                recall=recall,
                f1=f1,
                recall_interval=wilson(right, images),
                precision_interval=wilson(right, predicted),
            )
            for label, images, predicted, right, (precision, recall, f1) in zip(
                self.names, support, taken, self.confusion.diagonal().tolist(), rows, strict=True
            )
        )

    def _real(self, seen: int) -> RealScore | None:
        if self.valid is None:
            return None
        counted = self.real_counted
        return RealScore(top1=wilson(self.real_hits, counted), counted=counted, uncounted=seen - counted)


def confidence_bins(measured: Reliability) -> tuple[ConfidenceBin, ...]:
    """The bins of a calibration error, in which the accuracy belongs to the confidence."""
    rows = zip(measured.counts, measured.hits, measured.confidences, strict=True)
    return tuple(
        ConfidenceBin(
            low=index / CONFIDENCE_BINS,
            high=(index + 1) / CONFIDENCE_BINS,
            images=count,
            confidence=confidence,
            accuracy=hits / count if count else None,
        )
        for index, (count, hits, confidence) in enumerate(rows)
    )


def check_announced(data: str, given: int, total: int) -> None:
    """Refuse a source that gave fewer or more images than it announced.

    Raises:
        InputError: it did.
    """
    if given != total:
        raise InputError(f"{data} announced {total} images and gave {given}; do not change it while it is read")


def by_path(images: list[FailedImage]) -> tuple[FailedImage, ...]:
    """Images in the order of their paths."""
    return tuple(sorted(images, key=lambda image: (image.path, image.reason)))


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
