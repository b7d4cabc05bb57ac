"""Random changes to training images. Sample i of epoch e under seed s is a function of (s, e, i) alone."""

from math import cos, radians, sin
from typing import Annotated

import msgspec
import numpy as np
from PIL import Image

NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Augment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest changes, each drawn uniformly in both directions; 0 turns one off.

    `translate` is a share of the image's size, `zoom` one of its scale.
    """

    rotate_degrees: NotNegative = 0.0
    translate: NotNegative = 0.0
    zoom: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    flip: bool = False
    """Mirror left and right half of the time."""

    def __call__(self, image: Image.Image, seed: int, epoch: int, index: int) -> Image.Image:
        """The image of sample `index` as epoch `epoch` sees it."""
        rng = _generator(seed, epoch, index)
        angle, dx, dy, zoom, coin = (float(value) for value in rng.uniform(-1, 1, 5))
        if self.flip and coin < 0:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if not (self.rotate_degrees or self.translate or self.zoom):
            return image
        matrix = _inverse_affine(
            image.size,
            angle=radians(angle * self.rotate_degrees),
            shift=(dx * self.translate * image.width, dy * self.translate * image.height),
            scale=1 + zoom * self.zoom,
        )
        return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which epoch `epoch` sees `count` samples: a permutation of their indices."""
    return _generator(seed, epoch, 0xFFFFFFFF).permutation(count)  # beyond every sample's own index


def _generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    # As uint64, since numpy turns a list of large integers into floats, which would merge neighbouring keys.
    key = np.array([seed % 2**64, epoch << 32 | index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _inverse_affine(
    size: tuple[int, int], *, angle: float, shift: tuple[float, float], scale: float
) -> tuple[float, float, float, float, float, float]:
    """Pillow's coefficients, from a result's position to the source's, about the image's centre."""
    cx, cy = size[0] / 2, size[1] / 2
    a, b = cos(angle) / scale, sin(angle) / scale
    x, y = -cx - shift[0], -cy - shift[1]
    return a, b, a * x + b * y + cx, -b, a, -b * x + a * y + cy
