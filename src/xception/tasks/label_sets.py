"""Running sums over the outcomes of a multi-label data set, where each class is judged by itself at a threshold."""

from bisect import insort
from math import fsum

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits
from xception.data.source import indices_of
from xception.errors import UsageError
from xception.intervals import wilson
from xception.metrics import Activation, ExactSum, RankedScores, binary_loss, sigmoid
from xception.pipeline.lane import Failure, Scored
from xception.tasks.evaluation import (
    ClassScore,
    ClassThreshold,
    Evaluation,
    FailedImage,
    LabelSetFigures,
    SetMistake,
)
from xception.tasks.resampled_sets import ResampledSets
from xception.tasks.score_figures import shown_curves
from xception.tasks.tally import MAX_MISTAKES, by_path, check_announced, confidence_bins, finite_logits
from xception.tasks.temperature import SetAnswers, temperature_scaling

DEFAULT_THRESHOLD = 0.5
"""Probability from which on an image is taken to have a class."""

Sets = NDArray[np.bool_]


def require_sigmoids(activation: Activation, data: str) -> None:
    """Refuse to judge sets of classes by probabilities that add up to one.

    Raises:
        UsageError: the model's activation is no sigmoid.
    """
    if activation != "sigmoid":
        raise UsageError(
            f"the images of {data} may have several classes each, and the model's activation is {activation!r}, which "
            "chooses one; expected a model with a sigmoid per class, as training with loss.name=binary_cross_entropy "
            "makes it"
        )


