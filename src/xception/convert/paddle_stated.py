"""The facts that PaddleClas' configurations state: the network, and the way from an image to its pixels.

Source: PaddleClas d178931f, `ppcls/arch/__init__.py`, `ppcls/data/preprocess/ops/operators.py` and `ppcls/configs`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from xception.arch.variants import VARIANTS
from xception.convert.defaults import default_preprocess
from xception.convert.stated import StatedFacts
from xception.convert.timm_config import MEAN, STD
from xception.errors import InputError, UsageError
from xception.preprocess import CenterCrop, Preprocess, ShorterSide, Squash

PADDLE_VARIANTS: Mapping[str, str] = {
    name.removeprefix("ppcls_").capitalize(): name for name in VARIANTS if name.startswith("ppcls_")
}
"""Variants by PaddleClas' names."""

WITHOUT_EFFECT = ("name", "class_num", "pretrained", "use_ssld")
"""Keys of `Arch` that change no network, apart from its classes."""

SIGMOID_OUTPUTS = ("MultiLabelThreshOutput", "MultiLabelTopk", "MultiLabelThreshold")


def paddle_facts(config: Mapping[str, Any], place: str) -> StatedFacts:
    """Read a configuration of PaddleClas, of a training or of an inference model.

    Raises:
        InputError: something that is stated and not built here; the sentence names it.
    """
    arch, shared = _part(config, "Arch", place), _part(config, "Global", place)
    unknown = sorted(arch.keys() - set(WITHOUT_EFFECT))
    if unknown:
        raise InputError(
            f"{place} states {', '.join(f'Arch.{key}' for key in unknown)}, which is not supported; expected "
            f"{', '.join(WITHOUT_EFFECT)}"
        )
    variant = None
    if "name" in arch:
        variant = PADDLE_VARIANTS.get(str(arch["name"]))
        if variant is None:
            raise InputError(f"{place} states the network {arch['name']!r}; expected {', '.join(PADDLE_VARIANTS)}")
    shape = shared.get("image_shape")
    classes = arch.get("class_num")
    if classes is not None and not (isinstance(classes, int) and classes > 0):
        raise InputError(f"{place} states the class_num {classes!r}; expected a number of classes")
    return StatedFacts(
        place=place,
        variants=(variant,) if variant else None,
        num_classes=classes,
        in_channels=shape[0] if isinstance(shape, list) and shape and isinstance(shape[0], int) else None,
        activation="sigmoid" if _is_multi_label(config, shared) else None,
        preprocess=_preprocess(config, variant or "ppcls_xception41", place),
    )


