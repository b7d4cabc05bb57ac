"""Sessions made of others, of any backend: with fewer classes, or for several views of an image."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits, Session
from xception.metrics import Activation, log_probabilities

Tta = Literal["flip"]
View = Callable[[NDArray[Any]], NDArray[Any]]

VIEWS: dict[Tta, tuple[View, ...]] = {
    "flip": (lambda pixels: pixels, lambda pixels: np.ascontiguousarray(pixels[..., ::-1])),
}
"""Test-time augmentations, each a function of (N, C, H, W) pixels."""


class _Wrapped:
    """A session around another one, which it closes; by default it states the same facts."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.facts = session.facts

    def close(self) -> None:
        self._session.close()


class Restricted(_Wrapped):
    """A session that knows only some of its classes, in the given order."""

    def __init__(self, session: Session, classes: Sequence[int]) -> None:
        super().__init__(session)
        self.facts = replace(session.facts, num_outputs=len(classes))
        self._classes = np.array(classes, np.intp)

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        return self._session(pixels)[:, self._classes]


class Averaged(_Wrapped):
    """A session whose class probabilities are the mean over several views of an image; gives the logits of
    that mean: of a softmax its logarithms.

    Probabilities are averaged, not logits, whose scale differs from view to view (Krizhevsky et al. 2012).
    """

    def __init__(self, session: Session, views: Sequence[View], activation: Activation = "softmax") -> None:
        super().__init__(session)
        self._views, self._activation = views, activation

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        logits = [self._session(view(pixels)) for view in self._views]
        mean = _log_mean([log_probabilities(row, self._activation) for row in logits])
        if self._activation == "sigmoid":
            mean = mean - _log_mean([log_probabilities(-row, self._activation) for row in logits])
        return np.asarray(mean, np.float32)


def _log_mean(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(np.logaddexp.reduce(rows) - np.log(len(rows)))
