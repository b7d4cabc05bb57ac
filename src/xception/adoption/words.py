"""Preprocessing as stated on a command line: a model to copy from, and settings that override it."""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from xception.adoption.statements import preprocess_of_config
from xception.bundle import MANIFEST, open_bundle
from xception.convert.catalog import resolve_entry
from xception.errors import UnknownName, UsageError
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

SIZE = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?")
RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)")

SOURCES = "published weights, a bundle, or a config.json of timm"

WORDS_HELP = (
    f"Preprocessing in place of the model's own, since a graph states none. It is that of {SOURCES}. "
    "Settings as KEY=VALUE change it, or describe one by themselves. "
    "squash, crop_squash, shorter_side and crop take a size in pixels, and size scales all of them to another size. "
    "range is that of the values: 0..255, 0..1 or -1..1. mean, std and divisor state it in numbers. "
    "color, interpolation, antialias and fractions are the settings of the same names in a bundle."
)


def preprocess_of(words: Sequence[str]) -> Preprocess | None:
    """The preprocessing that the words describe; None for no words.

    Raises:
        UsageError: a word that is none, or too few to know what is done.
        InputError: the source cannot be read.
    """
    if not words:
        return None
    sources, settings = [word for word in words if "=" not in word], [word for word in words if "=" in word]
    if len(sources) > 1:
        raise UsageError(f"--preprocess names {' and '.join(sources)}; expected one of {SOURCES}")
    pairs = [(key, text) for key, _, text in (word.partition("=") for word in settings)]
    for key, _ in pairs:
        if key not in KEYS:
            near = get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(KEYS)}"
            raise UsageError(f"--preprocess has no setting {key!r}; {hint}")
    if sources:
        known = {name: getattr(_source(sources[0]), name) for name in Preprocess.__struct_fields__}
    else:
        known = _bare({key for key, _ in pairs})
    for key, text in sorted(pairs, key=lambda pair: list(KEYS).index(pair[0])):
        known |= KEYS[key](key, text, known)
    try:
        return Preprocess(**_spread(known))
    except (TypeError, msgspec.ValidationError) as error:
        raise UsageError(f"--preprocess {' '.join(words)} is not valid: {error}") from error


def _source(name: str) -> Preprocess:
    path = Path(name)
    if path.is_dir() and (path / MANIFEST).is_file():
        return open_bundle(path).model.preprocess
    if path.is_file():
        return preprocess_of_config(path)
    try:
        return resolve_entry(name).preprocess
    except UnknownName as error:
        raise UsageError(f"--preprocess {name}: {error}; expected {SOURCES}") from error


def _bare(keys: set[str]) -> dict[str, Any]:
    """Preprocessing without a model to copy from: size and values must be stated."""
    lacks = []
    if not keys & {"squash", "shorter_side", "crop_squash", "crop"}:
        lacks.append("the size (such as squash=299, or shorter_side=333 crop=299)")
    if "range" not in keys and not {"mean", "std"} <= keys:
        lacks.append("the values (such as range=0..255, or mean=0.5 std=0.5)")
    if lacks:
        raise UsageError(f"--preprocess does not state {' and '.join(lacks)}; add it, or name {SOURCES}")
    return {"mean": (0.0,), "std": (1.0,)}


def _spread(known: dict[str, Any]) -> dict[str, Any]:
    """Single numbers for all channels."""
    channels = 1 if known.get("color") == "gray" else 3
    return known | {key: known[key] * channels if len(known[key]) == 1 else known[key] for key in ("mean", "std")}


def _px(key: str, text: str) -> tuple[int, int]:
    """(height, width)"""
    found = SIZE.fullmatch(text)
    if not found:
        raise UsageError(f"--preprocess {key}={text} is no size; expected pixels, as {key}=299 or {key}=240x320")
    return int(found[1]), int(found[2] or found[1])


def _squash(key: str, text: str, _: dict[str, Any]) -> dict[str, Any]:
    height, width = _px(key, text)
    rule = Squash if key == "squash" else CropSquash
    return {"resize": rule(height_px=height, width_px=width), "crop": None}


def _shorter_side(key: str, text: str, _: dict[str, Any]) -> dict[str, Any]:
    height, width = _px(key, text)
    if height != width:
        raise UsageError(f"--preprocess {key}={text} has two sizes; expected that of the shorter side")
    return {"resize": ShorterSide(px=height)}


def _crop(key: str, text: str, known: dict[str, Any]) -> dict[str, Any]:
    height, width = _px(key, text)
    before: CenterCrop | None = known.get("crop")
    crop = before or CenterCrop(height_px=height, width_px=width)
    return {"crop": msgspec.structs.replace(crop, height_px=height, width_px=width)}


def _size(key: str, text: str, known: dict[str, Any]) -> dict[str, Any]:
    """All sizes in proportion, so that the result has this one."""
    preprocess = Preprocess(**_spread({"mean": (0.0,), "std": (1.0,), **known}))
    height, width = _px(key, text)
    before = preprocess.output_px
    if before is None or before[0] * width != before[1] * height:
        images = "any size" if before is None else f"{before[0]}x{before[1]} px"
        raise UsageError(
            f"--preprocess {key}={text} fits no images of {images}; state squash, or shorter_side and crop"
        )
    scaled = preprocess.scaled(height / before[0])
    return {"resize": scaled.resize, "crop": scaled.crop}


def _range(key: str, text: str, _: dict[str, Any]) -> dict[str, Any]:
    found = RANGE.fullmatch(text)
    low, high = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if high <= low:
        raise UsageError(f"--preprocess {key}={text} is no range; expected such as 0..255, 0..1 or -1..1")
    if (low, high) == (0.0, 255.0):
        return {"divisor": 1.0, "mean": (0.0,), "std": (1.0,)}
    return {"divisor": 255.0, "mean": (-low / (high - low) + 0.0,), "std": (1 / (high - low),)}


def _numbers(key: str, text: str, _: dict[str, Any]) -> dict[str, Any]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in ((1,) if key == "divisor" else (1, 3)):
        raise UsageError(f"--preprocess {key}={text} is not valid; expected a number, or three with commas")
    return {key: values[0] if key == "divisor" else values}


def _word(key: str, text: str, known: dict[str, Any]) -> dict[str, Any]:
    choices = {"color": ("rgb", "bgr", "gray"), "interpolation": ("nearest", "bilinear", "bicubic")}[key]
    if text not in choices:
        raise UsageError(f"--preprocess {key}={text} is not valid; expected {', '.join(choices)}")
    if key == "color":
        one = {name: known[name][:1] for name in ("mean", "std") if len(set(known.get(name, ()))) == 1}
        return {key: text, **one}
    return {key: text}


def _truth(key: str, text: str, _: dict[str, Any]) -> dict[str, Any]:
    if text not in ("true", "false"):
        raise UsageError(f"--preprocess {key}={text} is not valid; expected true or false")
    return {key: text == "true"}


KEYS: Mapping[str, Callable[[str, str, dict[str, Any]], dict[str, Any]]] = {
    "color": _word,
    "squash": _squash,
    "crop_squash": _squash,
    "shorter_side": _shorter_side,
    "crop": _crop,
    "size": _size,
    "interpolation": _word,
    "antialias": _truth,
    "fractions": _truth,
    "range": _range,
    "divisor": _numbers,
    "mean": _numbers,
    "std": _numbers,
}
"""The settings, in the order in which they are applied."""
