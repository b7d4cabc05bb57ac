"""Figures from logits. Logits are (N, K), targets (N,) class indices; fractions, never percentages."""

from math import ceil, fsum, ldexp
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xception.errors import UsageError

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

Activation = Literal["softmax", "sigmoid", "none"]
"""The way from logits to probabilities: of one class among all, of each class by itself, or none where the answers are
no probabilities."""


CONFIDENCE_BINS = 15
"""Bins of the calibration error, as many as Guo et al. (2017) use."""


SKEWED_FROM = 2.0
"""Images of the most frequent class per image of the rarest from which on a data set counts as skewed."""


def is_skewed(class_counts: IntArray) -> bool:
    """Tell whether some class is so frequent that plain accuracy says little of the rare ones."""
    present = class_counts[class_counts > 0]
    return len(present) > 1 and bool(present.max() >= SKEWED_FROM * present.min())


def log_softmax(logits: FloatArray) -> NDArray[np.float64]:
    """Natural logarithms of the class probabilities, (N, K), in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def softmax(logits: FloatArray) -> NDArray[np.float64]:
    """Class probabilities, (N, K), in float64."""
    return np.exp(log_softmax(logits))


def sigmoid(logits: FloatArray) -> NDArray[np.float64]:
    """The probability of each class by itself, (N, K), in float64."""
    return np.exp(log_sigmoid(logits))


def log_sigmoid(logits: FloatArray) -> NDArray[np.float64]:
    """Natural logarithms of `sigmoid`, (N, K), in float64."""
    return np.asarray(-np.logaddexp(0, -logits.astype(np.float64)))


def probabilities(logits: FloatArray, activation: Activation) -> NDArray[np.float64]:
    """Probabilities of the classes, (N, K), in float64.

    Raises:
        UsageError: the answers are no probabilities.
    """
    return np.exp(log_probabilities(logits, activation))


def log_probabilities(logits: FloatArray, activation: Activation) -> NDArray[np.float64]:
    """Natural logarithms of `probabilities`, which has the errors."""
    check_probabilities(activation)
    return log_softmax(logits) if activation == "softmax" else log_sigmoid(logits)


def check_probabilities(activation: Activation) -> None:
    """Refuse answers that are no probabilities.

    Raises:
        UsageError: the activation is `none`.
    """
    if activation == "none":
        raise UsageError(
            "the model's answers are no probabilities, as its activation 'none' says; expected a softmax or a sigmoid: "
            "convert the checkpoint again with --activation, if they are class scores"
        )


def top_k(logits: FloatArray, k: int) -> IntArray:
    """Class indices of the k largest logits, best first, (N, min(k, K)); ties go to the lower index."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :k]


def rank_of_target(logits: FloatArray, targets: IntArray) -> IntArray:
    """Number of classes that come before the true one, (N,): 0 is a top-1 hit. Ties go to the lower index.

    NaN counts as larger than everything, so that a network that gives no numbers hits nothing.
    """
    own = logits[np.arange(len(logits)), targets][:, None]
    earlier = np.arange(logits.shape[1])[None, :] < np.asarray(targets)[:, None]
    return np.asarray((~(logits <= own) | ((logits == own) & earlier)).sum(axis=1))


def loss(logits: FloatArray, targets: IntArray, activation: Activation) -> NDArray[np.float64]:
    """Natural-log loss of each sample, (N,): the cross-entropy of a softmax, and of sigmoids the mean over the classes
    of each one's binary cross-entropy.

    Raises:
        UsageError: the answers are no probabilities.
    """
    if activation != "sigmoid":
        return -log_probabilities(logits, activation)[np.arange(len(logits)), targets]
    return binary_loss(logits, np.arange(logits.shape[1])[None, :] == np.asarray(targets)[:, None])