def _part(config: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    part = config.get(key) or {}
    if not isinstance(part, Mapping):
        raise InputError(f"{place} states the {key} {part!r}; expected keys and values")
    return part


def _is_multi_label(config: Mapping[str, Any], shared: Mapping[str, Any]) -> bool:
    """True if each class has a probability by itself."""
    losses = _inside(config, "Loss", "Train")
    is_loss = isinstance(losses, list) and any(isinstance(row, Mapping) and "MultiLabelLoss" in row for row in losses)
    output = _inside(config, "Infer", "PostProcess", "name")
    return bool(shared.get("use_multilabel")) or is_loss or output in SIGMOID_OUTPUTS


def _inside(config: Any, *keys: str) -> Any:
    for key in keys:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _preprocess(config: Mapping[str, Any], variant: str, place: str) -> Preprocess | None:
    """The preprocessing of evaluation and inference; None if none is stated."""
    rows = {
        "DataLoader.Eval": _inside(config, "DataLoader", "Eval", "dataset", "transform_ops"),
        "Infer": _inside(config, "Infer", "transforms"),
        "PreProcess": _inside(config, "PreProcess", "transform_ops"),
    }
    found = {name: _of_operations(ops, variant, f"{place}, {name}") for name, ops in rows.items() if ops is not None}
    if len(set(map(repr, found.values()))) > 1:
        raise InputError(f"{place} states different ways to prepare images in {' and '.join(found)}; correct it")
    return next(iter(found.values()), None)


def _of_operations(operations: Any, variant: str, place: str) -> Preprocess:
    usual = default_preprocess(VARIANTS[variant])
    plain: dict[str, Any] = {"divisor": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    preprocess = msgspec.structs.replace(usual, resize=None, crop=None, **plain)
    if not isinstance(operations, list):
        raise InputError(f"{place} states no list of operations; correct it")
    for row in operations:
        named = row if isinstance(row, Mapping) else {str(row): None}
        for name, stated in named.items():
            settings = stated or {}
            if name not in OPERATIONS or not isinstance(settings, Mapping):
                raise InputError(f"{place} states the operation {name}; expected {', '.join(OPERATIONS)}")
            known, apply = OPERATIONS[name]
            unknown = sorted(settings.keys() - set(known))
            if unknown:
                raise InputError(f"{place} states {name}.{unknown[0]}; expected {', '.join(known) or 'no setting'}")
            try:
                preprocess = apply(preprocess, settings)
            except (TypeError, ValueError, KeyError, ZeroDivisionError, UsageError) as error:
                raise InputError(
                    f"{place} states {name} with {dict(settings)}, which cannot be used: {error}"
                ) from error
    return preprocess


def _decode(preprocess: Preprocess, given: Mapping[str, Any]) -> Preprocess:
    if given.get("channel_first") or given.get("to_np", True) is False or given.get("backend", "cv2") != "cv2":
        raise ValueError("expected an array with channels last, decoded by cv2")
    return msgspec.structs.replace(preprocess, color="rgb" if given.get("to_rgb", True) else "bgr")


def _resize(preprocess: Preprocess, given: Mapping[str, Any]) -> Preprocess:
    if given.get("backend", "cv2") != "cv2" or given.get("interpolation") not in (None, "bilinear"):
        raise ValueError("expected the bilinear resize of cv2")
    short, size = given.get("resize_short"), given.get("size")
    if (short is None) == (size is None):
        raise ValueError("expected either resize_short or size")
    if short is not None:
        return msgspec.structs.replace(preprocess, resize=ShorterSide(px=_pixels(short), long_side="round"))
    width, height = _pair(size)
    return msgspec.structs.replace(preprocess, resize=Squash(width_px=width, height_px=height))


def _crop(preprocess: Preprocess, given: Mapping[str, Any]) -> Preprocess:
    width, height = _pair(given["size"])
    return msgspec.structs.replace(preprocess, crop=CenterCrop(width_px=width, height_px=height, offset="floor"))


def _normalize(preprocess: Preprocess, given: Mapping[str, Any]) -> Preprocess:
    if given.get("order", "") not in ("", "hwc", "chw", None) or given.get("output_fp16"):
        raise ValueError("expected float32 values")
    usual = {"scale": "1.0/255.0", "mean": MEAN, "std": STD}
    scale, mean, std = (usual[name] if given.get(name) is None else given[name] for name in usual)
    # Rounded, since 1 / (1 / 255) is not 255.
    divisor = round(1 / _scale(scale), 6)
    return msgspec.structs.replace(
        preprocess, divisor=divisor, mean=tuple(map(float, mean)), std=tuple(map(float, std))
    )


def _scale(stated: Any) -> float:
    """A number, or a quotient in a text, such as "1.0/255.0"."""
    above, _, below = str(stated).partition("/")
    return float(above) / float(below or 1)


def _pair(stated: Any) -> tuple[int, int]:
    """(width, height) of one number or two."""
    sides: Sequence[Any] = stated if isinstance(stated, list) else [stated, stated]
    width, height = map(_pixels, sides)
    return width, height


def _pixels(stated: Any) -> int:
    if not isinstance(stated, int) or stated < 1:
        raise ValueError(f"{stated!r} is no number of pixels")
    return stated


OPERATIONS: Mapping[str, tuple[tuple[str, ...], Callable[[Preprocess, Mapping[str, Any]], Preprocess]]] = {
    "DecodeImage": (("to_rgb", "to_np", "channel_first", "backend"), _decode),
    "ResizeImage": (("size", "resize_short", "interpolation", "backend", "return_numpy"), _resize),
    "CropImage": (("size",), _crop),
    "NormalizeImage": (("scale", "mean", "std", "order", "channel_num", "output_fp16"), _normalize),
    "ToCHWImage": ((), lambda preprocess, _: preprocess),
}
"""Operations on an image by their names, with the settings that are known."""
