"""What logits are worth. Logits are (N, K), targets (N,) class indices; fractions, never percentages."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


def log_softmax(logits: FloatArray) -> NDArray[np.float64]:
    """Natural logarithms of the class probabilities, (N, K), in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def softmax(logits: FloatArray) -> NDArray[np.float64]:
    """Class probabilities, (N, K), in float64."""
    return np.exp(log_softmax(logits))


def top_k(logits: FloatArray, k: int) -> IntArray:
    """Class indices of the k largest logits, best first, (N, min(k, K)); ties go to the lower index."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :k]


def rank_of_target(logits: FloatArray, targets: IntArray) -> IntArray:
    """How many classes come before the true one, (N,): 0 is a top-1 hit. Ties go to the lower index.

    NaN counts as larger than everything, so that a network that gives no numbers hits nothing.
    """
    own = logits[np.arange(len(logits)), targets][:, None]
    earlier = np.arange(logits.shape[1])[None, :] < np.asarray(targets)[:, None]
    return np.asarray((~(logits <= own) | ((logits == own) & earlier)).sum(axis=1))


def cross_entropy(logits: FloatArray, targets: IntArray) -> NDArray[np.float64]:
    """Natural-log loss of each sample, (N,)."""
    return -log_softmax(logits)[np.arange(len(logits)), targets]
