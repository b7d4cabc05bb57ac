"""Faults and unusual traits of one image file, which is looked at more closely than decoding needs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from PIL import ExifTags, Image

from xception.checks.jpeg import has_end, lacks_scans
from xception.data.damage import libjpeg_warning
from xception.data.decode import JPEG_START, SIXTEEN_BIT, decode, open_image
from xception.errors import DecodeError, TooManyPixels, UnknownKind
from xception.preprocess import MAX_PX

ImageFault = Literal["empty", "truncated", "corrupt", "too_large", "unknown_kind", "damaged", "blank_end"]
ImageTrait = Literal[
    "wrong_extension",
    "exif_rotated",
    "cmyk",
    "sixteen_bit",
    "sliver",
    "transparent",
    "palette",
    "animated",
    "grayscale",
]

UPRIGHT_ORIENTATION = 1
"""The EXIF orientation of an image that is stored as it is shown."""

BITS_PER_SAMPLE = 258
"""Number of the TIFF tag."""

PNG_END = b"IEND\xaeB`\x82"

PNG_DEPTH_AT = 24
"""Position of a PNG file's byte that holds the bits per channel; Pillow reduces 16-bit colours to 8 without a word."""

FILL_GRAY = 128
"""Gray value with which JPEG decoders fill what is missing."""

SLIVER_RATIO = MAX_PX // 299**2
"""Ratio of its sides from which on an image has too many pixels once its shorter one has 299, the size of Xception."""

BLOCK_PX = 8
"""Side of a JPEG block."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of an inspection. `image` is the decoded image, or None where a fault made that impossible."""

    image: Image.Image | None
    faults: tuple[tuple[ImageFault, str], ...] = ()
    """Faults with their reasons."""
    traits: tuple[tuple[ImageTrait, str], ...] = ()
    """Traits with their particulars."""
    file_format: str = ""
    mode: str = ""


def inspect(data: bytes, name: str) -> Inspection:
    """Look at one encoded file whose name or key is `name`; its suffix counts only if an image format has it."""
    if not data:
        return Inspection(None, (("empty", "the file has no bytes"),))
    try:
        image = decode(data)
        _verify(data)
        with open_image(data) as opened:
            traits, file_format, mode = _traits(opened, data, name), opened.format or "", opened.mode
    except TooManyPixels as error:
        return Inspection(None, (("too_large", str(error)),))
    except UnknownKind as error:
        return Inspection(None, (("unknown_kind", str(error)),))
    except DecodeError as error:
        return Inspection(None, ((_fault(data, str(error)), str(error)),))
    except Exception as error:  # Pillow's plugins let errors of all kinds through
        return Inspection(None, (("corrupt", f"damaged outside its pixels: {error or type(error).__name__}"),))
    return Inspection(image, tuple(_suspicions(image, data)), traits, file_format, mode)


def _suspicions(image: Image.Image, data: bytes) -> Iterator[tuple[ImageFault, str]]:
    """Signs that the data are broken, or that a file was cut off and closed again."""
    if data.startswith(JPEG_START):
        if _is_filled(image):
            yield "blank_end", "it ends in the flat gray with which decoders fill what is missing"
        elif lacks_scans(data):
            yield "blank_end", "its last scans, which hold the details, are missing"
        elif warning := libjpeg_warning(data):
            yield "damaged", warning


def _verify(data: bytes) -> None:
    """Read the parts that decoding does not: a PNG's checksums and its end, and the ends of other formats.

    Raises:
        DecodeError: it is damaged or missing.
    """
    if data.startswith(b"\x89PNG"):
        if PNG_END not in data:
            raise DecodeError("truncated: the end mark is missing")
        try:
            with open_image(data) as image:
                image.verify()
        except Exception as error:
            raise DecodeError(f"damaged outside its pixels: {error}") from error
    if data.startswith(JPEG_START) and not has_end(data):
        raise DecodeError("truncated: the end mark is missing")
    if data.startswith(b"GIF8") and not data.rstrip(b"\0").endswith(b";"):
        raise DecodeError("truncated: the end mark is missing")


def _fault(data: bytes, reason: str) -> ImageFault:
    """Tell whether a file that cannot be decoded was cut off, or is damaged in another way."""
    riff_bytes = int.from_bytes(data[4:8], "little") + 8 if data.startswith(b"RIFF") else 0
    return "truncated" if riff_bytes > len(data) or "truncated" in reason.lower() else "corrupt"


def _is_filled(image: Image.Image) -> bool:
    """Tell whether the last block is the decoder's filling and the others are not."""
    if image.mode not in ("L", "RGB"):
        return False
    pixels = np.asarray(image)
    last = pixels[-BLOCK_PX:, -BLOCK_PX:]
    return bool((last == FILL_GRAY).all() and (pixels != FILL_GRAY).any())


def _traits(image: Image.Image, data: bytes, name: str) -> tuple[tuple[ImageTrait, str], ...]:
    suffix = PurePosixPath(name).suffix.lower()
    expected = Image.registered_extensions().get(suffix)
    orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT_ORIENTATION)
    frames = getattr(image, "n_frames", 1)
    found: list[tuple[bool, ImageTrait, str]] = [
        (_contradicts(expected, image.format or ""), "wrong_extension", f"called {suffix}, but it is {image.format}"),
        (orientation in range(2, 9), "exif_rotated", f"stored rotated or mirrored, EXIF orientation {orientation}"),
        (image.mode == "CMYK", "cmyk", "CMYK colours"),
        (_is_sixteen_bit(image, data), "sixteen_bit", "16 bits per channel"),
        (
            max(image.size) > SLIVER_RATIO * min(image.size),
            "sliver",
            "{} x {} px, which a resize of the shorter side would make too large for most models".format(*image.size),
        ),
        (image.has_transparency_data, "transparent", "transparency, which is dropped"),
        (image.mode == "P" and not image.has_transparency_data, "palette", "colours from a palette"),
        (frames > 1 and image.format != "MPO", "animated", f"{frames} frames, of which the first is used"),
        (image.mode in ("1", "L", "LA", *SIXTEEN_BIT, "I"), "grayscale", "gray"),
    ]
    return tuple((trait, text) for holds, trait, text in found if holds)


def _contradicts(expected: str | None, actual: str) -> bool:
    """Tell whether a suffix is that of another format. A multi-picture file counts as a JPEG, as its first image is."""
    return expected is not None and expected != actual and (expected, actual) != ("JPEG", "MPO")


def _is_sixteen_bit(image: Image.Image, data: bytes) -> bool:
    if image.mode in SIXTEEN_BIT or image.mode == "I":
        return True
    if image.format == "PNG":
        return data[PNG_DEPTH_AT] > 8
    tags = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and max(tags.get(BITS_PER_SAMPLE, (1,)), default=1) > 8
