"""An image file to the 8-bit pixels that the network is to see, exactly as published or faster."""

from math import ceil, floor
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.data.decode import loaded_image, photograph
from xception.extras import optional
from xception.preprocess import FILTERS, Preprocess, Squash, inside

Mode = Literal["reference", "exact", "fast"]
"""How closely the published preprocessing is followed: to the bit, to one step of 255, or as its documentation says."""

Size = tuple[int, int]

REACH = {"bilinear": 1, "bicubic": 2}
"""Pixels on either side of a target's centre that its filter looks at when it does not shrink."""

TURBO_FILTERS = {"bilinear": "bilinear", "bicubic": "catmull_rom"}
"""The names that cykooz_resizer has for Pillow's filters."""

TALL = 2
"""Height over width beyond which Pillow 13 resizes the rows before the columns, as it also may if their scales differ.
Bicubic results of the two orders are up to 28 steps apart, since what overshoots is cut off in between."""

DRAFT_SCALES = (1, 2, 4, 8)
"""How many times smaller libjpeg decodes an image at less than the cost of the whole; the scales between cost more."""

MARGIN = 1.5
"""How many times finer than the target a photograph is decoded at least in fast mode: below it the mean difference from
the reference grows from 0.4 to 1.4 steps, above it hardly shrinks."""


def pixels(loaded: bytes | Image.Image, preprocess: Preprocess, mode: Mode = "exact") -> NDArray[np.uint8]:
    """What `Item.load` returned as (C, H, W) before normalisation.

    Raises:
        DecodeError: the image cannot be decoded, or its resize makes a sliver larger than memory should hold.
    """
    if mode == "reference":
        return preprocess.resized(loaded_image(loaded))
    if not preprocess.resize or not preprocess.antialias or preprocess.interpolation == "nearest":
        return preprocess.resized(loaded_image(loaded, turbo=True))
    if mode == "fast":
        return _fast(loaded, preprocess)
    image = loaded_image(loaded, turbo=True)
    if isinstance(preprocess.resize, Squash) or image.height > TALL * image.width:
        return preprocess.resized(image)
    return _part(image, image.size, preprocess, exact=True)


