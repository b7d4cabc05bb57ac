"""Temperature scaling (Guo et al. 2017): one number that logits are divided by, so that probabilities come true."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, fsum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xception.extras import optional
from xception.metrics import (
    CONFIDENCE_BINS,
    Activation,
    FloatArray,
    Reliability,
    binary_loss,
    brier,
    log_probabilities,
    loss,
    probabilities,
    sigmoid,
)
from xception.tasks.evaluation import TemperatureScaling
from xception.tasks.kept_logits import IMAGES_READ_AT_ONCE, AllLogits

MAX_FITTED_IMAGES = 10_000
"""Images that one temperature is fitted on; a single number needs no more."""

MAX_LOG_TEMPERATURE = 5.0
"""Logarithm of the largest temperature that is looked for, and with a minus of the smallest."""

Places = NDArray[np.integer[Any]]


class Judgement(NamedTuple):
    """Losses and confidences of the answers to some images."""

    losses: FloatArray
    """(N,)."""
    briers: FloatArray
    """Squared distances of the probabilities from the truth, (N,)."""
    confidences: FloatArray
    """Probabilities that a class is right, (M,): one or more per image."""
    are_right: NDArray[np.bool_]
    """(M,)."""

    def reliability(self) -> Reliability:
        """Accuracy by confidence."""
        found = Reliability(CONFIDENCE_BINS)
        found.add_all(self.confidences, self.are_right)
        return found


class Answers(Protocol):
    """The answers to N images, whose classes are known. Places are those of images, logits (M, K) in float64."""

    def __len__(self) -> int: ...

    def by_confidence(self) -> Places:
        """All places in an order that the answers decide, whatever that of the images was."""
        ...

    def logits(self, places: Places) -> NDArray[np.float64]: ...

    def errors(self, logits: NDArray[np.float64], places: Places) -> NDArray[np.float64]:
        """The probabilities less the truth, (M, K): the slope of an image's loss along its logits, up to a factor."""
        ...

    def judged(self, logits: NDArray[np.float64], places: Places) -> Judgement: ...


@dataclass(frozen=True)
class OneClassAnswers:
    """The answers to images with one class each; a block of them is in memory at a time."""

    found: AllLogits
    activation: Activation

    def __len__(self) -> int:
        return len(self.found.targets)

    def by_confidence(self) -> Places:
        found, places = self.found, np.arange(len(self))
        blocks = [log_probabilities(self.logits(some), self.activation).max(axis=1) for some in _blocks(places)]
        digests = np.array([hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in found.logits], dtype="S8")
        return np.lexsort((found.targets, digests, np.concatenate(blocks)))

    def logits(self, places: Places) -> NDArray[np.float64]:
        return self.found.logits[places].astype(np.float64)

    def errors(self, logits: NDArray[np.float64], places: Places) -> NDArray[np.float64]:
        errors = probabilities(logits, self.activation)
        errors[np.arange(len(places)), self.found.targets[places]] -= 1
        return errors

    def judged(self, logits: NDArray[np.float64], places: Places) -> Judgement:
        targets, shares = self.found.targets[places], probabilities(logits, self.activation)
        losses, briers = loss(logits, targets, self.activation), brier(shares, targets)
        return Judgement(losses, briers, shares.max(axis=1), logits.argmax(axis=1) == targets)


@dataclass(frozen=True)
class SetAnswers:
    """The answers to images of multi-label data, where each class of each image is a decision by itself.

    Args:
        scores: logits, (N, K), of images in an order that the answers decide.
        has: true for each class that an image has, (N, K).
    """

    scores: FloatArray
    has: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.has)

    def by_confidence(self) -> Places:
        return np.argsort(np.abs(self.scores).mean(axis=1), kind="stable")

    def logits(self, places: Places) -> NDArray[np.float64]:
        return self.scores[places].astype(np.float64)

    def errors(self, logits: NDArray[np.float64], places: Places) -> NDArray[np.float64]:
        return np.asarray(sigmoid(logits) - self.has[places])

    def judged(self, logits: NDArray[np.float64], places: Places) -> Judgement:
        has, shares = self.has[places], sigmoid(logits)
        briers = ((shares - has) ** 2).mean(axis=1)
        return Judgement(binary_loss(logits, has), briers, shares.ravel(), has.ravel())


def temperature_scaling(answers: Answers) -> TemperatureScaling | None:
    """The temperature, and what it does to images that it was not fitted on; None without scipy, or below two images.

    The images are halved: in the order of their confidence, every second one. Each half is scaled with the
    temperature of the other one, so that no image is judged by a number that was fitted on it. The labels have no
    part in the choice of the halves.
    """
    if optional("scipy.optimize") is None or len(answers) < 2:
        return None
    order = answers.by_confidence()
    halves = (order[::2], order[1::2])
    fitted = [_fit(answers, half) for half in halves]
    losses, briers, reliability = [], [], Reliability(CONFIDENCE_BINS)
    for half, temperature in zip(halves, reversed(fitted), strict=True):
        for places in _blocks(half):
            judged = answers.judged(answers.logits(places) / temperature, places)
            losses += judged.losses.tolist()
            briers += judged.briers.tolist()
            reliability.include(judged.reliability())
    return TemperatureScaling(
        temperature=_fit(answers, order),
        of_halves=(fitted[0], fitted[1]),
        loss=fsum(losses) / len(order),
        expected_calibration_error=reliability.expected_calibration_error(),
        brier_score=fsum(briers) / len(order),
    )


def _blocks(places: Places) -> Iterator[Places]:
    return (places[start : start + IMAGES_READ_AT_ONCE] for start in range(0, len(places), IMAGES_READ_AT_ONCE))


def _fit(answers: Answers, places: Places) -> float:
    """The temperature at which the loss of these images is lowest; the loss is convex in its inverse."""
    places = places[:: -(-len(places) // MAX_FITTED_IMAGES)]

    def slope(log_inverse: float) -> float:
        """The slope of the loss along the inverse temperature, summed without rounding from image to image."""
        parts: list[float] = []
        for some in _blocks(places):
            logits = answers.logits(some)
            parts += (answers.errors(logits * exp(log_inverse), some) * logits).sum(axis=1).tolist()
        return fsum(parts)

    lowest, highest = -MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE
    if slope(lowest) >= 0:
        return exp(-lowest)
    if slope(highest) <= 0:
        return exp(-highest)
    optimize = optional("scipy.optimize")
    return exp(-float(optimize.brentq(slope, lowest, highest, xtol=1e-6))) if optimize else 1.0
