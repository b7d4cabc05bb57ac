"""AutoAugment and RandAugment on whole batches, on the device that trains.

The operation of each image and its level are drawn first, on the CPU; the images that share an operation are then
changed together by functions of kornia. Operations and their ranges are those of Cubuk et al. (2019, 2020) in the form
in which a higher magnitude always changes more.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from xception.data.augment import Augment
from xception.extras import require
from xception.preprocess import Preprocess


class DrawnOperations(NamedTuple):
    """One operation for each image of a batch: its name ("" for none) and its level from -1 to 1, (N,) both."""

    names: np.ndarray
    levels: np.ndarray


# The 25 pairs of AutoAugment's policy for ImageNet: operation, probability, magnitude from 0 to 9.
IMAGENET_POLICY: tuple[tuple[tuple[str, float, int], tuple[str, float, int]], ...] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)


def augment(pixels: Tensor, preprocess: Preprocess, settings: Augment, rng: np.random.Generator) -> Tensor:
    """Apply the settings' policy, if there is one, to a normalised batch (N, C, H, W).

    Raises:
        MissingExtra: kornia is not installed.
    """
    if settings.policy is None:
        return pixels
    draw = draw_autoaugment if settings.policy == "autoaugment" else draw_randaugment
    images = _to_unit(pixels, preprocess)
    for names, levels in draw(len(pixels), settings, rng):
        images = apply_operations(images, names, levels)
    return _from_unit(images, preprocess)


def draw_randaugment(count: int, settings: Augment, rng: np.random.Generator) -> list[DrawnOperations]:
    """Draw `operations` operations for each of `count` images, all equally likely, at about the same magnitude."""
    names = tuple(IMAGE_OPERATIONS)
    return [
        DrawnOperations(
            np.array(names)[rng.integers(len(names), size=count)],
            _signed(rng.normal(settings.magnitude, settings.magnitude_std, count).clip(0, 10) / 10, rng),
        )
        for _ in range(settings.operations)
    ]


def draw_autoaugment(count: int, settings: Augment, rng: np.random.Generator) -> list[DrawnOperations]:  # noqa: ARG001 - one interface
    """Draw one pair of the policy for each of `count` images; each half is applied with its own probability."""
    chosen = [IMAGENET_POLICY[index] for index in rng.integers(len(IMAGENET_POLICY), size=count)]
    rounds = []
    for half in range(2):
        done = rng.uniform(size=count) < [pair[half][1] for pair in chosen]
        names = np.array([pair[half][0] for pair in chosen])
        rounds.append(
            DrawnOperations(np.where(done, names, ""), _signed(np.array([pair[half][2] / 9 for pair in chosen]), rng))
        )
    return rounds


def apply_operations(images: Tensor, names: np.ndarray, levels: np.ndarray) -> Tensor:
    """Apply to each image (N, C, H, W) from 0 to 1 its operation at its level, and clip it to that range."""
    images = images.clone()
    for name in sorted(set(names) - {""}):
        chosen = torch.from_numpy(np.flatnonzero(names == name)).to(images.device)
        level = torch.from_numpy(levels[names == name]).to(images.device, images.dtype)
        images[chosen] = IMAGE_OPERATIONS[name](images[chosen], level).clamp(0, 1)
    return images


def _signed(magnitudes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.uniform(size=len(magnitudes)) < 0.5, -magnitudes, magnitudes)


def _to_unit(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """Normalised pixels as RGB or gray values from 0 to 1."""
    mean, std = (torch.tensor(row, device=pixels.device).view(-1, 1, 1) for row in (preprocess.mean, preprocess.std))
    # Back to the whole numbers that were normalised: operations on bits would fall over a rounding error.
    images = ((pixels * std + mean) * preprocess.divisor).round().clamp(0, 255) / 255
    return images.flip(1) if preprocess.color == "bgr" else images


def _from_unit(images: Tensor, preprocess: Preprocess) -> Tensor:
    mean, std = (torch.tensor(row, device=images.device).view(-1, 1, 1) for row in (preprocess.mean, preprocess.std))
    images = images.flip(1) if preprocess.color == "bgr" else images
    return (images * (255 / preprocess.divisor) - mean) / std


def _enhance() -> Any:
    return require("kornia.enhance", "train")


def _warped(images: Tensor, **entries: Tensor) -> Tensor:
    """The images under an affine map about their centre: the identity matrix with these entries replaced."""
    matrix = torch.eye(3, device=images.device, dtype=images.dtype).repeat(len(images), 1, 1)
    for place, values in entries.items():
        matrix[:, int(place[1]), int(place[2])] = values
    centre = torch.eye(3, device=images.device, dtype=images.dtype)
    centre[0, 2], centre[1, 2] = (images.shape[-1] - 1) / 2, (images.shape[-2] - 1) / 2
    whole = centre @ matrix @ centre.inverse()
    warp = require("kornia.geometry.transform", "train").warp_affine
    return warp(images, whole[:, :2], images.shape[-2:])  # type: ignore[no-any-return]


def _rotated(images: Tensor, level: Tensor) -> Tensor:
    angle = level * (torch.pi / 6)
    return _warped(images, m00=angle.cos(), m01=-angle.sin(), m10=angle.sin(), m11=angle.cos())


def _saturated(images: Tensor, factor: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    return _enhance().adjust_saturation_with_gray_subtraction(images, factor)  # type: ignore[no-any-return]


def _autocontrasted(images: Tensor, level: Tensor) -> Tensor:  # noqa: ARG001 - has no level
    darkest, brightest = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(brightest > darkest, (images - darkest) / (brightest - darkest), images)


IMAGE_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "autocontrast": _autocontrasted,
    "brightness": lambda images, level: _enhance().adjust_brightness_accumulative(images, 1 + 0.9 * level),
    "color": lambda images, level: _saturated(images, 1 + 0.9 * level),
    "contrast": lambda images, level: _enhance().adjust_contrast_with_mean_subtraction(images, 1 + 0.9 * level),
    "equalize": lambda images, _: _enhance().equalize(images),
    "invert": lambda images, _: 1 - images,
    "posterize": lambda images, level: _enhance().posterize(images, 8 - (4 * level.abs()).round().int()),
    "rotate": _rotated,
    "sharpness": lambda images, level: _enhance().sharpness(images, 1 + 0.9 * level),
    "shear_x": lambda images, level: _warped(images, m01=0.3 * level),
    "shear_y": lambda images, level: _warped(images, m10=0.3 * level),
    "solarize": lambda images, level: torch.where(images < 1 - level.abs().view(-1, 1, 1, 1), images, 1 - images),
    "translate_x": lambda images, level: _warped(images, m02=0.45 * level * images.shape[-1]),
    "translate_y": lambda images, level: _warped(images, m12=0.45 * level * images.shape[-2]),
}
"""Operations on images (N, C, H, W) from 0 to 1 at levels (N,) from -1 to 1; some ignore the sign."""
