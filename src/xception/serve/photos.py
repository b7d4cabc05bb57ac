"""Photos that strangers send: which of them are decoded, and the picture as the network sees it."""

import io
from dataclasses import dataclass
from math import inf, prod

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from xception.data.decode import open_image
from xception.data.pixels import Mode, pixels
from xception.errors import DecodeError
from xception.pipeline.lane import Lane
from xception.preprocess import Preprocess, whole_levels
from xception.serve.refusal import Refusal

PHOTO_FORMATS = frozenset(("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "MPO"))
"""Formats of images that strangers may send, by Pillow's names."""

RESIZED_COST = 4
"""Pixels that a pixel counts as once the image is resized: of few pixels in a long row a resize to a shorter side makes
many, each of them in floats where a model keeps fractions."""

MAX_TEXT_CHARACTERS = 1 << 24
"""Characters of the texts in a PNG file, up to four bytes each, beyond which it is not decoded."""

TILE_SIDES = (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)

BLANK_PX = 64
"""Side of the image on which a model is tried."""


@dataclass(frozen=True)
class SentPhoto:
    """An encoded image, to be prepared as `xception predict` prepares it."""

    data: bytes
    shown: bool = False
    """The picture as the network sees it is asked for, too."""
    mode: Mode | None = None
    """The way from the file to pixels; None is the server's own."""


def limit_decoders(max_pixels: int) -> None:
    """Let no decoder of this process take more than the service counts with."""
    Image.MAX_IMAGE_PIXELS = max_pixels  # of which Pillow itself only warns; it refuses twice as many
    PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_CHARACTERS


def blank_photo() -> SentPhoto:
    """The image on which a model is tried."""
    file = io.BytesIO()
    Image.new("RGB", (BLANK_PX, BLANK_PX), (90, 120, 150)).save(file, "PNG")
    return SentPhoto(file.getvalue())


def photo_refusal(data: bytes, preprocess: Preprocess, max_pixels: int) -> Refusal | None:
    """The reason why an image is not decoded, by its first bytes; None for all that is left to the decoder."""
    try:
        with open_image(data) as image:
            kind, (width, height), at_once = image.format, image.size, _pixels_at_once(image)
    # Far beyond any limit Pillow itself refuses, or warns, which may be an error.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Refusal(413, "size", f"the image has too many pixels; expected at most {max_pixels:,}")
    except Exception:
        return None  # of any kind, as the decoder says in a sentence
    if kind not in PHOTO_FORMATS:
        return Refusal(415, "media type", f"a {kind} image is not taken; expected {', '.join(sorted(PHOTO_FORMATS))}")
    if width * height > max_pixels:
        return Refusal(413, "size", f"the image has {width} x {height} pixels; expected at most {max_pixels:,}")
    if at_once > max_pixels:
        return Refusal(413, "size", f"the image lies in tiles of {at_once:,} pixels; expected at most {max_pixels:,}")
    if _resized_pixels(preprocess, width, height) > max_pixels / RESIZED_COST:
        sentence = f"an image of {width} x {height} pixels is too elongated: it grows too large when it is resized"
        return Refusal(413, "size", f"{sentence}; cut it into parts")
    return None


def _pixels_at_once(image: Image.Image) -> int:
    """Pixels of a tile of a TIFF file, each of which is decoded whole; none in other files."""
    tags = getattr(image, "tag_v2", {})
    sides = [tags.get(tag) for tag in TILE_SIDES]
    return prod(side for side in sides if isinstance(side, int)) if all(sides) else 0


def min_pixels(preprocess: Preprocess) -> float:
    """The least limit of pixels with which a model takes images that are not elongated."""
    return max(BLANK_PX * BLANK_PX, RESIZED_COST * _resized_pixels(preprocess, BLANK_PX, BLANK_PX))


def _resized_pixels(preprocess: Preprocess, width: int, height: int) -> float:
    """Pixels of an image of some size once it is resized; none where it is not."""
    if not preprocess.resize:
        return 0
    try:
        size, _ = preprocess.geometry(width, height)
    except DecodeError:
        return inf
    return prod(size)


def seen_png(data: bytes, lane: Lane) -> bytes:
    """A PNG of the picture as the network sees it."""
    with lane.cores.lend():
        levels = whole_levels(pixels(data, lane.preprocess, lane.mode))
    planes = levels[::-1] if lane.preprocess.color == "bgr" else levels
    image = Image.fromarray(planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
