"""Figures that need the scores of all images at once: curves, areas under them, and temperature scaling."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.metrics import Activation, RankedScores, sigmoid
from xception.tasks.evaluation import ClassScore, CurvePoint, Evaluation, ScoreCurve
from xception.tasks.kept_logits import IMAGES_READ_AT_ONCE, AllLogits, KeptLogits
from xception.tasks.temperature import OneClassAnswers, temperature_scaling

MAX_CURVES = 20
"""Classes whose curves are kept: all of them, or those with the lowest average precision."""

MAX_POINTS = 60
"""Thresholds of a curve that are kept, evenly among all."""

CLASSES_AT_ONCE = 32


def with_score_figures(result: Evaluation, kept: KeptLogits, activation: Activation) -> Evaluation:
    """The evaluation with the figures that come from the scores of all its images, if these were kept."""
    found = kept.read()
    if found is None:
        return result
    scores = ClassScores(found, activation)
    classes = tuple(_with_areas(entry, scores.ranked(place)) for place, entry in enumerate(result.classes))
    areas = [entry.roc_auc for entry in classes]
    precisions = [entry.average_precision for entry in classes]
    support = [entry.support for entry in classes]
    return msgspec.structs.replace(
        result,
        classes=classes,
        roc_auc=_mean(areas) if len(classes) > 2 else result.roc_auc,
        roc_auc_weighted=_mean(areas, support),
        average_precision=_mean(precisions),
        average_precision_weighted=_mean(precisions, support),
        curves=shown_curves(classes, scores.ranked),
        temperature=temperature_scaling(OneClassAnswers(found, activation)),
    )


class ClassScores:
    """The probability of one class after the other, for all images; a few classes are in memory at any time."""

    def __init__(self, found: AllLogits, activation: Activation) -> None:
        self._found, self._activation = found, activation
        self._first, self._block = 0, np.empty((0, 0))
        self._shifts = np.zeros((2, len(found.targets)))
        if activation == "softmax":
            for start in range(0, len(found.targets), IMAGES_READ_AT_ONCE):
                rows = found.logits[start : start + IMAGES_READ_AT_ONCE].astype(np.float64)
                largest = rows.max(axis=1)
                self._shifts[:, start : start + len(rows)] = (
                    largest,
                    np.log(np.exp(rows - largest[:, None]).sum(axis=1)),
                )

    def ranked(self, place: int) -> RankedScores:
        """The class at this place against all others."""
        if not self._first <= place < self._first + self._block.shape[1]:
            self._first = place
            self._block = self._probabilities(slice(place, place + CLASSES_AT_ONCE))
        return RankedScores(self._block[:, place - self._first], self._found.targets == place)

    def _probabilities(self, columns: slice) -> NDArray[np.float64]:
        logits = self._found.logits[:, columns].astype(np.float64)
        if self._activation == "sigmoid":
            return sigmoid(logits)
        largest, log_sum = self._shifts[:, :, None]
        return np.asarray(np.exp(logits - largest - log_sum))


def _with_areas(entry: ClassScore, ranked: RankedScores) -> ClassScore:
    return msgspec.structs.replace(entry, roc_auc=ranked.roc_auc(), average_precision=ranked.average_precision())


def _mean(values: Sequence[float | None], weights: Sequence[int] | None = None) -> float | None:
    """The mean of the values that there are; None without any."""
    pairs = zip(values, weights or [1] * len(values), strict=True)
    rows = [(value, weight) for value, weight in pairs if value is not None]
    total = sum(weight for _, weight in rows)
    return sum(value * weight for value, weight in rows) / total if total else None


def shown_curves(classes: Sequence[ClassScore], ranked: Callable[[int], RankedScores]) -> tuple[ScoreCurve, ...]:
    """The curves that are kept: of two classes the second one's, else those of the lowest average precision."""
    precisions = [entry.average_precision for entry in classes]
    known = [(value, place) for place, value in enumerate(precisions) if value is not None]
    shown = known[1:] if len(classes) == 2 else sorted(known)[:MAX_CURVES]
    return tuple(ScoreCurve(label=classes[place].label, points=_points(ranked(place))) for _, place in shown)


def _points(ranked: RankedScores) -> tuple[CurvePoint, ...]:
    places = _spread(len(ranked.thresholds))
    return tuple(
        CurvePoint(
            threshold=float(ranked.thresholds[place]),
            precision=int(ranked.own[place]) / int(ranked.own[place] + ranked.others[place]),
            recall=int(ranked.own[place]) / int(ranked.own[-1]),
            false_positive_rate=int(ranked.others[place]) / int(ranked.others[-1]),
        )
        for place in places
    )


def _spread(count: int) -> NDArray[np.integer[Any]]:
    """At most `MAX_POINTS` evenly spaced places, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(np.int64))
