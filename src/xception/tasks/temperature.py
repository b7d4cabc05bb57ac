"""Temperature scaling (Guo et al. 2017): the divisor of logits that makes confidence match accuracy."""

import hashlib
from collections.abc import Iterator
from math import exp, fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.extras import optional
from xception.metrics import CONFIDENCE_BINS, Activation, Reliability, brier, log_probabilities, loss
from xception.tasks.evaluation import TemperatureScaling
from xception.tasks.kept_logits import IMAGES_READ_AT_ONCE, AllLogits

MAX_FITTED_IMAGES = 10_000
"""Images that one temperature is fitted on; a single number needs no more."""

MAX_LOG_TEMPERATURE = 5.0
"""Logarithm of the largest temperature that is looked for, and with a minus of the smallest."""

Places = NDArray[np.integer[Any]]


def temperature_scaling(found: AllLogits, activation: Activation) -> TemperatureScaling | None:
    """The temperature, with figures on images that it was not fitted on; None without scipy, or below two images.

    The images are halved: in the order of their confidence, every second one. Each half is scaled with the
    temperature of the other one, so that no image is judged by a number that was fitted on it. The labels have no
    part in the choice of the halves.
    """
    if optional("scipy.optimize") is None or len(found.targets) < 2:
        return None
    order = _by_confidence(found, activation)
    halves = (order[::2], order[1::2])
    fitted = [_fit(found, half, activation) for half in halves]
    losses, briers, reliability = [], [], Reliability(CONFIDENCE_BINS)
    for half, temperature in zip(halves, reversed(fitted), strict=True):
        for logits, targets in _blocks(found, half):
            scaled = logits / temperature
            shares = np.exp(log_probabilities(scaled, activation))
            losses += loss(scaled, targets, activation).tolist()
            briers += brier(shares, targets).tolist()
            best = scaled.argmax(axis=1)
            for confidence, is_right in zip(shares.max(axis=1).tolist(), (best == targets).tolist(), strict=True):
                reliability.add(confidence, is_right)
    return TemperatureScaling(
        temperature=_fit(found, order, activation),
        of_halves=(fitted[0], fitted[1]),
        loss=fsum(losses) / len(order),
        expected_calibration_error=reliability.expected_calibration_error(),
        brier_score=fsum(briers) / len(order),
    )


def _by_confidence(found: AllLogits, activation: Activation) -> Places:
    """The images by their confidence; those of one confidence by their logits, so that no order of theirs matters."""
    places = np.arange(len(found.targets))
    confidences = np.concatenate(
        [log_probabilities(logits, activation).max(axis=1) for logits, _ in _blocks(found, places)]
    )
    digests = np.array([hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in found.logits], dtype="S8")
    return np.lexsort((found.targets, digests, confidences))


def _blocks(found: AllLogits, places: Places) -> Iterator[tuple[NDArray[np.float64], Places]]:
    for start in range(0, len(places), IMAGES_READ_AT_ONCE):
        chosen = places[start : start + IMAGES_READ_AT_ONCE]
        yield found.logits[chosen].astype(np.float64), found.targets[chosen]


def _fit(found: AllLogits, places: Places, activation: Activation) -> float:
    """The temperature at which the loss of these images is lowest; the loss is convex in its inverse."""
    places = places[:: -(-len(places) // MAX_FITTED_IMAGES)]

    def slope(log_inverse: float) -> float:
        """The slope of the loss along the inverse temperature, summed without rounding from image to image."""
        parts: list[float] = []
        for logits, targets in _blocks(found, places):
            error = np.exp(log_probabilities(logits * exp(log_inverse), activation))
            error[np.arange(len(targets)), targets] -= 1
            parts += (error * logits).sum(axis=1).tolist()
        return fsum(parts)

    lowest, highest = -MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE
    if slope(lowest) >= 0:
        return exp(-lowest)
    if slope(highest) <= 0:
        return exp(-highest)
    optimize = optional("scipy.optimize")
    return exp(-float(optimize.brentq(slope, lowest, highest, xtol=1e-6))) if optimize else 1.0
