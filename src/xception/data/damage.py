"""Damage in JPEG files that decoders pass over: they fill in what is missing, and libjpeg does no more than warn."""

from xception.data.decode import JPEG_START
from xception.extras import require

FOUR_INKS = ("CMYK", "YCCK")


def libjpeg_warning(data: bytes) -> str | None:
    """libjpeg's warning of a file that can be decoded all the same; None if it has none, and for other formats.

    Nearly all damage to the compressed data shows in it, since what follows no longer fits. A flipped bit may not.

    Raises:
        MissingExtra: simplejpeg is not installed.
    """
    if not data.startswith(JPEG_START):
        return None
    simplejpeg = require("simplejpeg", "fast")
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
        space = "GRAY" if colours == "Gray" else "CMYK" if colours in FOUR_INKS else "RGB"
        # An eighth of the size: all of the compressed data are read, and few pixels made.
        simplejpeg.decode_jpeg(data, space, min_height=1, min_width=1)
    except Exception as strict:
        try:
            simplejpeg.decode_jpeg(data, space, min_height=1, min_width=1, strict=False)
        except Exception:
            return None  # not damage but a kind that this decoder does not know, or no image at all
        return str(strict)
    return None
