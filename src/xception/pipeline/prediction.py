"""The answer to one image: its likeliest classes, or its embedding."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Logits
from xception.bundle import Bundle
from xception.errors import UsageError
from xception.metrics import Activation, check_probabilities, probabilities, top_k
from xception.pipeline.lane import Failure, Scored


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """One class and its probability."""

    label: str
    index: int
    probability: float | None
    """None from a model whose answers are no probabilities."""
    logit: float

    def __str__(self) -> str:
        return f"{self.label} {self.logit:.4g}" if self.probability is None else f"{self.label} {self.probability:.1%}"


class Prediction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The likeliest classes of one image, best first; or its embedding, if the model has no classes."""

    path: str
    top: tuple[Guess, ...] = ()
    """Empty if the model has no classes, or if no class reaches the threshold."""
    embedding: NDArray[np.float32] | None = None
    """Features (D,) of the image from a model without classes; None from a classifier."""
    damage: str | None = None
    """libjpeg's warning about a file that was decoded although its data are broken; None if it was not checked."""

    @property
    def label(self) -> str:
        """Name of the likeliest class; a UsageError from a model without classes."""
        return self._best.label

    @property
    def probability(self) -> float | None:
        """Probability of the likeliest class; None from a model whose answers are no probabilities."""
        return self._best.probability

    @property
    def _best(self) -> Guess:
        if not self.top:
            raise UsageError(
                "no class reaches the threshold, so that there is no label"
                if self.embedding is None
                else "the model has no classes, and so gives no label; its answer is the embedding"
            )
        return self.top[0]

    def __str__(self) -> str:
        if self.embedding is None:
            return "; ".join(map(str, self.top)) or "no class"  # a name may hold commas
        first = ", ".join(f"{value:.4g}" for value in self.embedding[:3])
        return f"embedding of {len(self.embedding)} features ({first}, ...)"

    def __repr__(self) -> str:
        return f"Prediction({self.path!r}: {self})"


def check_top(top: int) -> None:
    """Refuse a number of classes that is none.

    Raises:
        UsageError: it is no whole number from 1.
    """
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise UsageError(f"top is {top!r}; expected a whole number of classes, from 1")


def check_threshold(threshold: float, bundle: Bundle) -> None:
    """Refuse a threshold of probabilities that cannot be one.

    Raises:
        UsageError: it is no probability, or the model's answers are none.
    """
    if not isinstance(threshold, int | float) or not 0 < threshold < 1:
        raise UsageError(f"the threshold is {threshold!r}; expected a probability between 0 and 1, such as 0.5")
    check_probabilities(bundle.model.activation)
    if not bundle.labels.names:
        raise UsageError(f"a threshold needs classes, but {bundle.path} has none; leave it out")


NO_NUMBERS = "the model's answer is not finite numbers: the model is broken, so convert or train it again"


def answered(outcome: Scored | Failure) -> Scored | Failure:
    """The outcome of an image; an answer that is not finite numbers is a failure."""
    if isinstance(outcome, Scored) and not np.isfinite(outcome.logits).all():
        return Failure(outcome.item.key, NO_NUMBERS)
    return outcome


def chosen_classes(
    logits: Logits, activation: Activation, top: int, threshold: float | None = None
) -> tuple[list[int], NDArray[np.floating[Any]] | None]:
    """Indices of the `top` likeliest classes, or of all from a threshold of their probability on, best first.

    Args:
        logits: (K,).
        activation: the way from logits to probabilities.
        top: number of classes, without a threshold.
        threshold: least probability of a class, which none may have.

    Returns:
        The indices, and the probabilities of all classes, (K,), or None from a model whose answers are none.
    """
    known = None if activation == "none" else probabilities(logits[None], activation)[0]
    ordered = [int(index) for index in top_k(logits[None], top if threshold is None else len(logits))[0]]
    if threshold is None or known is None:
        return ordered, known
    return [index for index in ordered if known[index] >= threshold], known


def prediction(outcome: Scored, bundle: Bundle, top: int, threshold: float | None = None) -> Prediction:
    """The `top` likeliest classes of an image, or all from a threshold on; of a model of one logit, its class and the
    probability of that; of a model without classes, the embedding."""
    if not bundle.labels.names:
        return Prediction(path=outcome.item.key, embedding=outcome.logits, damage=outcome.warning)
    chosen, known = chosen_classes(outcome.logits, bundle.model.activation, top, threshold)
    return Prediction(
        path=outcome.item.key,
        damage=outcome.warning,
        top=tuple(
            Guess(
                label=bundle.labels.names[index],
                index=index,
                probability=None if known is None else float(known[index]),
                logit=float(outcome.logits[index]),
            )
            for index in chosen
        ),
    )
