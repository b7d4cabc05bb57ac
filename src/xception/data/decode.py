"""Encoded bytes to an upright 8-bit image, or a DecodeError that says why not."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from xception.errors import DecodeError
from xception.extras import optional

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


Reduction = Callable[[tuple[int, int]], int]
"""Of an image's upright (width, height) the number of times that it may come smaller."""


TURBO_COLORSPACES = {"RGB": "RGB", "L": "GRAY"}
"""simplejpeg's names of the modes in which Pillow opens ordinary photographs."""


LEAST_TURBO_PX = 16
"""Shortest side at which a size tells which of libjpeg's scales, eighths, leads to it."""


def loaded_image(
    loaded: bytes | Image.Image, reduction: Reduction | None = None, *, turbo: bool = False
) -> Image.Image:
    """What `Item.load` returned as an image: decoded, where it is an encoded file.

    Raises:
        DecodeError: see `decode`.
    """
    return decode(loaded, reduction, turbo=turbo) if isinstance(loaded, bytes) else loaded


def decode(data: bytes, reduction: Reduction | None = None, *, turbo: bool = False) -> Image.Image:
    """Decode one image file: the first frame, rotated as its EXIF data says, with 8 bits a channel.

    Files up to Pillow's limit of about 179 million pixels are decoded.

    Args:
        data: the file.
        reduction: how many times smaller the image may be where its format can skip the work of the rest, as JPEG
            can 2, 4 or 8 times; by default it has its own size.
        turbo: take ordinary photographs from libjpeg-turbo without Pillow in between, where simplejpeg is installed;
            the pixels are the same.

    Raises:
        DecodeError: empty, truncated, corrupt, too large, of no image format, or with values of no known range.
    """
    if not data:
        raise DecodeError("the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if reduction and image.format in ("JPEG", "MPO"):
                _reduce(image, reduction)
            if turbo and (photo := _from_turbo(data, image)):
                return photo
            image.load()
            return _eight_bit(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise DecodeError("not an image file of a known format") from None
    # Above half of the limit Pillow only warns, which a program may have turned into an error.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError(f"too many pixels: {error}") from error
    except DecodeError:
        raise
    except MemoryError:
        raise DecodeError("not enough memory to decode it") from None
    # Pillow's plugins let their own parsing errors through: struct.error, SyntaxError, ZeroDivisionError, ...
    except Exception as error:
        raise DecodeError(f"corrupt image: {error or type(error).__name__}") from error


def _reduce(image: Image.Image, reduction: Reduction) -> None:
    width, height = image.size
    is_turned = _orientation(image) in range(5, 9)
    times = reduction((height, width) if is_turned else (width, height))
    image.draft(image.mode, (max(1, width // times), max(1, height // times)))


def _orientation(image: Image.Image) -> object:
    """1 to 8 by the standard; cameras and editors write other things too."""
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def photograph(data: bytes, reduction: Reduction) -> NDArray[np.uint8] | None:
    """An ordinary photograph in colour as `decode` gives it, (H, W, 3), or None where that has to be asked."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format != "JPEG" or image.mode != "RGB":
                return None
            _reduce(image, reduction)
            return _turbo_pixels(data, image)
    except Exception:
        # Of any kind, as in `decode`, which then says what is wrong.
        return None


def _from_turbo(data: bytes, image: Image.Image) -> Image.Image | None:
    pixels = _turbo_pixels(data, image)
    return None if pixels is None else Image.fromarray(pixels)


def _turbo_pixels(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    """What `image`, of which only the header was read, is going to hold, or None if only Pillow can say."""
    simplejpeg = optional("simplejpeg")
    colorspace = TURBO_COLORSPACES.get(image.mode)
    if not simplejpeg or not colorspace or image.format != "JPEG" or _orientation(image) != 1:
        return None
    if min(image.size) < LEAST_TURBO_PX:
        return None
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace, min_width=image.width, min_height=image.height)
    # Raised at whatever libjpeg so much as warns of; Pillow then has the last word on whether this is an image.
    except ValueError:
        return None
    return np.asarray(pixels.squeeze(), np.uint8)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Any mode in which Pillow holds an image as L, RGB or another 8-bit mode; transparency is dropped."""
    if image.mode in SIXTEEN_BIT or image.mode == "I":
        return _from_sixteen_bit(np.asarray(image).astype(np.int64))
    if image.mode == "F":
        raise DecodeError("floating-point pixels have no known range; expected 8 or 16 bits a channel")
    if image.mode == "LAB":
        raise DecodeError("LAB colours have no conversion here; expected gray, RGB or CMYK")
    if image.mode == "P":
        # By way of RGBA, since a palette may hold transparent entries of several kinds.
        return image.convert("RGBA").convert("RGB")
    return image


def _from_sixteen_bit(values: np.ndarray) -> Image.Image:
    if values.min() < 0 or values.max() > 0xFFFF:
        raise DecodeError("32-bit pixels beyond 16 bits have no known range; expected 8 or 16 bits a channel")
    return Image.fromarray(((values * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))