class SetTally:
    """The answers and the true classes of all images; no figure depends on their order.

    Args:
        names: the classes, in the order of the logits.
        threshold: probability from which on an image is taken to have a class.
        scales_temperature: fit a temperature in the end, for which training's validations have no use.
    """

    activation: Activation = "sigmoid"

    def __init__(
        self, names: tuple[str, ...], threshold: float = DEFAULT_THRESHOLD, *, scales_temperature: bool = False
    ) -> None:
        self.names, self.threshold, self.scales_temperature = names, threshold, scales_temperature
        self.failures: list[FailedImage] = []
        self.damaged: list[FailedImage] = []
        self.mistakes: list[tuple[float, str, tuple[int, ...], tuple[int, ...]]] = []
        self.loss = ExactSum()
        self._logits: list[Logits] = []
        self._own: list[tuple[int, ...]] = []
        self._added = 0

    def add(self, outcome: Scored | Failure) -> None:
        """Count one image.

        Raises:
            CheckFailed: its logits are not numbers.
        """
        self._added += 1
        if isinstance(outcome, Failure):
            self.failures.append(FailedImage(path=outcome.key, reason=outcome.reason))
            return
        if outcome.warning:
            self.damaged.append(FailedImage(path=outcome.item.key, reason=outcome.warning))
        own, logits = indices_of(outcome.item.target), finite_logits(outcome)
        self._logits.append(logits)
        self._own.append(own)
        has, taken = has_classes(own, len(logits)), takes_classes(logits, self.threshold)
        loss = float(binary_loss(logits[None], has[None])[0])
        self.loss.add(loss)
        if (taken != has).any():
            insort(self.mistakes, (-loss, outcome.item.key, own, tuple(map(int, np.flatnonzero(taken)))))
            del self.mistakes[MAX_MISTAKES:]

    def include(self, other: "SetTally") -> None:
        """Count what was counted of another part of the data, with the same classes."""
        self._added += other._added
        self.failures += other.failures
        self.damaged += other.damaged
        self.mistakes = sorted(self.mistakes + other.mistakes)[:MAX_MISTAKES]
        self.loss.include(other.loss)
        self._logits += other._logits
        self._own += other._own

    @property
    def seen(self) -> int:
        """Images that were given to the model."""
        return self._added - len(self.failures)

    def check_total(self, data: str, total: int) -> None:
        """Raise an InputError if the source gave fewer or more images than it announced."""
        check_announced(data, self._added, total)

    def evaluation(self, bundle: str, data: str, backend: str, total: int, top: int = 5) -> Evaluation:  # noqa: ARG002 - sets have no ranks
        """The document for what was counted.

        Raises:
            InputError: the source promised another number of images than it gave.
        """
        self.check_total(data, total)
        result = Evaluation(
            bundle=bundle,
            data=data,
            backend=backend,
            total=total,
            seen=self.seen,
            failed=len(self.failures),
            top1=None,
            top5=None,
            loss=self.loss.mean(self.seen),
            labels=self.names,
            confusion=(),
            mistakes=(),
            failures=by_path(self.failures),
            damaged=by_path(self.damaged),
        )
        return self._with_figures(result) if self.seen else result

    def _with_figures(self, result: Evaluation) -> Evaluation:
        logits, has = self._sorted()
        scores, answers = sigmoid(logits), SetAnswers(logits, has)
        judged = answers.judged(answers.logits(everything := np.arange(len(has))), everything)
        taken, reliability = scores >= self.threshold, judged.reliability()
        ranked = [RankedScores(scores[:, place], has[:, place]) for place in range(len(self.names))]
        bounds = ResampledSets(scores, has, taken)
        classes = tuple(_class_scores(self.names, has, taken, ranked, bounds))
        support = [entry.support for entry in classes]
        return msgspec.structs.replace(
            result,
            classes=classes,
            macro=bounds.averages("macro"),
            weighted=bounds.averages("weighted"),
            macro_f1=bounds.averages("macro").f1.value,
            weighted_f1=bounds.averages("weighted").f1.value,
            roc_auc=_mean([entry.roc_auc for entry in classes]),
            roc_auc_weighted=_mean([entry.roc_auc for entry in classes], support),
            average_precision=_mean([entry.average_precision for entry in classes]),
            average_precision_weighted=_mean([entry.average_precision for entry in classes], support),
            curves=shown_curves(classes, ranked.__getitem__),
            expected_calibration_error=reliability.expected_calibration_error(),
            calibration=confidence_bins(reliability),
            brier_score=float(judged.briers.mean()),
            temperature=temperature_scaling(answers) if self.scales_temperature else None,
            label_sets=self._label_sets(scores, has, taken, ranked, bounds),
        )

    def _sorted(self) -> tuple[Logits, Sets]:
        """Logits and true classes of all images, both (N, K), in an order that only they decide."""
        logits = np.stack(self._logits)
        has = np.stack([has_classes(own, logits.shape[1]) for own in self._own])
        order = np.lexsort([*has.T, *logits.T])
        return logits[order], has[order]

    def _label_sets(
        self, scores: NDArray[np.float64], has: Sets, taken: Sets, ranked: list[RankedScores], bounds: ResampledSets
    ) -> LabelSetFigures:
        pooled = RankedScores(scores.ravel(), has.ravel())
        return LabelSetFigures(
            threshold=self.threshold,
            exact_match=wilson(int((taken == has).all(axis=1).sum()), len(has)),
            hamming_loss=float((taken != has).mean()),
            mean_average_precision=bounds.mean_of("average_precision"),
            mean_roc_auc=bounds.mean_of("roc_auc"),
            micro=bounds.averages("micro"),
            micro_average_precision=pooled.average_precision(),
            micro_roc_auc=pooled.roc_auc(),
            classes_per_image=float(has.sum(axis=1).mean()),
            predicted_per_image=float(taken.sum(axis=1).mean()),
            best_thresholds=tuple(
                ClassThreshold(label=label, threshold=threshold, f1=f1)
                for label, own in zip(self.names, ranked, strict=True)
                for threshold, f1 in _best_threshold(own)
            ),
            mistakes=tuple(
                SetMistake(path=path, labels=self._named(own), predicted=self._named(predicted), loss=-negative)
                for negative, path, own, predicted in self.mistakes
            ),
        )

    def _named(self, places: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(self.names[place] for place in places)


def has_classes(own: tuple[int, ...], classes: int) -> Sets:
    """True for each of an image's classes, (K,)."""
    found = np.zeros(classes, bool)
    found[list(own)] = True
    return found


def takes_classes(logits: Logits, threshold: float) -> Sets:
    """True for each class that an image is taken to have by its logits, (K,)."""
    return np.asarray(sigmoid(logits[None])[0] >= threshold)


def _class_scores(
    names: tuple[str, ...], has: Sets, taken: Sets, ranked: list[RankedScores], bounds: ResampledSets
) -> list[ClassScore]:
    right, own, chosen = ((sets).sum(axis=0).tolist() for sets in (has & taken, has, taken))
    return [
        ClassScore(
            label=label,
            support=own[place],
            precision=_ratio(right[place], chosen[place]),
            recall=_ratio(right[place], own[place]),
            f1=_ratio(2 * right[place], own[place] + chosen[place]),
            precision_interval=wilson(right[place], chosen[place]),
            recall_interval=wilson(right[place], own[place]),
            roc_auc=ranked[place].roc_auc(),
            average_precision=ranked[place].average_precision(),
            roc_auc_interval=bounds.of_class("roc_auc", place),
            average_precision_interval=bounds.of_class("average_precision", place),
        )
        for place, label in enumerate(names)
    ]


def _best_threshold(ranked: RankedScores) -> list[tuple[float, float]]:
    """The threshold of the highest F1 and that F1, the highest of several; nothing without images of both kinds."""
    if not ranked.has_both:
        return []
    f1 = 2 * ranked.own / (ranked.own + ranked.others + ranked.own[-1])
    best = int(f1.argmax())
    return [(float(ranked.thresholds[best]), float(f1[best]))]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: list[float | None], weights: list[int] | None = None) -> float | None:
    rows = [
        (value, weight) for value, weight in zip(values, weights or [1] * len(values), strict=True) if value is not None
    ]
    total = sum(weight for _, weight in rows)
    return fsum(value * weight for value, weight in rows) / total if total else None
