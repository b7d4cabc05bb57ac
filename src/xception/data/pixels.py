"""Preparation of images to the 8-bit pixels that a network takes, exactly as published or faster."""

from functools import lru_cache
from math import ceil, floor, gcd
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.data.decode import Reduction, as_image, loaded_image, photograph
from xception.extras import optional
from xception.preprocess import FILTERS, CropSquash, Levels, Preprocess, Squash, inside

Mode = Literal["reference", "exact", "fast"]
"""Precision of the preprocessing: equal to the source's, within one step of 255, or faster (see the documentation)."""

Size = tuple[int, int]

Photo = Image.Image | NDArray[np.uint8]
"""A decoded image, or the pixels that `photograph` returns."""

PixelSpan = tuple[int, int]
"""First of some columns or rows, and the one behind the last."""

REACH = {"bilinear": 1, "bicubic": 2}
"""Pixels on either side of a target's centre that its filter looks at when it does not shrink."""

TURBO_FILTERS = {"bilinear": "bilinear", "bicubic": "catmull_rom"}
"""The names that cykooz_resizer has for Pillow's filters."""

MAX_ASPECT = 2
"""Height over width beyond which Pillow 13 resizes the rows before the columns, as it also may if their scales differ.
Bicubic results of the two orders are up to 28 steps apart, since what overshoots is cut off in between."""

DRAFT_SCALES = (1, 2, 4, 8)
"""Factors by which libjpeg decodes an image smaller at less than the cost of the whole; those between cost more."""

SPARE_COLUMNS = 16
"""Columns on either side of those needed among which a span's ends are looked for."""

MAX_END_ERROR_PX = 2e-6
"""Distance of float32 from a span's end, in pixels, that flips the rounding of about one value in 100,000."""

MIN_DRAFT_FINENESS = 1.5
"""Smallest factor by which a photograph is decoded finer than the target in fast mode: below it the mean difference
from the reference grows from 0.4 to 1.4 steps, above it hardly shrinks."""


def pixels(loaded: bytes | Image.Image, preprocess: Preprocess, mode: Mode = "exact") -> Levels:
    """Prepare what `Item.load` returned: pixels (C, H, W) before normalisation, 8 bits each unless fractions are kept.

    Raises:
        DecodeError: the image cannot be decoded, or its resize makes a sliver larger than memory should hold.
    """
    if mode == "reference":
        return preprocess.resized(loaded_image(loaded, orientation=preprocess.orientation))
    is_plain = not preprocess.resize or not preprocess.antialias or preprocess.interpolation == "nearest"
    if is_plain or preprocess.fractions or isinstance(preprocess.resize, CropSquash):
        return preprocess.resized(_image(_opened(loaded, preprocess)))
    return _fast(loaded, preprocess) if mode == "fast" else _exact(_opened(loaded, preprocess), preprocess)


def _opened(loaded: bytes | Image.Image, preprocess: Preprocess, reduction: Reduction | None = None) -> Photo:
    photo = photograph(loaded, reduction, preprocess.orientation) if isinstance(loaded, bytes) else None
    return loaded_image(loaded, reduction, preprocess.orientation) if photo is None else photo


def _size(photo: Photo) -> Size:
    return photo.size if isinstance(photo, Image.Image) else (photo.shape[1], photo.shape[0])


def _image(photo: Photo, first: int = 0, last: int | None = None) -> Image.Image:
    """The rows of a photo, by default all."""
    if isinstance(photo, Image.Image):
        return photo if last is None else photo.crop((0, first, photo.width, last))
    return as_image(photo[first:last])


def _exact(photo: Photo, preprocess: Preprocess) -> Levels:
    """Resize the rows that the crop shows, with the columns of the whole resize, so that only one rounding differs."""
    width, height = _size(photo)
    if isinstance(preprocess.resize, Squash) or height > MAX_ASPECT * width:
        return preprocess.resized(_image(photo))
    target, box = preprocess.geometry(width, height)
    left, top, right, bottom = inner = inside(box, target)
    strip, down = _strip(photo, preprocess, (top, bottom), height / target[1])
    columns, first = _columns(strip, target[0], (left, right), preprocess.interpolation)
    source = first, down[0], first + right - left, down[1]
    part = _resize(columns, (right - left, bottom - top), source, preprocess.interpolation)
    return preprocess.cut(part, inner, box)


def _columns(image: Image.Image, target: int, part: PixelSpan, interpolation: str) -> tuple[Image.Image, int]:
    """Columns `part` of the image resized to the width `target`, by Pillow, and some on either side; and where `part`
    begins among them."""
    drawn, source = _span(image.width, target, part, interpolation)
    box = source[0], 0, source[1], image.height
    return image.resize((drawn[1] - drawn[0], image.height), FILTERS[interpolation], box), part[0] - drawn[0]


