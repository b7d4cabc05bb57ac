"""Decoding of image files to upright 8-bit images."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from xception.data.jpeg import JpegHeader, plain_header
from xception.errors import DecodeError, MissingExtra, TooManyPixels, UnknownKind, UsageError
from xception.extras import optional, require
from xception.preprocess import Orientation

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


Reduction = Callable[[tuple[int, int]], int]
"""A function from an image's upright (width, height) to the factor by which it may be decoded smaller."""


JPEG_START = b"\xff\xd8\xff"

HEIC_STARTS = frozenset(
    b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
)
"""Bytes 4 to 12 of HEIC files."""


TURBO_COLORSPACES = {"RGB": "RGBX", "L": "GRAY"}
"""simplejpeg's names of Pillow's modes of ordinary photographs; both hold a colour in four bytes."""


MIN_TURBO_PX = 16
"""Shortest side from which on a size belongs to only one of libjpeg's scales, which are eighths."""


IMAGE_FORMATS = (
    "JPEG PNG WEBP GIF BMP DIB TIFF PPM JPEG2000 AVIF HEIF ICO CUR ICNS BLP DCX DDS FITS FLI FTEX GBR IM MSP PCD PCX "
    "PIXAR PSD QOI SGI SUN TGA XBM XPM"
)
"""Pillow's names of the formats that are decoded, whatever a file is called; it opens MPO as JPEG.

Left out is what starts another program (EPS, and IPTC, which holds files of all formats), what asks the system (WMF),
and what has no decoder of its own.
"""


LIMIT_VARIABLE = "XCEPTION_MAX_MEGAPIXELS"
"""Environment variable with the millions of pixels up to which the command line decodes images."""


def allow_pixels(megapixels: str) -> None:
    """Set the largest size of images that this process decodes, in million pixels, in place of Pillow's limit.

    Raises:
        UsageError: no number above zero.
    """
    if not megapixels.isdecimal() or not int(megapixels):
        raise UsageError(f"{LIMIT_VARIABLE} is {megapixels!r}; expected a whole number of millions of pixels, from 1")
    # Pillow warns at its limit and refuses twice as much.
    Image.MAX_IMAGE_PIXELS = int(megapixels) * 1_000_000 // 2


def open_image(data: bytes) -> Image.Image:
    """Pillow's image of an encoded file, whose pixels are not decoded yet.

    Raises:
        UnidentifiedImageError: it is of none of `IMAGE_FORMATS`. Pillow raises other errors of all kinds.
    """
    if data[4:12] in HEIC_STARTS:
        _register_heic()
    Image.preinit()
    try:
        return Image.open(io.BytesIO(data), formats=_decoded_here())
    except UnidentifiedImageError:
        Image.init()  # the rarer formats, which take long to import
        return Image.open(io.BytesIO(data), formats=_decoded_here())


def _decoded_here() -> list[str]:
    return [name for name in IMAGE_FORMATS.split() if name in Image.OPEN]


def loaded_image(
    loaded: bytes | Image.Image, reduction: Reduction | None = None, orientation: Orientation = "upright"
) -> Image.Image:
    """The image that `Item.load` returned, decoded if it is an encoded file; one that a program has opened itself is
    treated as its file would be. `decode` has the errors."""
    if isinstance(loaded, bytes):
        return decode(loaded, reduction, orientation)
    with _decode_errors():
        return _finished(loaded, orientation)


def decode(data: bytes, reduction: Reduction | None = None, orientation: Orientation = "upright") -> Image.Image:
    """Decode one image file: the first frame, with 8 bits per channel.

    Files up to Pillow's limit of about 179 million pixels are decoded, unless `allow_pixels` set another.

    Args:
        data: the file.
        reduction: how many times smaller the image may be where its format can skip the work of the rest, as JPEG
            can 2, 4 or 8 times; by default it has its own size.
        orientation: turned as its EXIF data say, or as it is stored.

    Raises:
        DecodeError: empty, truncated, corrupt, or of no image format.
        TooManyPixels: above the limit.
        UnknownKind: values of no known range, or a format whose package is not installed.
    """
    if not data:
        raise DecodeError("the file is empty")
    with _decode_errors(), open_image(data) as image:
        if reduction and image.format in ("JPEG", "MPO"):
            _reduce(image, reduction, orientation)
        return _finished(image, orientation)


def _finished(image: Image.Image, orientation: Orientation) -> Image.Image:
    """The pixels of an image that is open, with 8 bits per channel."""
    if 0 in image.size:
        raise DecodeError("the image has no pixels")
    image.load()
    is_turned = orientation == "upright" and _exif_orientation(image) != 1
    return _eight_bit(ImageOps.exif_transpose(image) if is_turned else image)