def binary_loss(logits: FloatArray, has: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the classes of each sigmoid's binary cross-entropy, (N,).

    Args:
        logits: (N, K).
        has: true for each class of a sample, (N, K).
    """
    return np.asarray(-np.where(has, log_sigmoid(logits), log_sigmoid(-logits)).mean(axis=1))


class ExactSum:
    """A sum of finite numbers that does not depend on their order: whole units of 2^-60 in an integer of any length."""

    def __init__(self) -> None:
        self._units = 0

    def add(self, value: float) -> None:
        self._units += round(ldexp(value, 60))

    def add_all(self, values: FloatArray) -> None:
        """Add every number of an array."""
        self._units += sum(map(round, np.ldexp(values.astype(np.float64), 60).tolist()))

    def include(self, other: "ExactSum") -> None:
        """Add all that another sum has."""
        self._units += other._units

    def mean(self, count: int) -> float | None:
        """The sum over `count`; None if that is zero."""
        return self._units / (count << 60) if count else None


class Reliability:
    """Accuracy of the likeliest class by its probability, in bins of equal width (Guo et al. 2017).

    Bin i of `bins` holds the confidences in (i / bins, (i + 1) / bins].
    """

    def __init__(self, bins: int) -> None:
        self.counts, self.hits = [0] * bins, [0] * bins
        self._confidences = [ExactSum() for _ in range(bins)]

    def add(self, confidence: float, is_right: bool) -> None:
        """Count one prediction."""
        bins = len(self.counts)
        index = min(max(ceil(confidence * bins) - 1, 0), bins - 1)
        self.counts[index] += 1
        self.hits[index] += is_right
        self._confidences[index].add(confidence)

    def add_all(self, confidences: FloatArray, are_right: NDArray[np.bool_]) -> None:
        """Count predictions, all (N,)."""
        bins = len(self.counts)
        indices = np.clip(np.ceil(confidences * bins).astype(np.int64) - 1, 0, bins - 1)
        for index in np.unique(indices).tolist():
            own = indices == index
            self.counts[index] += int(own.sum())
            self.hits[index] += int(are_right[own].sum())
            self._confidences[index].add_all(confidences[own])

    def include(self, other: "Reliability") -> None:
        """Count the predictions of another part of the data, in as many bins."""
        for index, confidences in enumerate(other._confidences):
            self.counts[index] += other.counts[index]
            self.hits[index] += other.hits[index]
            self._confidences[index].include(confidences)

    @property
    def confidences(self) -> list[float | None]:
        """The mean confidence of each bin; None for an empty one."""
        return [total.mean(count) for total, count in zip(self._confidences, self.counts, strict=True)]

    def expected_calibration_error(self) -> float | None:
        """The mean distance between confidence and accuracy over the bins, each weighted by its predictions."""
        seen = sum(self.counts)
        rows = zip(self.counts, self.hits, self.confidences, strict=True)
        return fsum(abs(hits - count * (mean or 0)) for count, hits, mean in rows) / seen if seen else None


def precision_recall_f1(confusion: IntArray) -> FloatArray:
    """Precision, recall and F1 of each class from its (K, K) counts, row = true class: (K, 3), NaN where 0 / 0."""
    right, taken, own = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.stack([right / taken, right / own, 2 * right / (taken + own)], axis=1)


def balanced_accuracy(confusion: IntArray) -> float | None:
    """The mean recall of the classes that have samples, from (K, K) counts, row = true class; None without any."""
    return _mean_of_numbers(precision_recall_f1(confusion)[:, 1])


def macro_f1(confusion: IntArray) -> float | None:
    """The mean F1 of the classes that have samples or were predicted, from (K, K) counts; None without any."""
    return _mean_of_numbers(precision_recall_f1(confusion)[:, 2])


def weighted_f1(confusion: IntArray) -> float | None:
    """The mean F1 of the classes, weighted by their samples, from (K, K) counts; None without any sample."""
    own = confusion.sum(axis=1)
    has_samples = own > 0
    scores = precision_recall_f1(confusion)[:, 2]
    return float(np.average(scores[has_samples], weights=own[has_samples])) if has_samples.any() else None


def matthews_correlation(confusion: IntArray) -> float | None:
    """Matthews' correlation coefficient for several classes (Gorodkin 2004), from (K, K) counts, row = true class;
    None where all samples, or all predictions, are of one class."""
    total, own, taken, right = _margins(confusion)
    spread = (total**2 - (own**2).sum()) * (total**2 - (taken**2).sum())
    return float((right * total - (own * taken).sum()) / np.sqrt(spread)) if spread > 0 else None


def cohens_kappa(confusion: IntArray) -> float | None:
    """Agreement of prediction and truth beyond chance (Cohen 1960), from (K, K) counts; None where chance agrees."""
    total, own, taken, right = _margins(confusion)
    chance = (own * taken).sum()
    return float((right * total - chance) / (total**2 - chance)) if total**2 > chance else None


def _margins(confusion: IntArray) -> tuple[float, FloatArray, FloatArray, float]:
    """All counts, those of each true class, those of each predicted class, and the right ones."""
    counts = confusion.astype(np.float64)
    return float(counts.sum()), counts.sum(axis=1), counts.sum(axis=0), float(np.trace(counts))


def brier(probabilities_of: FloatArray, targets: IntArray) -> NDArray[np.float64]:
    """Squared distance of the probabilities (N, K) from the truth, summed over the classes (Brier 1950): (N,)."""
    distance = np.array(probabilities_of, np.float64)
    distance[np.arange(len(targets)), targets] -= 1
    return np.asarray((distance**2).sum(axis=1))


def _mean_of_numbers(values: FloatArray) -> float | None:
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if len(numbers) else None


def roc_auc(negatives: FloatArray, positives: FloatArray) -> float | None:
    """The probability that a positive's score is above a negative's, ties counting half; None without both kinds."""
    if not len(negatives) or not len(positives):
        return None
    ordered = np.sort(negatives)
    below = int(np.searchsorted(ordered, positives, "left").sum())
    not_above = int(np.searchsorted(ordered, positives, "right").sum())
    return (below + not_above) / (2 * len(negatives) * len(positives))


def equal_error_rate(negatives: FloatArray, positives: FloatArray) -> float | None:
    """The rate at which the shares of accepted negatives and of rejected positives are equal, on the ROC curve with
    straight lines between its points; None without both kinds."""
    if not len(negatives) or not len(positives):
        return None
    thresholds = np.unique(np.concatenate([negatives, positives]))[::-1]
    accepted = _share_from(negatives, thresholds)
    gap = 1 - _share_from(positives, thresholds) - accepted
    # From one, where nothing is accepted, to minus one, where everything is.
    accepted, gap = np.concatenate([[0.0], accepted]), np.concatenate([[1.0], gap])
    after = int(np.argmax(gap <= 0))
    weight = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(accepted[after - 1] + weight * (accepted[after] - accepted[after - 1]))


def _share_from(scores: FloatArray, thresholds: FloatArray) -> NDArray[np.float64]:
    """The share of scores at or above each threshold."""
    return 1 - np.searchsorted(np.sort(scores), thresholds, "left") / len(scores)


class RankedScores:
    """One class against all others: the samples of either that are accepted at each threshold, the highest first.

    Args:
        scores: (N,), higher for the class.
        is_own: (N,), true for the samples of the class.
    """

    def __init__(self, scores: FloatArray, is_own: NDArray[np.bool_]) -> None:
        order = np.argsort(-scores, kind="stable")
        # Samples of one score are accepted together, so that each threshold counts up to the last of them.
        last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)) if len(scores) else order
        self.thresholds = scores[order][last]
        self.own = is_own[order].cumsum()[last]
        self.others = last + 1 - self.own

    @property
    def has_both(self) -> bool:
        """True if there are samples of the class and others."""
        return bool(len(self.own)) and bool(self.own[-1]) and bool(self.others[-1])

    def roc_auc(self) -> float | None:
        """The area under the ROC curve, ties counting half, see `roc_auc`; None without both kinds."""
        if not self.has_both:
            return None
        steps = np.diff(self.others, prepend=0)
        twice = int((steps * (2 * self.own - np.diff(self.own, prepend=0))).sum())
        return twice / (2 * int(self.own[-1]) * int(self.others[-1]))

    def average_precision(self) -> float | None:
        """The precision at each threshold, weighted by the recall that it adds; None without both kinds."""
        if not self.has_both:
            return None
        gained = np.diff(self.own, prepend=0)
        return fsum((gained * (self.own / (self.own + self.others))).tolist()) / int(self.own[-1])