@lru_cache(maxsize=4096)
def _span(width: int, target: int, part: PixelSpan, interpolation: str) -> tuple[PixelSpan, tuple[float, float]]:
    """Columns of a resized image, those of `part` among them, and from where to where they reach in the image.

    As few are drawn as can be without an effect. Pillow keeps both ends in float32, which moves the columns by up to
    1e-5 px. That changes how values near a half are rounded, so the drawn columns begin and end near those of `part`,
    where float32 errs least. All columns are drawn where more than a few values are a half: in columns right between
    two pixels, and everywhere if bilinear weights, which are fractions of small numbers, are used; and where the image
    grows, which gives single columns most weight.
    """
    common = gcd(width, target)
    are_halves_common = interpolation == "bilinear" or (width // common % 2 == 0 and target // common % 2 == 1)
    whole = (0, target), (0.0, float(width))
    if width <= target or are_halves_common:
        return whole
    firsts = np.arange(max(0, part[0] - SPARE_COLUMNS), part[0] + 1)[:, None]
    lasts = np.arange(part[1], min(target, part[1] + SPARE_COLUMNS) + 1)
    left, right = firsts * width / target, lasts * width / target
    kept_left, kept_right = left.astype(np.float32), right.astype(np.float32)
    # Pillow's arithmetic: it subtracts in float32, too.
    reached_right = kept_left + (kept_right - kept_left).astype(np.float64)
    errors = np.maximum(np.abs(kept_left - left), np.abs(reached_right - right))
    row, column = divmod(int(errors.argmin()), lasts.size)
    if errors[row, column] > MAX_END_ERROR_PX:
        return whole
    return (int(firsts[row, 0]), int(lasts[column])), (float(kept_left[row, 0]), float(kept_right[column]))


def _fast(loaded: bytes | Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Resize an image that is decoded no finer than it needs, where its format saves work by that."""
    drafts: list[tuple[Size, int]] = []

    def reduction(size: Size) -> int:
        target, _ = preprocess.geometry(*size)
        most = min(whole / part for whole, part in zip(size, target, strict=True)) / MIN_DRAFT_FINENESS
        times = max(scale for scale in DRAFT_SCALES if scale <= max(1.0, most))
        drafts.append((size, times))
        return times

    photo = _opened(loaded, preprocess, reduction)
    size, times = drafts[0] if drafts else (_size(photo), 1)
    target, box = preprocess.geometry(*size)
    left, top, right, bottom = inner = inside(box, target)
    scale_x, scale_y = size[0] / times / target[0], size[1] / times / target[1]
    strip, down = _strip(photo, preprocess, (top, bottom), scale_y)
    source = left * scale_x, down[0], min(right * scale_x, strip.width), down[1]
    part = _resize(strip, (right - left, bottom - top), source, preprocess.interpolation)
    return preprocess.cut(part, inner, box)


def _strip(
    photo: Photo, preprocess: Preprocess, part: PixelSpan, scale: float
) -> tuple[Image.Image, tuple[float, float]]:
    """The rows of a photo that its resize looks at to make those of `part`, and from where to where among them `part`
    lies; the photo is `scale` times as high as what it becomes."""
    height = _size(photo)[1]
    source = part[0] * scale, min(part[1] * scale, height)
    first, last = _rows(source, part[1] - part[0], height, preprocess.interpolation)
    return preprocess.converted(_image(photo, first, last)), (source[0] - first, source[1] - first)


def _rows(source: tuple[float, float], target: int, height: int, interpolation: str) -> tuple[int, int]:
    """The rows that a filter reads to make the target rows: the first one, and the one after the last."""
    reach = REACH[interpolation] * max((source[1] - source[0]) / target, 1.0) + 1
    return max(0, floor(source[0] - reach)), min(height, ceil(source[1] + reach))


def _resize(image: Image.Image, size: Size, box: tuple[float, float, float, float], interpolation: str) -> Image.Image:
    """Pillow's resize of a part, by a faster library where that is installed: at most one step apart in each pass."""
    turbo = optional("cykooz_resizer")
    left, top, right, bottom = box
    has_its_columns = right - left == size[0] and left % 1 == 0
    if not turbo:
        if has_its_columns:  # which Pillow would compute once more
            image, left, right = image.crop((int(left), 0, int(right), image.height)), 0, size[0]
        return image.resize(size, FILTERS[interpolation], (left, top, right, bottom))
    if not has_its_columns:
        # Columns before rows, as Pillow does: what overshoots is cut off in between.
        first, last = _rows((top, bottom), size[1], image.height, interpolation)
        source = left, first, right - left, last - first
        image = _one_pass(turbo, image, (size[0], last - first), source, interpolation)
        left, top, bottom = 0, top - first, bottom - first
    return _one_pass(turbo, image, size, (left, top, size[0], bottom - top), interpolation)


def _one_pass(
    turbo: ModuleType, image: Image.Image, size: Size, box: tuple[float, float, float, float], interpolation: str
) -> Image.Image:
    """Resize in one pass; `box` is (left, top, width, height)."""
    resized = Image.new(image.mode, size, None)
    turbo.Resizer().resize_pil(image, resized, _options(turbo, box, interpolation))
    return resized


def _options(turbo: ModuleType, box: tuple[float, float, float, float], interpolation: str) -> object:
    algorithm = turbo.ResizeAlg.convolution(turbo.FilterType[TURBO_FILTERS[interpolation]])
    return turbo.ResizeOptions(resize_alg=algorithm, crop_box=turbo.CropBox(*box), use_alpha=False)
