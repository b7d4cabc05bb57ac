"""What the training minimises: cross-entropy, with smoothed labels and weighted classes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xception.errors import UsageError
from xception.train.recipe import Recipe


@dataclass(frozen=True)
class Loss:
    """Mean over the images of a batch, so that parts of a batch add up to the loss of the whole."""

    smoothing: float
    """Share of the probability that all classes, the right one too, have in common."""
    class_weights: Tensor | None = None
    """(K,) float32."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of logits (N, K) for class indices (N,) or probabilities (N, K)."""
        if self.class_weights is None:
            return functional.cross_entropy(logits, targets, label_smoothing=self.smoothing)
        # Of probabilities torch takes the mean over images; of indices it would divide by the sum of their weights.
        if targets.ndim == 1:
            targets = functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        weights = self.class_weights.to(logits.device, logits.dtype)
        return functional.cross_entropy(logits, targets, weights, label_smoothing=self.smoothing)


def loss_of(recipe: Recipe, counts: np.ndarray) -> Loss:
    """The recipe's loss for training data with `counts` images of each class.

    Raises:
        UsageError: weights for another number of classes, or a single class where labels are to be blended.
    """
    if len(counts) < 2 and (recipe.label_smoothing or recipe.mix.mixup or recipe.mix.cutmix):
        raise UsageError(
            "the data have one class, whose labels cannot be blended with others; expected two classes or more, "
            "or label_smoothing, mix.mixup and mix.cutmix of 0"
        )
    smoothing = smoothing_over_all(recipe.label_smoothing, recipe.smoothing, len(counts))
    if smoothing > 1:
        raise UsageError(
            f"label_smoothing {recipe.label_smoothing:g} over the others leaves the right one of {len(counts)} classes "
            f"less than each of them; expected at most {1 - 1 / len(counts):g}"
        )
    return Loss(smoothing, _weights(recipe.class_weights, counts))


def smoothing_over_all(amount: float, kind: Literal["all", "others"], num_classes: int) -> float:
    """The amount that, spread over all classes, leaves the right one with what `kind` leaves it.

    MindSpore's model zoo takes `amount` from the right class and divides it among the others, where the other
    sources divide it among all.
    """
    return amount if kind == "all" or not amount else amount * num_classes / (num_classes - 1)


def _weights(setting: Literal["balanced"] | tuple[float, ...] | None, counts: np.ndarray) -> Tensor | None:
    if setting is None:
        return None
    if setting == "balanced":
        # A class without images has a weight that no image carries.
        return torch.tensor(counts.sum() / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)
    if len(setting) != len(counts):
        raise UsageError(
            f"class_weights holds {len(setting)} numbers, and the data have {len(counts)} classes; "
            "expected one a class, or 'balanced'"
        )
    return torch.tensor(setting, dtype=torch.float32)
