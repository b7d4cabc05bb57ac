"""The losses that training minimises: a table, and the factory of each."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log1p
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xception.errors import UsageError
from xception.train.settings import LossSettings

Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of logits (N, K) for class indices (N,) or probabilities (N, K), as the mean over the images.

As a mean, the losses of parts of a batch add up to that of the whole, each part weighted by its share of the images.
"""


def make_loss(
    settings: LossSettings, class_counts: np.ndarray, *, blends_images: bool = False, positive: int | None = None
) -> Loss:
    """The configured loss.

    Args:
        settings: the recipe's group `loss`.
        class_counts: images of each class in the training data, (K,).
        blends_images: mixup or cutmix is on.
        positive: the class of the network's only output, if it has one.

    Raises:
        UsageError: weights for another number of classes, or a single class where labels are to be blended.
    """
    if len(class_counts) < 2 and (settings.label_smoothing or blends_images):
        raise UsageError(
            "the data have one class, whose labels cannot be blended with others; expected two classes or more, "
            "or loss.label_smoothing, mix.mixup and mix.cutmix of 0"
        )
    return LOSSES[settings.name](settings, class_counts, positive)


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy, with smoothed labels, weighted classes and adjusted logits."""

    smoothing: float
    """Share of the probability that is spread over all classes, the labelled one included."""
    class_weights: Tensor | None = None
    """Weight of an image of each class, (K,) float32."""
    logit_offsets: Tensor | None = None
    """Numbers that are added to the logits of each class, (K,) float32."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss; see `Loss` for the shapes."""
        if self.logit_offsets is not None:
            logits = logits + self.logit_offsets.to(logits.device, logits.dtype)
        if self.class_weights is None:
            return functional.cross_entropy(logits, targets, label_smoothing=self.smoothing)
        losses = functional.cross_entropy(logits, targets, label_smoothing=self.smoothing, reduction="none")
        return (losses * image_weights(self.class_weights, targets, losses)).mean()


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """The binary cross-entropy of a sigmoid for each output, as the mean over the outputs."""

    smoothing: float
    """Share of the probability that is spread over all classes, the labelled one included."""
    positive: int | None = None
    """The class of the only output; None where every class has an output."""
    class_weights: Tensor | None = None
    """Weight of an image of each class, (K,) float32."""
    num_classes: int = 2

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss; see `Loss` for the shapes, where a single output has logits (N, 1)."""
        shares = targets if targets.ndim == 2 else functional.one_hot(targets, self.num_classes)
        shares = shares.to(logits.dtype) * (1 - self.smoothing) + self.smoothing / self.num_classes
        own = shares if self.positive is None else shares[:, self.positive : self.positive + 1]
        losses = functional.binary_cross_entropy_with_logits(logits, own, reduction="none").mean(1)
        if self.class_weights is None:
            return losses.mean()
        return (losses * image_weights(self.class_weights, targets, losses)).mean()


def image_weights(class_weights: Tensor, targets: Tensor, like: Tensor) -> Tensor:
    """The weight of each image, (N,): its class's, or of a blended image the mean over its classes.

    The images are weighted, and not the classes within an image's target, as torch's own `weight` does it: there the
    share that smoothing gives to a rare class would count by that class's large weight, and a frequent class would
    best be taken for the rare one (pytorch/pytorch#104776).

    Args:
        class_weights: (K,).
        targets: class indices (N,) or probabilities (N, K).
        like: a tensor of the device and type of the result.
    """
    weights = class_weights.to(like.device, like.dtype)
    return weights[targets] if targets.ndim == 1 else targets.to(like.dtype) @ weights


def cross_entropy_loss(settings: LossSettings, class_counts: np.ndarray, positive: int | None = None) -> Loss:  # noqa: ARG001 - a softmax has an output per class
    """Cross-entropy for training data with `class_counts` images of each class.

    Raises:
        UsageError: smoothing that leaves the labelled class less than the others, weights for other classes, or an
            adjustment that is too large for smoothed labels.
    """
    smoothing = _smoothing(settings, class_counts)
    offsets = logit_offsets(settings.logit_adjustment, class_counts)
    if offsets is not None and smoothing:
        _check_offsets(offsets, settings, smoothing)
    return CrossEntropy(smoothing, class_weights(settings, class_counts), offsets)


def binary_cross_entropy_loss(settings: LossSettings, class_counts: np.ndarray, positive: int | None = None) -> Loss:
    """Binary cross-entropy for training data with `class_counts` images of each class; the errors are the same."""
    smoothing, weights = _smoothing(settings, class_counts), class_weights(settings, class_counts)
    return BinaryCrossEntropy(smoothing, positive, weights, len(class_counts))


def _check_offsets(offsets: Tensor, settings: LossSettings, smoothing: float) -> None:
    """Refuse an adjustment that is larger than the distance between the logits which smoothed labels ask for.

    Raises:
        UsageError: an image of the most frequent class would best be taken for the rarest.
    """
    spread = float(offsets.max() - offsets.min())
    distance = log1p((1 - smoothing) * len(offsets) / smoothing)
    if spread >= distance:
        most = settings.logit_adjustment * distance / spread
        raise UsageError(
            f"loss.logit_adjustment {settings.logit_adjustment:g} would have images of the most frequent class taken "
            f"for the rarest one, since labels are smoothed by {settings.label_smoothing:g}; expected less than "
            f"{most:.2g}, or loss.label_smoothing=0"
        )


def _smoothing(settings: LossSettings, class_counts: np.ndarray) -> float:
    smoothing = smoothing_over_all(settings.label_smoothing, settings.smoothing_over, len(class_counts))
    if smoothing > 1:
        raise UsageError(
            f"loss.label_smoothing {settings.label_smoothing:g} over the others leaves the right one of "
            f"{len(class_counts)} classes less than each of them; expected at most {1 - 1 / len(class_counts):g}"
        )
    return smoothing


@dataclass(frozen=True)
class LabelSetLoss:
    """The binary cross-entropy of each class by itself, for images that may have several, as the mean over classes."""

    smoothing: float = 0.0
    """Share by which each decision's target is drawn to one half."""
    positive_weights: Tensor | None = None
    """Weight of the images that have a class over that of those without it, (K,) float32: torch's `pos_weight`."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of logits (N, K) for the targets (N, K), from 0 to 1."""
        shares = targets.to(logits.dtype) * (1 - self.smoothing) + self.smoothing / 2
        weights = None if self.positive_weights is None else self.positive_weights.to(logits.device, logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, shares, pos_weight=weights)


def label_set_loss(settings: LossSettings, class_counts: np.ndarray, images: int) -> Loss:
    """The loss for multi-label training data, `class_counts` of whose images have each class.

    Raises:
        UsageError: a loss of one class per image, or settings of one.
    """
    if settings.name != "binary_cross_entropy":
        raise UsageError(
            f"the images may have several classes each, which loss.name {settings.name} does not know; expected "
            "--set loss.name=binary_cross_entropy"
        )
    if settings.label_smoothing and settings.smoothing_over == "others":
        raise UsageError(
            "loss.smoothing_over=others takes from the only class of an image, and these may have several; leave it out"
        )
    return LabelSetLoss(settings.label_smoothing, positive_weights(settings, class_counts, images))


def positive_weights(settings: LossSettings, class_counts: np.ndarray, images: int) -> Tensor | None:
    """Weight of the images with each class over that of those without it, (K,) float32, or None where all count alike.

    The rules weigh the two kinds of images as they weigh two classes of so many images: `balanced` gives their ratio.

    Raises:
        UsageError: numbers for other classes.
    """
    setting = settings.class_weights
    if setting is None or isinstance(setting, tuple):
        return class_weights(settings, class_counts)
    weigh, beta = CLASS_WEIGHTS[setting], settings.effective_beta
    weights = weigh(np.maximum(class_counts, 1), beta) / weigh(np.maximum(images - class_counts, 1), beta)
    return torch.tensor(weights, dtype=torch.float32)


LOSSES: dict[str, Callable[[LossSettings, np.ndarray, int | None], Loss]] = {
    "cross_entropy": cross_entropy_loss,
    "binary_cross_entropy": binary_cross_entropy_loss,
}
"""Factory of each `loss.name`, from the settings, the training images of each class, and the only output's class."""


def smoothing_over_all(amount: float, over: Literal["all", "others"], num_classes: int) -> float:
    """The amount that, spread over all classes, leaves the labelled one with the same probability as `over` does.

    MindSpore's model zoo takes `amount` from the labelled class and divides it among the others, where the other
    sources divide it among all.
    """
    return amount if over == "all" or not amount else amount * num_classes / (num_classes - 1)


def class_weights(settings: LossSettings, class_counts: np.ndarray) -> Tensor | None:
    """Weight of an image of each class, (K,) float32, or None where all images count alike.

    Weights that follow from the counts have the mean 1 over the training images, so that the learning rate keeps its
    meaning. A class without images has a weight that no image carries.

    Raises:
        UsageError: numbers for other classes.
    """
    setting = settings.class_weights
    if setting is None:
        return None
    if isinstance(setting, tuple):
        if len(setting) != len(class_counts):
            raise UsageError(
                f"loss.class_weights holds {len(setting)} numbers, and the data have {len(class_counts)} classes; "
                f"expected one per class, or {' or '.join(map(repr, CLASS_WEIGHTS))}"
            )
        return torch.tensor(setting, dtype=torch.float32)
    shares = CLASS_WEIGHTS[setting](np.maximum(class_counts, 1), settings.effective_beta)
    return torch.tensor(shares * class_counts.sum() / (shares * class_counts).sum(), dtype=torch.float32)


def logit_offsets(adjustment: float, class_counts: np.ndarray) -> Tensor | None:
    """Logarithms of the classes' shares of the images times `adjustment`, (K,) float32; None if that is 0.

    With shuffled sampling and an adjustment of 1, a network learns the logits of equally frequent classes
    (Menon et al. 2021). A class without images counts as one with a single image.
    """
    if not adjustment:
        return None
    return torch.tensor(adjustment * np.log(np.maximum(class_counts, 1) / class_counts.sum()), dtype=torch.float32)


CLASS_WEIGHTS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "balanced": lambda counts, _: 1 / counts,
    "square_root": lambda counts, _: 1 / np.sqrt(counts),
    "effective_number": lambda counts, beta: (1 - beta) / -np.expm1(counts * np.log(beta)),
}
"""Weights by the images of each class, up to a common factor: in inverse proportion to their number, to its square
root, or to the effective number of samples, (1 - beta^n) / (1 - beta) (Cui et al. 2019)."""
