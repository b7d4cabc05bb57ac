"""Preprocessing of an upright 8-bit image to the network's input: resize, crop, normalise. Sizes are whole pixels.

The rules are those that published weights were evaluated with; which entry uses which is in the catalog.
"""

from functools import cached_property
from typing import Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.errors import DecodeError, UsageError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
"""Pillow's filters, which widen when they shrink an image (antialiasing)."""

MAX_PX = 1 << 27
"""Pixels that a resized image may have, three bytes each: a sliver one pixel wide would grow without bound."""

ONE = 1 << 11
"""OpenCV's bilinear weights are fixed-point numbers with 11 bits of fraction."""


Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in whole pixels."""

Levels = NDArray[np.uint8] | NDArray[np.float32]
"""Values before normalisation: whole ones from 0 to 255, or with fractions, and by a bicubic filter beyond the two."""


class ShorterSide(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="rule", tag="shorter_side"
):
    """The shorter side becomes `px`; the longer one keeps the aspect ratio, truncated (torchvision, MindSpore)
    or rounded (Paddle) to a whole pixel."""

    px: int
    long_side: Literal["truncate", "round"] = "truncate"

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after the resize."""
        short, long = sorted((width, height))
        # Each in its source's order of operations: the other order falls on the other side of some whole pixels.
        scaled = round(long * (self.px / short)) if self.long_side == "round" else int(self.px * long / short)
        return (self.px, scaled) if width <= height else (scaled, self.px)


class Squash(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="rule", tag="squash"):
    """Both sides take the given size, whatever the aspect ratio."""

    width_px: int
    height_px: int

    def size(self, width: int, height: int) -> tuple[int, int]:  # noqa: ARG002 - one interface for both rules
        """(width, height) after the resize."""
        return self.width_px, self.height_px


