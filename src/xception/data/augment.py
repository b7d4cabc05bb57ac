"""Random changes to training images. Sample i of epoch e under seed s is a function of (s, e, i) only."""

from math import cos, exp, log, radians, sin, sqrt
from typing import Annotated, Literal

import msgspec
import numpy as np
from PIL import Image, ImageEnhance

from xception.data.decode import loaded_image
from xception.errors import UsageError
from xception.preprocess import Levels, Preprocess

NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]

CROP_ATTEMPTS = 10
"""Random boxes that are tried before the largest central one is taken, as in every published training."""


class Augment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest changes, each drawn uniformly in both directions; 0 turns one off.

    `translate` is a share of the image's size, in whole pixels where there is neither rotation nor zoom; `zoom` is one
    of its scale.
    """

    crop_scale: tuple[float, float] | None = None
    """Smallest and largest share of the image that a random crop takes, resized straight to the network's input."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width of that crop over its height."""
    rotate_degrees: NotNegative = 0.0
    translate: NotNegative = 0.0
    zoom: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    flip: bool = False
    """Mirrors half of the images from left to right."""
    jitter: NotNegative = 0.0
    """Largest relative change of brightness, then contrast, then saturation."""
    policy: Literal["autoaugment", "randaugment"] | None = None
    """AutoAugment's policy for ImageNet (Cubuk et al. 2019) or RandAugment (Cubuk et al. 2020), on the device."""
    operations: Annotated[int, msgspec.Meta(ge=1)] = 2
    """Number of RandAugment's operations per image, one after the other."""
    magnitude: Annotated[float, msgspec.Meta(ge=0, le=10)] = 9.0
    """Strength of RandAugment's operations, 0 to 10."""
    magnitude_std: NotNegative = 0.0
    """Spread of that magnitude over images and operations."""
    erase: Probability = 0.0
    """Share of the images of which a random rectangle is erased, on the device (Zhong et al. 2020)."""
    erase_rule: Literal["timm", "mindspore"] = "timm"
    """Sizes of that rectangle: 2 % of the image up to 1/3 with timm, up to 33 % with MindSpore, whose shapes are wider
    on average."""

    def __post_init__(self) -> None:
        self._check_use()
        for name, (least, largest) in (("crop_scale", self.crop_scale or (1, 1)), ("crop_ratio", self.crop_ratio)):
            if not 0 < least <= largest or (name == "crop_scale" and largest > 1):
                raise UsageError(
                    f"augment.{name} is [{least}, {largest}]; expected two numbers above 0, the smaller one first"
                    + (", of at most 1" if name == "crop_scale" else "")
                )

    def _check_use(self) -> None:
        """Refuse settings that have no effect, rather than ignore them."""
        needs = dict.fromkeys(("operations", "magnitude", "magnitude_std"), "augment.policy 'randaugment'")
        needs = {} if self.policy == "randaugment" else needs
        needs |= {} if self.crop_scale else {"crop_ratio": "augment.crop_scale"}
        needs |= {} if self.erase else {"erase_rule": "augment.erase"}
        defaults = dict(zip(self.__struct_fields__, self.__struct_defaults__, strict=True))
        for name, needed in needs.items():
            if getattr(self, name) != defaults[name]:
                raise UsageError(f"augment.{name} does nothing without {needed}; leave it out, or add that")

    def levels(
        self, loaded: bytes | Image.Image, preprocess: Preprocess, seed: int, epoch: int, index: int
    ) -> tuple[Levels, bool]:
        """Sample `index` in epoch `epoch`: its levels (C, H, W), and True if they are still to be mirrored.

        Whole batches are mirrored and normalised at once, where they are computed.

        Raises:
            DecodeError: an encoded image that cannot be decoded.
            UsageError: a random crop for a network input without a size of its own.
        """
        if self.crop_scale is None:
            image = loaded_image(loaded, orientation=preprocess.orientation)
            image, is_mirrored = self._changed(image, seed, epoch, index)
            return preprocess.resized(image), is_mirrored
        image = self._region(loaded, preprocess, _generator(seed, epoch, index, stream=1))
        image, is_mirrored = self._changed(image, seed, epoch, index)
        return preprocess.pixels(image), is_mirrored

    def _region(self, loaded: bytes | Image.Image, preprocess: Preprocess, rng: np.random.Generator) -> Image.Image:
        """A random part at the network's size, of an image that is decoded no finer than this needs."""
        crop: list[tuple[tuple[int, int], tuple[int, int, int, int]]] = []

        def reduction(size: tuple[int, int]) -> int:
            box = _random_box(size, self.crop_scale or (1, 1), self.crop_ratio, rng)
            crop.append((size, box))
            height, width = preprocess.output_px or size[::-1]
            return max(1, min((box[2] - box[0]) // width, (box[3] - box[1]) // height))

        image = loaded_image(loaded, reduction, preprocess.orientation)
        if not crop:
            reduction(image.size)
        (((width, height), box),) = crop
        x, y = image.width / width, image.height / height
        return preprocess.region(image, (box[0] * x, box[1] * y, box[2] * x, box[3] * y))

    def __call__(self, image: Image.Image, seed: int, epoch: int, index: int) -> Image.Image:
        """The image of sample `index` as epoch `epoch` sees it, except for its random crop."""
        image, is_mirrored = self._changed(image, seed, epoch, index)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if is_mirrored else image

    def _changed(self, image: Image.Image, seed: int, epoch: int, index: int) -> tuple[Image.Image, bool]:
        """The image before it is mirrored, and True if it is to be."""
        is_moved = self.rotate_degrees or self.translate or self.zoom
        if not (is_moved or self.flip or self.jitter):
            return image, False
        rng = _generator(seed, epoch, index)
        angle, dx, dy, zoom, coin = (float(value) for value in rng.uniform(-1, 1, 5))
        if is_moved:
            shift = dx * self.translate * image.width, dy * self.translate * image.height
            image = self._moved(image, radians(angle * self.rotate_degrees), shift, 1 + zoom * self.zoom)
        return (_jittered(image, self.jitter, rng) if self.jitter else image), self.flip and coin < 0

    def _moved(self, image: Image.Image, angle: float, shift: tuple[float, float], scale: float) -> Image.Image:
        """The image turned, shifted and zoomed about its centre; black comes in from outside."""
        if self.rotate_degrees or self.zoom:
            matrix = _inverse_affine(image.size, angle=angle, shift=shift, scale=scale)
            return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        # Whole pixels keep the image as sharp as those that the network is judged on.
        left, top = -round(shift[0]), -round(shift[1])
        return image.crop((left, top, left + image.width, top + image.height))


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which epoch `epoch` sees `count` samples: a permutation of their indices."""
    return _generator(seed, epoch, 0xFFFFFFFF).permutation(count)  # beyond every sample's own index


def balanced_order(targets: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Another order for as many samples, in which all classes are equally frequent.

    A class with too few samples gives them again and again, one with too many a part of them, drawn anew every epoch.
    The n-th repetition of sample `i` is `i + n * len(targets)`, so that it is augmented in its own way.
    """
    rng = _generator(seed, epoch, 0xFFFFFFFF)
    classes = rng.permutation(np.unique(targets))
    shares = np.diff(np.arange(len(classes) + 1) * len(targets) // len(classes))
    drawn = [
        _repeated(np.flatnonzero(targets == one), share, rng, len(targets))
        for one, share in zip(classes, shares, strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def batch_generator(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """The random numbers of process `rank` for the batch of step `step`: a function of nothing else."""
    return _generator(seed, rank, step, stream=2)


def image_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers for a program's own change of sample `index` in epoch `epoch`."""
    return _generator(seed, epoch, index, stream=3)


def _repeated(indices: np.ndarray, count: int, rng: np.random.Generator, offset: int) -> np.ndarray:
    rounds = -(-count // len(indices))
    return np.concatenate([rng.permutation(indices) + turn * offset for turn in range(rounds)])[:count]


def _generator(seed: int, epoch: int, index: int, stream: int = 0) -> np.random.Generator:
    # As uint64, since numpy turns a list of large integers into floats, which would merge neighbouring keys.
    key = np.array([seed % 2**64, epoch << 32 | index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))


def _random_box(
    size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom): area uniform in `scale`, logarithm of the aspect ratio uniform in `ratio`'s."""
    width, height = size
    for _ in range(CROP_ATTEMPTS):
        area = width * height * rng.uniform(*scale)
        aspect = exp(rng.uniform(log(ratio[0]), log(ratio[1])))
        box_width, box_height = round(sqrt(area * aspect)), round(sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            left, top = (int(rng.integers(0, rest, endpoint=True)) for rest in (width - box_width, height - box_height))
            return left, top, left + box_width, top + box_height
    return _central_box(width, height, ratio)


def _central_box(width: int, height: int, ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    """The largest box in the middle whose aspect ratio is allowed."""
    box_width, box_height = width, height
    if width / height < ratio[0]:
        box_height = max(1, round(width / ratio[0]))
    elif width / height > ratio[1]:
        box_width = max(1, round(height * ratio[1]))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def _jittered(image: Image.Image, most: float, rng: np.random.Generator) -> Image.Image:
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(float(rng.uniform(max(0.0, 1 - most), 1 + most)))
    return image


def _inverse_affine(
    size: tuple[int, int], *, angle: float, shift: tuple[float, float], scale: float
) -> tuple[float, float, float, float, float, float]:
    """Pillow's coefficients, from a result's position to the source's, about the image's centre."""
    cx, cy = size[0] / 2, size[1] / 2
    a, b = cos(angle) / scale, sin(angle) / scale
    x, y = -cx - shift[0], -cy - shift[1]
    return a, b, a * x + b * y + cx, -b, a, -b * x + a * y + cy
