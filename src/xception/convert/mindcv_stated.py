"""The facts that MindCV's configurations state: the network, and the way from an image to its pixels.

Source: MindCV 0.3.0, `config.py`, `mindcv/models/xception.py` and `mindcv/data/transforms_factory.py`.
"""

from collections.abc import Mapping
from math import floor
from typing import Any

import msgspec

from xception.arch.variants import VARIANTS
from xception.convert.defaults import default_preprocess
from xception.convert.stated import StatedFacts
from xception.errors import InputError, UsageError
from xception.preprocess import CenterCrop, Preprocess, ShorterSide

VARIANT = "mindcv_xception"
DEFAULT_PX, DEFAULT_CROP = 224, 0.875
"""Input side and crop fraction where a configuration states none."""


class _Config(msgspec.Struct, frozen=True):
    """The part of a configuration that is about the network and its images; the rest is about the training."""

    model: str
    num_classes: int | None = None
    in_channels: int | None = None
    drop_rate: float | None = None
    drop_path_rate: float | None = None
    image_resize: int | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    mean: list[float] | None = None
    std: list[float] | None = None


def mindcv_facts(config: Mapping[str, Any], place: str) -> StatedFacts:
    """Read a configuration of MindCV.

    Raises:
        InputError: something that is stated and not built here; the sentence names it.
    """
    try:
        stated = msgspec.convert(dict(config), _Config)
        if stated.model != "xception":
            raise InputError(f"{place} states the network {stated.model!r}; expected 'xception'")
        if stated.drop_path_rate:
            raise InputError(f"{place} states drop_path_rate, which MindCV's xception does not have; leave it out")
        return StatedFacts(
            place=place,
            variants=(VARIANT,),
            num_classes=stated.num_classes,
            in_channels=stated.in_channels,
            drop_rate=stated.drop_rate,
            preprocess=_preprocess(stated),
        )
    except (msgspec.ValidationError, UsageError, ZeroDivisionError, OverflowError) as error:
        raise InputError(f"{place} states what cannot be used: {error}") from error


def _preprocess(stated: _Config) -> Preprocess:
    if stated.interpolation not in (None, "bilinear"):
        raise UsageError(f"the interpolation {stated.interpolation!r}; expected 'bilinear'")
    px, fraction = stated.image_resize or DEFAULT_PX, stated.crop_pct or DEFAULT_CROP
    facts: dict[str, Any] = {
        name: tuple(value / 255 for value in row)
        for name, row in (("mean", stated.mean), ("std", stated.std))
        if row is not None
    }
    return msgspec.structs.replace(
        default_preprocess(VARIANTS[VARIANT]),
        resize=ShorterSide(px=floor(px / fraction)),
        crop=CenterCrop(width_px=px, height_px=px, offset="floor"),
        **facts,
    )
