"""Mixup, cutmix and random erasing of whole batches, on the device that trains.

All random numbers come from the generator that is passed in, which draws on the CPU, so that all devices mix alike.
"""

from math import exp, log, sqrt

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xception.preprocess import Box
from xception.train.settings import MixSettings

ERASED_AREA, ERASED_RATIO, ERASE_ATTEMPTS = (0.02, 1 / 3), (0.3, 1 / 0.3), 10
"""Range of the erased share of an image, range of height over width (Zhong et al. 2020), and attempts to fit it in."""


def mix(
    pixels: Tensor, targets: Tensor, num_classes: int, settings: MixSettings, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Blend every image of a batch with another one, by mixup or by cutmix.

    Args:
        pixels: (N, C, H, W).
        targets: class indices (N,).
        num_classes: K.
        settings: the choice between the two and their strength.
        rng: source of all that is random.

    Returns:
        Pixels of the same shape, and probabilities (N, K), or `targets` as they are where nothing is to be mixed.
    """
    alpha, cuts = _choice(settings, rng)
    if not alpha:
        return pixels, targets
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(len(pixels))).to(pixels.device)
    if cuts:
        box = random_box(pixels.shape[-2], pixels.shape[-1], 1 - share, rng)
        pixels, share = cutmix(pixels, partner, box)
    else:
        pixels = mixup(pixels, partner, share)
    one_hot = functional.one_hot(targets, num_classes).to(torch.float32)
    return pixels, share * one_hot + (1 - share) * one_hot[partner]


def mixup(pixels: Tensor, partner: Tensor, share: float) -> Tensor:
    """Add `share` of each image to the rest of image `partner` (Zhang et al. 2018)."""
    return share * pixels + (1 - share) * pixels[partner]


def cutmix(pixels: Tensor, partner: Tensor, box: Box) -> tuple[Tensor, float]:
    """Paste a box of image `partner` into each image; returns its own share of the area too (Yun et al. 2019)."""
    left, top, right, bottom = box
    cut = pixels.clone()
    cut[..., top:bottom, left:right] = pixels[partner, :, top:bottom, left:right]
    return cut, 1 - (bottom - top) * (right - left) / (pixels.shape[-2] * pixels.shape[-1])


def random_box(height: int, width: int, share: float, rng: np.random.Generator) -> Box:
    """A box with the aspect ratio of the image and `share` of its area, cut off at the border."""
    half_height, half_width = int(height * sqrt(share)) // 2, int(width * sqrt(share)) // 2
    y, x = int(rng.integers(height)), int(rng.integers(width))
    rows = max(0, y - half_height), min(height, y + half_height)
    columns = max(0, x - half_width), min(width, x + half_width)
    return columns[0], rows[0], columns[1], rows[1]


def erase(pixels: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """Set a rectangle of some images to 0, the mean colour of normalised pixels."""
    chosen = np.flatnonzero(rng.uniform(size=len(pixels)) < probability)
    if len(chosen) == 0:
        return pixels
    pixels = pixels.clone()
    for index in chosen:
        left, top, right, bottom = _erased_box(pixels.shape[-2], pixels.shape[-1], rng)
        pixels[index, :, top:bottom, left:right] = 0
    return pixels


def _choice(settings: MixSettings, rng: np.random.Generator) -> tuple[float, bool]:
    """The chosen kind's alpha, and True for cutmix; with both kinds on, every batch draws one of them."""
    is_either = settings.mixup > 0 and settings.cutmix > 0
    cuts = bool(rng.uniform() < settings.cutmix_share) if is_either else settings.cutmix > 0
    return (settings.cutmix if cuts else settings.mixup), cuts


def _erased_box(height: int, width: int, rng: np.random.Generator) -> Box:
    for _ in range(ERASE_ATTEMPTS):
        area = height * width * rng.uniform(*ERASED_AREA)
        ratio = exp(rng.uniform(log(ERASED_RATIO[0]), log(ERASED_RATIO[1])))
        rows, columns = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if rows < height and columns < width:
            top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
            return left, top, left + columns, top + rows
    return 0, 0, 0, 0
