"""An image file to the 8-bit pixels that the network is to see, exactly as published or faster."""

from math import ceil, floor
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.data.decode import loaded_image
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

MARGIN = 1.0
"""How many times finer than the target a photograph is decoded at least in fast mode."""


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

    image = loaded_image(loaded, reduction, turbo=True)
    (width, height), times = drafts[0] if drafts else (image.size, 1)
    return _part(image, (width, height), preprocess, times=times)


def _part(
    image: Image.Image, size: Size, preprocess: Preprocess, *, exact: bool = False, times: int = 1
) -> NDArray[np.uint8]:
    """The crop of a resized image, without resizing the rest: columns first, then rows, as Pillow does.

    Args:
        image: the image, `times` smaller than it was.
        size: what it was.
        preprocess: the rules.
        exact: make the columns those of the whole resize, to the bit. Then only the last rounding can differ, while
            two could add up; and Pillow's boxes, which are kept in float32, do not give the same columns.
        times: 1 if exact.
    """
    target, box = preprocess.geometry(*size)
    scale_x, scale_y = size[0] / times / target[0], size[1] / times / target[1]
    left, top, right, bottom = inner = inside(box, target)
    reach = REACH[preprocess.interpolation] * max(scale_y, 1.0) + 1
    first, last = max(0, floor(top * scale_y - reach)), min(image.height, ceil(bottom * scale_y + reach))
    rows = preprocess.converted(image.crop((0, first, image.width, last)))
    if exact:
        wide = rows.resize((target[0], rows.height), FILTERS[preprocess.interpolation])
        columns = wide.crop((left, 0, right, rows.height))
    else:
        across = left * scale_x, 0, min(right * scale_x, rows.width), rows.height
        columns = _resize(rows, (right - left, rows.height), across, preprocess.interpolation)
    down = 0, top * scale_y - first, columns.width, min(bottom * scale_y - first, rows.height)
    part = _resize(columns, (right - left, bottom - top), down, preprocess.interpolation)
    return preprocess.cut(part, inner, box)


def _resize(image: Image.Image, size: Size, box: tuple[float, float, float, float], interpolation: str) -> Image.Image:
    """Pillow's resize of a part, by a faster library where that is installed: at most one step apart in one pass."""
    turbo = optional("cykooz_resizer")
    if not turbo:
        return image.resize(size, FILTERS[interpolation], box)
    left, top, right, bottom = box
    options = turbo.ResizeOptions(
        resize_alg=turbo.ResizeAlg.convolution(turbo.FilterType[TURBO_FILTERS[interpolation]]),
        crop_box=turbo.CropBox(left, top, right - left, bottom - top),
    )
    resized = Image.new(image.mode, size)
    turbo.Resizer().resize_pil(image, resized, options)
    return resized
