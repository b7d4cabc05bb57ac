"""Other ways to prepare the same images: those of other sources and vendors, and common mistakes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from xception import inputs
from xception.bundle import open_bundle
from xception.convert.catalog import CATALOG, IMAGENET_MEAN, IMAGENET_STD, resolve_entry
from xception.convert.defaults import with_channels
from xception.errors import AmbiguousName, InputError, UnknownName, UsageError
from xception.interchange.vdsp import expressible, read_params, vdsp_preprocess
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

CROP_PCT_PREFIX = "crop_pct="
CAFFE_MEAN = (103.939, 116.779, 123.68)

Change = Callable[[Preprocess], dict[str, Any]]
"""The fields that an alternative sets differently; none where a preprocessing has them already."""


def _squash(own: Preprocess) -> dict[str, Any]:
    if not isinstance(own.resize, ShorterSide):
        return {}
    return {"resize": Squash(width_px=own.resize.px, height_px=own.resize.px)}


def _squash_whole(own: Preprocess) -> dict[str, Any]:
    if own.output_px is None:
        return {}
    return {"resize": Squash(width_px=own.output_px[1], height_px=own.output_px[0]), "crop": None}


def _crop_squash(own: Preprocess) -> dict[str, Any]:
    if own.output_px is None:
        return {}
    return {"resize": CropSquash(width_px=own.output_px[1], height_px=own.output_px[0]), "crop": None}


def _shorter_side(own: Preprocess) -> dict[str, Any]:
    if not isinstance(own.resize, Squash) or own.output_px is None:
        return {}
    height, width = own.output_px
    px = min(own.resize.width_px, own.resize.height_px)
    return {"resize": ShorterSide(px=px), "crop": CenterCrop(width_px=width, height_px=height)}


def _long_side(own: Preprocess) -> dict[str, Any]:
    if not isinstance(own.resize, ShorterSide):
        return {}
    other = "round" if own.resize.long_side == "truncate" else "truncate"
    return {"resize": msgspec.structs.replace(own.resize, long_side=other)}


def _crop_offset(own: Preprocess) -> dict[str, Any]:
    if own.crop is None:
        return {}
    return {"crop": msgspec.structs.replace(own.crop, offset="floor" if own.crop.offset == "round" else "round")}


def _swapped(own: Preprocess) -> dict[str, Any]:
    return {"gray": {}, "rgb": {"color": "bgr"}, "bgr": {"color": "rgb"}}[own.color]


def _caffe(own: Preprocess) -> dict[str, Any]:
    return {} if own.color == "gray" else {"color": "bgr", "divisor": 1.0, "mean": CAFFE_MEAN, "std": (1.0,) * 3}


def _vastai(own: Preprocess) -> dict[str, Any]:
    try:
        return msgspec.structs.asdict(expressible(own))
    except UsageError:
        return {}


def _normalized(mean: tuple[float, ...], std: tuple[float, ...]) -> Change:
    return lambda own: {"divisor": 255.0, "mean": mean[: own.channels], "std": std[: own.channels]}


ALTERNATIVES: Mapping[str, Change] = MappingProxyType(
    {
        "bicubic": lambda _: {"interpolation": "bicubic", "antialias": True},
        "bilinear": lambda _: {"interpolation": "bilinear", "antialias": True},
        "no_antialias": lambda _: {"interpolation": "bilinear", "antialias": False},
        "nearest": lambda _: {"interpolation": "nearest", "antialias": True},
        "squash": _squash,
        "squash_whole": _squash_whole,
        "crop_squash": _crop_squash,
        "shorter_side": _shorter_side,
        "long_side": _long_side,
        "crop_offset": _crop_offset,
        "bgr": _swapped,
        "exif": lambda _: {"orientation": "upright"},
        "no_exif": lambda _: {"orientation": "stored"},
        "imagenet_norm": _normalized(IMAGENET_MEAN, IMAGENET_STD),
        "half_norm": _normalized((0.5,) * 3, (0.5,) * 3),
        "no_norm": _normalized((0.0,) * 3, (1.0,) * 3),
        "caffe": _caffe,
        "vastai": _vastai,
    }
)
"""Alternatives by name: other interpolations; a squash before the crop, to the input's size or after a cut
of its aspect ratio, or none; the other rounding of the longer side and of the crop's corner; the colours' other order;
EXIF followed or ignored; other statistics; VastAI's chips."""


def alternatives(own: Preprocess) -> dict[str, Preprocess]:
    """All named ones that differ from the model's own, by name."""
    changed = {name: msgspec.structs.replace(own, **change(own)) for name, change in ALTERNATIVES.items()}
    return {name: preprocess for name, preprocess in changed.items() if preprocess != own}


def alternative(text: str, own: Preprocess) -> Preprocess:
    """The preprocessing that a user names.

    Args:
        text: one of `ALTERNATIVES`, `crop_pct=0.875`, weights in the catalog, a bundle's folder, or a JSON file with
            a preprocessing as `model.json` has it or with VastAI's vdsp_params.
        own: the model's own, of which named ones change a part.

    Raises:
        UnknownName: none of these.
        UsageError: the model's own again, or one that cannot be.
        InputError: a bundle or file that cannot be read.
    """
    found = named_preprocess(text, own)
    if found == own:
        raise UsageError(f"{text} is what the model's own preprocessing does; name another one")
    return found


def named_preprocess(text: str, own: Preprocess) -> Preprocess:
    """The preprocessing that a user names, be it the model's own; arguments and errors are those of `alternative`."""
    found = _found(text, own)
    if found.channels != own.channels:
        raise UsageError(f"{text} makes images of {found.channels} channels, and the model takes {own.channels}")
    return found


def _found(text: str, own: Preprocess) -> Preprocess:
    if text in ALTERNATIVES:
        return msgspec.structs.replace(own, **ALTERNATIVES[text](own))
    if text.startswith(CROP_PCT_PREFIX):
        return _with_crop_pct(text.removeprefix(CROP_PCT_PREFIX), own)
    if Path(text).is_dir():
        return open_bundle(Path(text)).model.preprocess
    if Path(text).is_file():
        return _from_file(Path(text))
    try:
        return with_channels(resolve_entry(text).preprocess, own.channels)
    except AmbiguousName:
        raise
    except UnknownName:
        raise UnknownName("preprocessing", text, [*ALTERNATIVES, f"{CROP_PCT_PREFIX}0.875", *CATALOG]) from None


def _with_crop_pct(text: str, own: Preprocess) -> Preprocess:
    """timm's rule: the shorter side becomes the input's size over the fraction, rounded down."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1 or own.output_px is None:
        raise UsageError(
            f"{CROP_PCT_PREFIX}{text} is not valid; expected a fraction, as crop_pct=0.875, of a fixed size"
        )
    height, width = own.output_px
    crop = own.crop or CenterCrop(width_px=width, height_px=height)
    return msgspec.structs.replace(own, resize=ShorterSide(px=int(min(height, width) / share)), crop=crop)


def _from_file(path: Path) -> Preprocess:
    try:
        document = inputs.parse_json(inputs.read_bytes(path, inputs.DOCUMENT_LIMIT), object)
        if isinstance(document, dict) and "OpType" in document:
            return vdsp_preprocess(read_params(path))
        return msgspec.convert(document, Preprocess)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, msgspec.ValidationError, UsageError) as error:
        raise InputError(
            f"{path} holds no preprocessing: {error}; expected JSON as in a bundle's model.json, or vdsp_params"
        ) from error
