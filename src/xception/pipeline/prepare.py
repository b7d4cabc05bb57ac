"""The preparation of one image, the same on a thread of this process and in a process of its own."""

from typing import Literal, NamedTuple

import msgspec
from PIL import Image

from xception.data.damage import libjpeg_warning
from xception.data.pixels import Mode, pixels
from xception.errors import DecodeError
from xception.preprocess import Levels, Preprocess

Damage = Literal["ignored", "noted", "refused"]
"""Treatment of JPEG files that can be decoded and of which libjpeg warns."""


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """The way from a file to pixels."""

    preprocess: Preprocess
    mode: Mode
    damage: Damage = "ignored"
    """All but the first take time, and simplejpeg."""


class PreparedImage(NamedTuple):
    """An image's pixels (C, H, W) before normalisation, and the damage of its file that its decoder passed over, if
    anybody looked."""

    levels: Levels
    warning: str | None


def prepare_image(loaded: bytes | Image.Image, way: Preparation) -> PreparedImage:
    """Prepare what `Item.load` returned.

    Raises:
        DecodeError: the image cannot be decoded, or is damaged and that is refused.
        MissingExtra: damage is looked for and simplejpeg is not installed.
    """
    warning = None
    if way.damage != "ignored" and isinstance(loaded, bytes):
        warning = libjpeg_warning(loaded)
    if warning and way.damage == "refused":
        raise DecodeError(warning)
    return PreparedImage(pixels(loaded, way.preprocess, way.mode), warning)
