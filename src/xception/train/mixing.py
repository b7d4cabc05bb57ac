"""Mixup, cutmix and random erasing of whole batches, on the device that trains.

What is done to a batch is drawn first, on the CPU, so that all devices mix alike and none is waited for.
"""

from collections.abc import Callable
from math import exp, log, sqrt
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xception.preprocess import Box
from xception.train.settings import MixSettings

ERASE_ATTEMPTS = 10
"""Attempts to fit an erased rectangle in."""


def _timm_size(pixels: int, rng: np.random.Generator) -> tuple[int, int]:
    area = pixels * rng.uniform(0.02, 1 / 3)
    ratio = exp(rng.uniform(log(0.3), log(1 / 0.3)))
    return round(sqrt(area * ratio)), round(sqrt(area / ratio))


def _mindspore_size(pixels: int, rng: np.random.Generator) -> tuple[int, int]:
    area, ratio = pixels * rng.uniform(0.02, 0.33), rng.uniform(0.3, 3.3)
    width = round(sqrt(area * ratio))
    return round(width / ratio), width


ERASED_SIZES: dict[str, Callable[[int, np.random.Generator], tuple[int, int]]] = {
    "timm": _timm_size,
    "mindspore": _mindspore_size,
}
"""Random height and width of the erased rectangle in an image of a number of pixels (Zhong et al. 2020).

timm draws the logarithm of height over width evenly; MindSpore, whose bounds MindCV 0.3 passes on, draws width over
height evenly, and the height follows from the rounded width.
"""


class DrawnMix(NamedTuple):
    """The way in which each image of a batch is blended with another one."""

    partner: Tensor
    """Place of the other image, (N,)."""
    share: float
    """Share of the image itself: of its values in mixup, of its area in cutmix."""
    box: Box | None
    """The part of the other image that is pasted in, (left, top, right, bottom); None for mixup."""


def draw_mix(
    count: int, height_width: tuple[int, int], settings: MixSettings, rng: np.random.Generator
) -> DrawnMix | None:
    """Draw the mixing of a batch of `count` images; None where nothing is to be mixed."""
    alpha, cuts = _choice(settings, rng)
    if not alpha:
        return None
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(count))
    if not cuts:
        return DrawnMix(partner, share, None)
    box = random_box(*height_width, 1 - share, rng)
    return DrawnMix(partner, 1 - _area(box) / (height_width[0] * height_width[1]), box)


def mix(pixels: Tensor, targets: Tensor, num_classes: int, drawn: DrawnMix | None) -> tuple[Tensor, Tensor]:
    """Blend every image of a batch with another one, by mixup or by cutmix.

    Args:
        pixels: (N, C, H, W).
        targets: class indices (N,), or probabilities (N, K).
        num_classes: K.
        drawn: the way; its partners lie on the device of the pixels.

    Returns:
        Pixels of the same shape, and probabilities (N, K), or `targets` as they are where nothing is to be mixed.
    """
    if drawn is None:
        return pixels, targets
    partner, share, box = drawn
    pixels = mixup(pixels, partner, share) if box is None else cutmix(pixels, partner, box)
    shares = functional.one_hot(targets, num_classes).to(torch.float32) if targets.ndim == 1 else targets
    return pixels, share * shares + (1 - share) * shares[partner]


def mixup(pixels: Tensor, partner: Tensor, share: float) -> Tensor:
    """Add `share` of each image to the rest of image `partner` (Zhang et al. 2018)."""
    return share * pixels + (1 - share) * pixels[partner]


def cutmix(pixels: Tensor, partner: Tensor, box: Box) -> Tensor:
    """Paste a box of image `partner` into each image (Yun et al. 2019)."""
    left, top, right, bottom = box
    cut = pixels.clone()
    cut[..., top:bottom, left:right] = pixels[..., top:bottom, left:right][partner]
    return cut


def random_box(height: int, width: int, share: float, rng: np.random.Generator) -> Box:
    """A box with the aspect ratio of the image and `share` of its area, cut off at the border."""
    half_height, half_width = int(height * sqrt(share)) // 2, int(width * sqrt(share)) // 2
    y, x = int(rng.integers(height)), int(rng.integers(width))
    rows = max(0, y - half_height), min(height, y + half_height)
    columns = max(0, x - half_width), min(width, x + half_width)
    return columns[0], rows[0], columns[1], rows[1]


def draw_erased(
    count: int,
    height_width: tuple[int, int],
    probability: float,
    rng: np.random.Generator,
    rule: Literal["timm", "mindspore"] = "timm",
) -> Tensor | None:
    """Draw the rectangles that are erased, (N, 4), empty ones for most images; None where no image has one."""
    chosen = np.flatnonzero(rng.uniform(size=count) < probability)
    if len(chosen) == 0:
        return None
    boxes = np.zeros((count, 4), np.int64)
    boxes[chosen] = [_erased_box(*height_width, rng, rule) for _ in chosen]
    return torch.from_numpy(boxes)


def erase(pixels: Tensor, boxes: Tensor | None) -> Tensor:
    """Set the box of each image, of boxes (N, 4), to 0, the mean colour of normalised pixels."""
    if boxes is None:
        return pixels
    left, top, right, bottom = boxes.view(-1, 4, 1, 1, 1).unbind(1)
    rows = torch.arange(pixels.shape[-2], device=pixels.device).view(-1, 1)
    columns = torch.arange(pixels.shape[-1], device=pixels.device)
    return pixels.masked_fill((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right), 0.0)


def _area(box: Box) -> int:
    left, top, right, bottom = box
    return (bottom - top) * (right - left)


def _choice(settings: MixSettings, rng: np.random.Generator) -> tuple[float, bool]:
    """The chosen kind's alpha, and True for cutmix; with both kinds on, every batch draws one of them."""
    is_either = settings.mixup > 0 and settings.cutmix > 0
    cuts = bool(rng.uniform() < settings.cutmix_share) if is_either else settings.cutmix > 0
    return (settings.cutmix if cuts else settings.mixup), cuts


def _erased_box(height: int, width: int, rng: np.random.Generator, rule: str) -> Box:
    for _ in range(ERASE_ATTEMPTS):
        rows, columns = ERASED_SIZES[rule](height * width, rng)
        if rows < height and columns < width:
            top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
            return left, top, left + columns, top + rows
    return 0, 0, 0, 0
