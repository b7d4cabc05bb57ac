"""AutoAugment and RandAugment on whole batches, on the device that trains.

The operation of each image and its level are drawn first, on the CPU; the images that share an operation are then
changed together. Operations and their ranges are those of Cubuk et al. (2019, 2020) in the form
in which a higher magnitude always changes more.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xception.data.augment import Augment

DrawnOperations = dict[str, tuple[Tensor, Tensor]]
"""One operation for each image of a batch: by its name the places of its images, and their levels from -1 to 1."""


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


def draw_operations(count: int, settings: Augment, rng: np.random.Generator) -> tuple[DrawnOperations, ...]:
    """Draw the rounds of the settings' policy for `count` images; none where there is no policy."""
    if settings.policy is None:
        return ()
    draw = draw_autoaugment if settings.policy == "autoaugment" else draw_randaugment
    return tuple(_by_name(names, levels) for names, levels in draw(count, settings, rng))


def _by_name(names: np.ndarray, levels: np.ndarray) -> DrawnOperations:
    places = {name: np.flatnonzero(names == name) for name in sorted(set(names) - {""})}
    return {
        name: (torch.from_numpy(chosen), torch.from_numpy(levels[chosen].astype(np.float32)))
        for name, chosen in places.items()
    }


NamesAndLevels = tuple[np.ndarray, np.ndarray]
"""The operation of each image, "" for none, and its level from -1 to 1; (N,) both."""


def draw_randaugment(count: int, settings: Augment, rng: np.random.Generator) -> list[NamesAndLevels]:
    """Draw `operations` operations for each of `count` images, all equally likely, at about the same magnitude."""
    names = tuple(IMAGE_OPERATIONS)
    return [
        (
            np.array(names)[rng.integers(len(names), size=count)],
            _signed(rng.normal(settings.magnitude, settings.magnitude_std, count).clip(0, 10) / 10, rng),
        )
        for _ in range(settings.operations)
    ]


def draw_autoaugment(count: int, settings: Augment, rng: np.random.Generator) -> list[NamesAndLevels]:  # noqa: ARG001 - one interface
    """Draw one pair of the policy for each of `count` images; each half is applied with its own probability."""
    chosen = [IMAGENET_POLICY[index] for index in rng.integers(len(IMAGENET_POLICY), size=count)]
    rounds = []
    for half in range(2):
        done = rng.uniform(size=count) < [pair[half][1] for pair in chosen]
        names = np.array([pair[half][0] for pair in chosen])
        rounds.append((np.where(done, names, ""), _signed(np.array([pair[half][2] / 9 for pair in chosen]), rng)))
    return rounds


def apply_operations(images: Tensor, operations: DrawnOperations) -> Tensor:
    """Apply to each image (N, C, H, W) from 0 to 1 its operation at its level, and clip it to that range."""
    images = images.clone()
    for name, (places, levels) in operations.items():
        images[places] = IMAGE_OPERATIONS[name](images[places], levels).clamp(0, 1)
    return images


def _signed(magnitudes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.uniform(size=len(magnitudes)) < 0.5, -magnitudes, magnitudes)


def _blended(images: Tensor, others: Tensor, level: Tensor) -> Tensor:
    """A factor of 1 + 0.9 level of what tells each image from the other one."""
    return others + (1 + 0.9 * level).view(-1, 1, 1, 1) * (images - others)


def _gray(images: Tensor) -> Tensor:
    """Brightness (N, 1, H, W) of colours by ITU-R 601-2, as in Pillow."""
    if images.shape[1] == 1:
        return images
    return 0.299 * images[:, :1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:]


def _contrasted(images: Tensor, level: Tensor) -> Tensor:
    return _blended(images, _gray(images).mean((2, 3), keepdim=True), level)


def _sharpened(images: Tensor, level: Tensor) -> Tensor:
    """Blended with its mean over 3 x 3 pixels, the middle one counted five times; the border stays as it is."""
    if min(images.shape[2:]) < 3:
        return images
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = (9 * functional.avg_pool2d(images, 3, 1) + 4 * images[..., 1:-1, 1:-1]) / 13
    return _blended(images, smooth, level)


def _warped(images: Tensor, **entries: Tensor) -> Tensor:
    """The images under an affine map of pixels about their centre: the identity matrix with these entries replaced."""
    one, zero = torch.ones(len(images), device=images.device), torch.zeros(len(images), device=images.device)
    known = {"m00": one, "m01": zero, "m02": zero, "m10": zero, "m11": one, "m12": zero} | entries
    a, b, x, c, d, y = known.values()
    # Of a pixel of the result the place in the source, in half sizes from the centre.
    half_width, half_height = (max(size - 1, 1) / 2 for size in (images.shape[-1], images.shape[-2]))
    determinant = a * d - b * c
    rows = [
        [d, -b * (half_height / half_width), (b * y - d * x) / half_width],
        [-c * (half_width / half_height), a, (c * x - a * y) / half_height],
    ]
    inverse = torch.stack([torch.stack(row, -1) for row in rows], 1) / determinant.view(-1, 1, 1)
    grid = functional.affine_grid(inverse, list(images.shape), align_corners=True)
    return functional.grid_sample(images, grid, align_corners=True)


def _rotated(images: Tensor, level: Tensor) -> Tensor:
    angle = level * (torch.pi / 6)
    return _warped(images, m00=angle.cos(), m01=-angle.sin(), m10=angle.sin(), m11=angle.cos())


def _autocontrasted(images: Tensor, level: Tensor) -> Tensor:  # noqa: ARG001 - has no level
    darkest, brightest = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(brightest > darkest, (images - darkest) / (brightest - darkest), images)


def _equalized(images: Tensor, level: Tensor) -> Tensor:  # noqa: ARG001 - has no level
    """Each channel with about as many pixels of every value, by Pillow's table of whole numbers."""
    values = (images * 255).round().long().flatten(2)
    counts = torch.zeros(*values.shape[:2], 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(2, values, torch.ones_like(values))
    of_brightest = counts.gather(2, values.amax(2, keepdim=True))
    step = (values.shape[2] - of_brightest) // 255
    table = ((counts.cumsum(2) - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    equal = table.gather(2, values).view_as(images) / 255
    return torch.where(step.unsqueeze(3) > 0, equal, images)


def _posterized(images: Tensor, level: Tensor) -> Tensor:
    """The values' upper 8 to 4 bits."""
    unit = (4 * level.abs()).round().exp2().view(-1, 1, 1, 1)
    return ((images * 255).round() / unit).floor() * unit / 255


IMAGE_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "autocontrast": _autocontrasted,
    "brightness": lambda images, level: images * (1 + 0.9 * level).view(-1, 1, 1, 1),
    "color": lambda images, level: _blended(images, _gray(images), level),
    "contrast": _contrasted,
    "equalize": _equalized,
    "invert": lambda images, _: 1 - images,
    "posterize": _posterized,
    "rotate": _rotated,
    "sharpness": _sharpened,
    "shear_x": lambda images, level: _warped(images, m01=0.3 * level),
    "shear_y": lambda images, level: _warped(images, m10=0.3 * level),
    "solarize": lambda images, level: torch.where(images < 1 - level.abs().view(-1, 1, 1, 1), images, 1 - images),
    "translate_x": lambda images, level: _warped(images, m02=0.45 * level * images.shape[-1]),
    "translate_y": lambda images, level: _warped(images, m12=0.45 * level * images.shape[-2]),
}
"""Operations on images (N, C, H, W) from 0 to 1 at levels (N,) from -1 to 1; some ignore the sign. They compute whole
batches on their device and never ask it for a value, which would make the next step wait."""