@contextmanager
def _decode_errors() -> Iterator[None]:
    """Make one kind of error of all that Pillow raises."""
    try:
        yield
    except UnidentifiedImageError:
        raise DecodeError("not an image file of a known format") from None
    # Above half of the limit Pillow only warns, which a program may have turned into an error.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(
            f"too many pixels: {error} If you trust the file, allow more with {LIMIT_VARIABLE}=MILLIONS"
        ) from error
    except DecodeError:
        raise
    except MemoryError:
        raise DecodeError("not enough memory to decode it") from None
    # Pillow's plugins let their own parsing errors through: struct.error, SyntaxError, ZeroDivisionError, ...
    except Exception as error:
        raise DecodeError(f"corrupt image: {error or type(error).__name__}") from error


def _register_heic() -> None:
    """Make Pillow read HEIC.

    Raises:
        UnknownKind: the package that does it is not installed.
    """
    try:
        require("pillow_heif", "heic").register_heif_opener()
    except MissingExtra as error:
        raise UnknownKind(f"a HEIC image: {error}") from error


def _reduce(image: Image.Image, reduction: Reduction, orientation: Orientation) -> None:
    width, height = image.size
    is_turned = orientation == "upright" and _exif_orientation(image) in range(5, 9)
    times = reduction((height, width) if is_turned else (width, height))
    image.draft(image.mode, (max(1, width // times), max(1, height // times)))


def _exif_orientation(image: Image.Image) -> object:
    """The EXIF orientation, 1 to 8 by the standard; cameras and editors write other things too."""
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def photograph(
    data: bytes, reduction: Reduction | None = None, orientation: Orientation = "upright"
) -> NDArray[np.uint8] | None:
    """The pixels that `decode` gives an ordinary JPEG file, by libjpeg-turbo without Pillow in between.

    Returns:
        (H, W, 4) in colour, where the last channel means nothing, or (H, W) in gray; None for what is left to `decode`:
        all other files, broken ones too, and everything where simplejpeg is not installed.
    """
    simplejpeg = optional("simplejpeg")
    if not simplejpeg or not data.startswith(JPEG_START):
        return None
    try:
        header = plain_header(data) or _pillow_header(data, orientation)
        if header is None:
            return None
        times = reduction(header.size) if reduction else 1
        width, height = (-(-side // times) for side in header.size)
        if min(width, height) < MIN_TURBO_PX:
            return None
        # It raises at whatever libjpeg so much as warns of.
        pixels = simplejpeg.decode_jpeg(data, TURBO_COLORSPACES[header.mode], min_width=width, min_height=height)
        return np.asarray(pixels.squeeze(), np.uint8)
    except Exception:
        # Of any kind, as in `decode`, which has the last word on whether this is an image, and on what is wrong.
        return None


def _pillow_header(data: bytes, orientation: Orientation) -> JpegHeader | None:
    with open_image(data) as image:
        is_turned = orientation == "upright" and _exif_orientation(image) != 1
        if image.mode not in TURBO_COLORSPACES or image.format != "JPEG" or is_turned:
            return None
        return JpegHeader(image.size, image.mode)


def as_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """A photograph, or some of its rows, as an image, without a copy where nanoarrow is installed."""
    if pixels.ndim == 2:
        return Image.fromarray(pixels)
    arrow = optional("nanoarrow")
    if not arrow:
        return Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    value, pixel = _arrow_types(arrow)
    values = arrow.c_array_from_buffers(value, pixels.size, [None, pixels])
    array = arrow.c_array_from_buffers(pixel, pixels.size // 4, [None], children=[values], move=True)
    return Image.fromarrow(array, "RGB", (pixels.shape[1], pixels.shape[0]))


@cache
def _arrow_types(arrow: ModuleType) -> tuple[object, object]:
    """Arrow's types of a channel and of a pixel as Pillow keeps them."""
    return arrow.c_schema(arrow.uint8()), arrow.c_schema(arrow.fixed_size_list(arrow.uint8(), 4))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to L, RGB or another 8-bit mode; transparency is dropped."""
    if image.mode in SIXTEEN_BIT or image.mode == "I":
        return _from_sixteen_bit(np.asarray(image))
    if image.mode == "F":
        raise UnknownKind("floating-point pixels have no known range; expected 8 or 16 bits per channel")
    if image.mode == "LAB":
        raise UnknownKind("LAB colours have no conversion here; expected gray, RGB or CMYK")
    if image.mode == "P":
        # By way of RGBA, since a palette may hold transparent entries of several kinds.
        return image.convert("RGBA").convert("RGB")
    return image


def _from_sixteen_bit(values: np.ndarray) -> Image.Image:
    if values.min() < 0 or values.max() > 0xFFFF:
        raise UnknownKind("32-bit pixels beyond 16 bits have no known range; expected 8 or 16 bits per channel")
    rounded = values.astype(np.uint32)
    # In place, as these are all pixels of an image.
    rounded *= 255
    rounded += 0x7FFF
    rounded //= 0xFFFF
    return Image.fromarray(rounded.astype(np.uint8))