def _fast(loaded: bytes | Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """From an image that is no finer than its resize needs, where its format saves work by that."""
    drafts: list[tuple[Size, int]] = []

    def reduction(size: Size) -> int:
        target, _ = preprocess.geometry(*size)
        most = min(whole / part for whole, part in zip(size, target, strict=True)) / MARGIN
        times = max(scale for scale in DRAFT_SCALES if scale <= max(1.0, most))
        drafts.append((size, times))
        return times

    turbo = optional("cykooz_resizer")
    if turbo and isinstance(loaded, bytes) and preprocess.color != "gray":
        photo = photograph(loaded, reduction)
        if photo is not None:
            return _straight(turbo, photo, preprocess, *drafts[0])
    image = loaded_image(loaded, reduction, turbo=True)
    (width, height), times = drafts[0] if drafts else (image.size, 1)
    return _part(image, (width, height), preprocess, times=times)


def _straight(
    turbo: ModuleType, photo: NDArray[np.uint8], preprocess: Preprocess, size: Size, times: int
) -> NDArray[np.uint8]:
    """What `_part` makes of a photograph (H, W, 3) that is `times` smaller than it was, without Pillow's copies."""
    target, box = preprocess.geometry(*size)
    left, top, right, bottom = inner = inside(box, target)
    scale_x, scale_y = size[0] / times / target[0], size[1] / times / target[1]
    rows = top * scale_y, min(bottom * scale_y, photo.shape[0])
    first, last = _rows(rows, bottom - top, photo.shape[0], preprocess.interpolation)
    across = left * scale_x, 0, min(right * scale_x, photo.shape[1]) - left * scale_x, last - first
    down = 0, rows[0] - first, right - left, rows[1] - rows[0]
    source = turbo.ImageData(photo.shape[1], last - first, turbo.PixelType.U8x3, photo[first:last].tobytes())
    columns = turbo.ImageData(right - left, last - first, turbo.PixelType.U8x3)
    part = turbo.ImageData(right - left, bottom - top, turbo.PixelType.U8x3)
    turbo.Resizer().resize(source, columns, _options(turbo, across, preprocess.interpolation))
    turbo.Resizer().resize(columns, part, _options(turbo, down, preprocess.interpolation))
    values = np.frombuffer(part.get_buffer(), np.uint8).reshape(bottom - top, right - left, 3)
    if inner != box:
        return preprocess.cut(Image.fromarray(values), inner, box)
    channels_first = values.transpose(2, 0, 1)
    return channels_first[::-1] if preprocess.color == "bgr" else channels_first


def _part(
    image: Image.Image, size: Size, preprocess: Preprocess, *, exact: bool = False, times: int = 1
) -> NDArray[np.uint8]:
    """The crop of a resized image, without resizing the rest.

    Args:
        image: the image, `times` smaller than it was.
        size: what it was.
        preprocess: the rules.
        exact: make the columns those of the whole resize, to the bit. Then only the last rounding can differ, while
            two could add up; and Pillow's boxes, which are kept in float32, do not give the same columns.
        times: 1 if exact.
    """
    target, box = preprocess.geometry(*size)
    left, top, right, bottom = inner = inside(box, target)
    scale_x, scale_y = size[0] / times / target[0], size[1] / times / target[1]
    rows = top * scale_y, min(bottom * scale_y, image.height)
    part_size = right - left, bottom - top
    if exact:
        first, last = _rows(rows, part_size[1], image.height, preprocess.interpolation)
        whole = preprocess.converted(image.crop((0, first, image.width, last)))
        wide = whole.resize((target[0], whole.height), FILTERS[preprocess.interpolation])
        columns = wide.crop((left, 0, right, wide.height))
        source = 0.0, rows[0] - first, float(columns.width), rows[1] - first
        part = _resize(columns, part_size, source, preprocess.interpolation)
    else:
        source = left * scale_x, rows[0], min(right * scale_x, image.width), rows[1]
        part = _resize(preprocess.converted(image), part_size, source, preprocess.interpolation)
    return preprocess.cut(part, inner, box)


def _rows(source: tuple[float, float], target: int, height: int, interpolation: str) -> tuple[int, int]:
    """The first of the rows that a filter looks at to make `target` rows of some, and the one behind the last."""
    reach = REACH[interpolation] * max((source[1] - source[0]) / target, 1.0) + 1
    return max(0, floor(source[0] - reach)), min(height, ceil(source[1] + reach))


def _resize(image: Image.Image, size: Size, box: tuple[float, float, float, float], interpolation: str) -> Image.Image:
    """Pillow's resize of a part, by a faster library where that is installed: at most one step apart in each pass."""
    turbo = optional("cykooz_resizer")
    if not turbo:
        return image.resize(size, FILTERS[interpolation], box)
    left, top, right, bottom = box
    if (left, right) != (0, size[0]):
        # Columns before rows, as Pillow does: what overshoots is cut off in between.
        first, last = _rows((top, bottom), size[1], image.height, interpolation)
        image = _one_pass(
            turbo, image, (size[0], last - first), (left, first, right - left, last - first), interpolation
        )
        top, bottom = top - first, bottom - first
    return _one_pass(turbo, image, size, (0, top, size[0], bottom - top), interpolation)


def _one_pass(
    turbo: ModuleType, image: Image.Image, size: Size, box: tuple[float, float, float, float], interpolation: str
) -> Image.Image:
    """`box` is (left, top, width, height)."""
    resized = Image.new(image.mode, size)
    turbo.Resizer().resize_pil(image, resized, _options(turbo, box, interpolation))
    return resized


def _options(turbo: ModuleType, box: tuple[float, float, float, float], interpolation: str) -> object:
    algorithm = turbo.ResizeAlg.convolution(turbo.FilterType[TURBO_FILTERS[interpolation]])
    return turbo.ResizeOptions(resize_alg=algorithm, crop_box=turbo.CropBox(*box), use_alpha=False)
