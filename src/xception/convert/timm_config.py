"""`config.json` of timm's model folders: its preprocessing in whole pixels, its class names, and the way back.

Source: timm 1.0.31, `timm/data/config.py`, `timm/data/transforms_factory.py` and `timm/models/_hub.py`.
"""

from collections.abc import Mapping
from math import floor
from typing import Any, Literal, cast

import msgspec

from xception.errors import InputError, UsageError
from xception.labels import Labels, named_classes
from xception.preprocess import CenterCrop, Preprocess, ShorterSide, Squash

DEFAULT_CROP_PCT = 0.875
"""The crop fraction that timm takes where a configuration states none."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Interpolation = Literal["bilinear", "bicubic", "nearest"]


class _PretrainedCfg(msgspec.Struct, frozen=True):
    """The part that says how weights want their images; the keys next to it are of no concern here."""

    input_size: tuple[int, int, int]
    crop_pct: float | None = None
    crop_mode: Literal["center", "squash"] | None = None
    interpolation: Interpolation | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def adapted_preprocess(usual: Preprocess, stated: Mapping[str, object], place: str) -> Preprocess:
    """The preprocessing that timm derives from that of some weights, and from keys that are stated in its place.

    Raises:
        InputError: see `timm_preprocess`.
    """
    size, crop_pct, mode = _crop(usual)
    config = {
        "input_size": [usual.channels, *size],
        "crop_pct": crop_pct,
        "crop_mode": mode,
        "interpolation": usual.interpolation,
        "mean": usual.mean,
        "std": usual.std,
    }
    found = timm_preprocess({**config, **stated}, place)
    return found or usual


def timm_preprocess(config: Mapping[str, object], place: str = "config.json") -> Preprocess | None:
    """The preprocessing that timm derives from a configuration; None where it states no input size.

    Raises:
        InputError: a value that timm does not know, or images that are neither gray nor of three colours.
    """
    stated = config.get("pretrained_cfg", config)
    if not isinstance(stated, Mapping) or "input_size" not in stated:
        return None
    if "input_space" in stated:
        # The settings of Cadene's pretrainedmodels, which segmentation_models_pytorch keeps.
        stated = {**stated, "crop_pct": stated.get("scale")}
    try:
        return _preprocess(msgspec.convert(stated, _PretrainedCfg))
    except (msgspec.ValidationError, UsageError, ZeroDivisionError, OverflowError) as error:
        raise InputError(f"the preprocessing in {place} cannot be used: {error}; pass --weights instead") from error


def _preprocess(cfg: _PretrainedCfg) -> Preprocess:
    channels, height, width = cfg.input_size
    resize_px = floor(height / (cfg.crop_pct or DEFAULT_CROP_PCT)), floor(width / (cfg.crop_pct or DEFAULT_CROP_PCT))
    crop = None if resize_px == (height, width) else CenterCrop(height_px=height, width_px=width)
    squash = Squash(height_px=resize_px[0], width_px=resize_px[1])
    if channels not in (1, 3):
        raise UsageError(f"it asks for {channels} channels, and gray images have 1 and colour images 3")
    if cfg.crop_mode != "squash" and height != width:
        raise UsageError(f"it asks for {height}x{width} px, expected a square, or the crop mode 'squash'")
    return Preprocess(
        orientation="stored",
        color="gray" if channels == 1 else "rgb",
        resize=squash if cfg.crop_mode == "squash" else ShorterSide(px=resize_px[0]),
        interpolation=cfg.interpolation or "bicubic",
        crop=crop if cfg.crop_mode == "squash" else CenterCrop(height_px=height, width_px=width),
        mean=_per_channel(cfg.mean or MEAN, channels),
        std=_per_channel(cfg.std or STD, channels),
    )


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """The statistics of as many channels; of a colour network that was made gray, timm leaves those of colours."""
    return values[:1] if channels == 1 and len(values) == len(MEAN) else values


def timm_labels(config: Mapping[str, object], num_classes: int) -> Labels | None:
    """The class names in a configuration: timm's `label_names`, with descriptions where it has them, or those in
    transformers' `id2label`; else None."""
    stated = config.get("pretrained_cfg")
    places = (config, stated if isinstance(stated, Mapping) else {})
    names = next((place["label_names"] for place in places if place.get("label_names")), None)
    if names is None:
        return _named_by_index(config, num_classes)
    if not isinstance(names, list) or len(names) != num_classes or not all(isinstance(name, str) for name in names):
        return None
    ids = tuple(cast("list[str]", names))
    told = next((place["label_descriptions"] for place in places if place.get("label_descriptions")), None)
    if not isinstance(told, Mapping) or not all(isinstance(told.get(name), str) for name in ids):
        return Labels(ids)
    return Labels(tuple(cast(str, told[name]) for name in ids), ids)


def _named_by_index(config: Mapping[str, object], num_classes: int) -> Labels | None:
    """The names in `id2label`, unless they are those that transformers makes up."""
    labels = named_classes(config.get("id2label"))
    is_made_up = labels and all(name == f"LABEL_{place}" for place, name in enumerate(labels.names))
    return labels if labels and len(labels) == num_classes and not is_made_up else None


def timm_config(architecture: str, num_classes: int, preprocess: Preprocess, labels: Labels) -> dict[str, Any]:
    """A configuration from which timm builds the network and derives this preprocessing.

    Raises:
        UsageError: timm has no such preprocessing.
    """
    size, crop_pct, mode = _crop(preprocess)
    pretrained: dict[str, Any] = {
        "custom_load": False,
        "input_size": [preprocess.channels, *size],
        "interpolation": preprocess.interpolation,
        "crop_pct": crop_pct,
        "crop_mode": mode,
        "mean": [float(value) for value in preprocess.mean],
        "std": [float(value) for value in preprocess.std],
        "num_classes": num_classes,
        "label_names": list(labels.ids or labels.names),
    }
    if labels.ids:
        pretrained["label_descriptions"] = dict(zip(labels.ids, labels.names, strict=True))
    arguments = {} if preprocess.channels == 3 else {"model_args": {"in_chans": preprocess.channels}}
    return {"architecture": architecture, "num_classes": num_classes, **arguments, "pretrained_cfg": pretrained}


def _crop(preprocess: Preprocess) -> tuple[tuple[int, int], float, str]:
    """Input size, crop fraction and mode that timm turns into the same whole pixels."""
    match preprocess:
        case Preprocess(color="bgr") | Preprocess(antialias=False) | Preprocess(crop=CenterCrop(offset="floor")):
            pass
        case Preprocess(fractions=True):
            pass
        case Preprocess(divisor=255.0, resize=ShorterSide(px=px, long_side="truncate"), crop=CenterCrop() as crop):
            if crop.height_px == crop.width_px:
                return (crop.height_px, crop.width_px), _fraction(crop.height_px, px), "center"
        case Preprocess(divisor=255.0, resize=Squash() as squash, crop=None):
            return (squash.height_px, squash.width_px), 1.0, "squash"
    raise UsageError(
        f"timm cannot prepare images so: {preprocess}; it resizes with antialias to whole levels, squashing to the "
        "input size or truncating the longer side before a square crop with a rounded margin, and divides RGB or gray "
        "by 255"
    )


def _fraction(size_px: int, resize_px: int) -> float:
    """The roundest number from which timm computes this resize: `floor(size / fraction)`."""
    middle = size_px / (resize_px + 0.5)
    rounded = (round(middle, digits) for digits in range(3, 17))
    return next(fraction for fraction in rounded if fraction and floor(size_px / fraction) == resize_px)
