"""The first images of a run as its network sees them: augmented, mixed and normalised."""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from xception.data.source import Source
from xception.train.assembly import make_batches
from xception.train.recipe import Recipe

MAX_FIRST_IMAGES = 12

MIN_NAMED_SHARE = 0.005
"""Share of an image below which a class is not named."""


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """One training image, ready for the network."""

    key: str
    pixels: NDArray[np.float32]
    """(C, H, W), normalised."""
    classes: str
    """Its class or classes, or of a blended image the classes with their shares."""


def first_images(recipe: Recipe, training: Source, count: int = MAX_FIRST_IMAGES) -> list[SeenImage]:
    """The images with which a run begins; where images are blended, these are blended among themselves.

    Raises:
        InputError: an image cannot be read.
    """
    batches = make_batches(msgspec.structs.replace(recipe, batch_size=count), training)
    pixels, targets = batches.augment(batches(0))
    return [
        SeenImage(key=key, pixels=image, classes=_named(target, training.classes))
        for key, image, target in zip(batches.keys(0), pixels.numpy(), targets, strict=True)
    ]


def _named(target: Tensor, classes: tuple[str, ...]) -> str:
    if not target.ndim:
        return classes[int(target)]
    shares: list[float] = target.tolist()
    best_first = sorted(
        (index for index, share in enumerate(shares) if share > MIN_NAMED_SHARE), key=lambda i: -shares[i]
    )
    whole = len(best_first) > 1 and all(shares[index] == 1 for index in best_first)
    named = (classes[index] if whole else f"{shares[index]:.0%} {classes[index]}" for index in best_first)
    return " + ".join(named) or "no class"