class CropSquash(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="rule", tag="crop_squash"
):
    """The largest centred part with the target's aspect ratio is cut out first and then takes the given size (Keras'
    `crop_to_aspect_ratio`). Resizing first and cropping then is no substitute: its filter sees other pixels."""

    width_px: int
    height_px: int

    def size(self, width: int, height: int) -> tuple[int, int]:  # noqa: ARG002 - one interface for all rules
        """(width, height) after the resize."""
        return self.width_px, self.height_px

    def part(self, width: int, height: int) -> Box:
        """The part that is cut out of an image of the given size."""
        cut_height = max(1, min(height, width * self.height_px // self.width_px))
        cut_width = max(1, min(width, height * self.width_px // self.height_px))
        left, top = (width - cut_width) // 2, (height - cut_height) // 2
        return left, top, left + cut_width, top + cut_height


class CenterCrop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The middle of the image; an odd margin's half pixel is rounded to even (torchvision) or floored (Paddle,
    MindSpore). An image that is smaller than the crop is padded with black, and an odd rest of that goes to the
    right and below (torchvision) or to the left and above (MindSpore)."""

    width_px: int
    height_px: int
    offset: Literal["round", "floor"] = "round"

    def box(self, width: int, height: int) -> Box:
        """The part that it keeps of an image of the given size."""
        left, top = self._start(width - self.width_px), self._start(height - self.height_px)
        return left, top, left + self.width_px, top + self.height_px

    def _start(self, margin: int) -> int:
        if self.offset == "floor":
            return margin // 2
        return round(margin / 2) if margin > 0 else -(-margin // 2)


Orientation = Literal["upright", "stored"]
"""Turned as a photograph's EXIF data say, or left as the pixels lie in the file."""


class Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Rules that turn an image into the network's input: resize, crop, and `(value / divisor - mean) / std`.

    `orientation` says if a photograph is first rotated by its EXIF data; some sources' loaders do that, others do not.
    `antialias=False` is OpenCV's bilinear resize, which interpolates between two source pixels per side however much
    it shrinks. With `fractions`, resized values are neither rounded to 8 bits nor clipped to 0 and 255, as in Keras.
    """

    orientation: Orientation = "upright"
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    resize: ShorterSide | Squash | CropSquash | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bicubic"
    antialias: bool = True
    fractions: bool = False
    crop: CenterCrop | None = None
    divisor: float = 255.0
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise UsageError(
                f"preprocess has {len(self.mean)} means and {len(self.std)} deviations; "
                f"expected {self.channels} of each for {self.color} images"
            )
        if self.divisor == 0 or 0 in self.std:
            raise UsageError("preprocess divides by zero; expected a divisor and deviations other than 0")
        if not self.antialias and self.interpolation != "bilinear":
            raise UsageError(
                f"{self.interpolation} without antialias is not defined; expected interpolation 'bilinear'"
            )
        sizes = (self.resize, self.crop)
        if any(getattr(rule, side, 1) < 1 for rule in sizes for side in ("px", "width_px", "height_px")):
            raise UsageError("preprocess has a size below one pixel; expected whole pixels from 1")

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3

    @property
    def output_px(self) -> tuple[int, int] | None:
        """(height, width) of every result, or None where it depends on the image."""
        if self.crop:
            return self.crop.height_px, self.crop.width_px
        if isinstance(self.resize, Squash | CropSquash):
            return self.resize.height_px, self.resize.width_px
        return None

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """An upright 8-bit image of any mode to (C, H, W) float32.

        Raises:
            DecodeError: the resize rule makes a sliver larger than memory should hold.
        """
        return self.normalize(self.resized(image))

    def resized(self, image: Image.Image) -> Levels:
        """The pixels that the network is to see, before normalisation: (C, H, W), 8 bits each, or float32 with
        `fractions`."""
        if not isinstance(image, Image.Image):
            raise UsageError(f"preprocessing takes a Pillow image; got {type(image).__name__}: open or make one of it")
        image = self.converted(image)
        if isinstance(self.resize, CropSquash):
            image = image.crop(self.resize.part(*image.size))
        size, box = self.geometry(*image.size)
        if self.fractions:
            return self._with_fractions(image, size, box)
        if self.resize and not self.antialias:
            inner = inside(box, size)
            return self.cut(Image.fromarray(resize_bilinear(np.asarray(image), *size, inner)), inner, box)
        return self.cut(image.resize(size, FILTERS[self.interpolation]) if self.resize else image, (0, 0, *size), box)

    def _with_fractions(self, image: Image.Image, size: tuple[int, int], box: Box) -> NDArray[np.float32]:
        planes = [image.getchannel(band) for band in image.getbands()]
        if not self.resize:
            levels = np.stack([np.asarray(plane, np.float32) for plane in planes])
        elif self.antialias:
            levels = np.stack([np.asarray(_filtered(plane, size, FILTERS[self.interpolation])) for plane in planes])
        else:
            levels = np.stack([interpolate(np.asarray(plane, np.float32), *size) for plane in planes])
        left, top, right, bottom = inner = inside(box, size)
        padding = ((inner[1] - box[1], box[3] - inner[3]), (inner[0] - box[0], box[2] - inner[2]))
        kept = np.pad(levels[:, top:bottom, left:right], ((0, 0), *padding))
        return kept[::-1] if self.color == "bgr" else kept

    def geometry(self, width: int, height: int) -> tuple[tuple[int, int], Box]:
        """The size to which an image of a given size is resized, (width, height), and the box that is then cut out.

        Raises:
            DecodeError: the image is so elongated that it would not fit into memory.
        """
        size = self._target_size(width, height)
        return size, self.crop.box(*size) if self.crop else (0, 0, *size)

    def cut(self, part: Image.Image, at: Box, box: Box) -> NDArray[np.uint8]:
        """The pixels (C, H, W) of a box, by a part of the image that begins where `at` does; beyond it is black."""
        shifted = box[0] - at[0], box[1] - at[1], box[2] - at[0], box[3] - at[1]
        return self.pixels(part if shifted == (0, 0, *part.size) else part.crop(shifted))

    def region(self, image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
        """The part (left, top, right, bottom) of an image, resized in one step to the size of all results.

        Raises:
            UsageError: results have no size of their own.
        """
        if self.output_px is None:
            raise UsageError(
                "a random crop needs an input of one size; expected preprocess.crop, or preprocess.resize by squashing"
            )
        height, width = self.output_px
        return self._to_size(self.converted(image), (width, height), box)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """(C, H, W) of an image that has its size already."""
        image = self.converted(image)
        if image.mode == "L":
            return np.asarray(image)[None]
        # Of each row the reds, then the greens, then the blues: Pillow parts them faster than numpy.
        rows = np.frombuffer(image.tobytes("raw", "RGB;L"), np.uint8).reshape(image.height, 3, image.width)
        channels_first = rows.transpose(1, 0, 2)
        return channels_first[::-1] if self.color == "bgr" else channels_first

    def scaled(self, share: float) -> "Preprocess":
        """The same with all sizes times `share`, in whole pixels."""
        return msgspec.structs.replace(self, resize=_scaled(self.resize, share), crop=_scaled(self.crop, share))

    def converted(self, image: Image.Image) -> Image.Image:
        """Gray or RGB pixels of the same size, as every rule takes them."""
        mode = "L" if self.color == "gray" else "RGB"
        return image if image.mode == mode else image.convert(mode)

    def _to_size(
        self, image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
    ) -> Image.Image:
        if self.antialias:
            return image.resize(size, FILTERS[self.interpolation], box)
        if box:
            left, top, right, bottom = map(round, box)
            image = image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
        return Image.fromarray(resize_bilinear(np.asarray(image), *size))

    def _target_size(self, width: int, height: int) -> tuple[int, int]:
        target = self.resize.size(width, height) if self.resize else (width, height)
        if target[0] * target[1] > MAX_PX:
            raise DecodeError(
                f"an image of {width}x{height} px is too elongated: it would become {target[0]}x{target[1]} px; "
                f"expected at most {MAX_PX:,} pixels"
            )
        return target

    def normalize(self, pixels: Levels, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(..., C, H, W) levels to float32 of the same shape, in the order of operations of torch pipelines; into `out`
        if it is given."""
        mean, std = self._statistics
        if out is None:
            out = pixels.astype(np.float32, order="C")
        else:
            out[...] = pixels
        out /= np.float32(self.divisor)
        out -= mean
        out /= std
        return out

    def levels(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The levels that `normalize` made these pixels of, (..., C, H, W); what was never a level may be outside."""
        mean, std = self._statistics
        return (pixels * std + mean) * np.float32(self.divisor)

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation, each (C, 1, 1)."""
        mean, std = (np.array(row, np.float32)[:, None, None] for row in (self.mean, self.std))
        return mean, std


_Rule = TypeVar("_Rule", ShorterSide, Squash, CropSquash, CenterCrop)


def _scaled(rule: _Rule | None, share: float) -> _Rule | None:
    sizes = ("px", "width_px", "height_px")
    return rule and msgspec.structs.replace(
        rule, **{side: max(1, round(getattr(rule, side) * share)) for side in sizes if hasattr(rule, side)}
    )


def inside(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box that an image of a given (width, height) has pixels for."""
    return max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])


def whole_levels(pixels: Levels) -> NDArray[np.uint8]:
    """The nearest 8-bit values."""
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


def _filtered(plane: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    """One channel resized with antialias in float32."""
    return plane.convert("F").resize(size, resampling)


def interpolate(pixels: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Bilinear resize of one channel without antialias and without rounding: (H, W) to (height, width)."""
    for axis, target in enumerate((height, width)):
        source = pixels.shape[axis]
        centre = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0.0)
        low = centre.astype(np.intp).clip(0, source - 1)
        share = np.expand_dims((centre - low).astype(np.float32), 1 - axis)
        high = np.minimum(low + 1, source - 1)
        pixels = pixels.take(low, axis) * (1 - share) + pixels.take(high, axis) * share
    return pixels


def resize_bilinear(pixels: NDArray[np.uint8], width: int, height: int, box: Box | None = None) -> NDArray[np.uint8]:
    """OpenCV's 8-bit bilinear resize, INTER_LINEAR without antialias: (H, W[, C]) to (height, width[, C]).

    With a box, only that part of the result.
    """
    first_column, first_row, end_column, end_row = box or (0, 0, width, height)
    rows, row_weights = _taps(pixels.shape[0], height, slice(first_row, end_row))
    columns, column_weights = _taps(pixels.shape[1], width, slice(first_column, end_column))
    # Beyond the first and last column OpenCV takes the edge pixel whole; beyond rows it blends it with itself.
    column_weights[:, columns[0] == columns[1]] = [[ONE], [0]]
    used, rows_of_used = np.unique(rows, return_inverse=True)
    wide = _blend(pixels[used], columns, column_weights, axis=1)
    wide >>= 4
    # The rounding of OpenCV's vertical pass: 16 bits are dropped from each product, the last two are rounded.
    mixed = _blend(wide, rows_of_used.reshape(rows.shape), row_weights, axis=0, drop=16)
    mixed += 2
    mixed >>= 2
    return np.asarray(mixed, np.uint8)


def _blend(
    pixels: NDArray[np.integer], positions: NDArray[np.integer], weights: NDArray[np.int32], axis: int, drop: int = 0
) -> NDArray[np.int32]:
    """The weighted sum of two positions along an axis; of each product so many bits are dropped."""
    # Without a mode, take would copy its result once more.
    low, high = (np.asarray(pixels.take(row, axis, mode="clip"), np.int32) for row in positions)
    for product, weight in zip((low, high), weights, strict=True):
        product *= weight.reshape([-1 if place == axis else 1 for place in range(pixels.ndim)])
        product >>= drop
    low += high
    return low


def _taps(source: int, target: int, part: slice) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """The two source positions of a part of the target positions, and their fixed-point weights; each (2, part)."""
    centre = ((np.arange(target)[part] + 0.5) * (source / target) - 0.5).astype(np.float32)
    low = np.floor(centre)
    fraction = centre - low
    weights = np.rint(np.stack([np.float32(1) - fraction, fraction]) * ONE).astype(np.int32)
    first = low.astype(np.intp)
    return np.asarray(np.stack([first, first + 1]).clip(0, source - 1), np.intp), weights
