"""The facts that KerasHub states about a classifier: in a preset's files, and inside a `.keras` archive.

Source: keras-hub 0.32, `XceptionBackbone`, `XceptionImageClassifier` and `ImageConverter`.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any, Literal

import msgspec

from xception.arch.spec import Pooling
from xception.arch.stackwise import DESIGN, Stackwise, with_stackwise
from xception.arch.variants import VARIANTS
from xception.convert.readers import CheckpointContents
from xception.convert.stated import StatedFacts
from xception.errors import InputError, UsageError
from xception.metrics import Activation
from xception.preprocess import CropSquash, Preprocess, Squash

_BACKBONE = ("keras_hub>XceptionBackbone", "XceptionBackbone")
_CLASSIFIER = ("keras_hub>XceptionImageClassifier", "XceptionImageClassifier")
"""The names under which Keras registers the two, and those of their classes, which is all that an `.h5` tells."""

_ACTIVATIONS: Mapping[str, Activation] = {"linear": "none", "softmax": "softmax", "sigmoid": "sigmoid"}
_DIGITS = 12
"""Kept of a mean and a deviation, which are quotients of what is stated."""

_Numbers = float | tuple[float, ...]


class _Stated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that Keras saves of every layer; what is not among the fields is refused."""

    name: str = ""
    trainable: bool = True
    dtype: Any = None


class _Backbone(_Stated, frozen=True):
    stackwise_conv_filters: tuple[tuple[int, ...], ...]
    stackwise_pooling: tuple[bool, ...]
    image_shape: tuple[int | None, int | None, int] = (None, None, 3)


class _Classifier(_Stated, frozen=True):
    backbone: dict[str, Any]
    num_classes: int
    preprocessor: dict[str, Any] | None = None
    pooling: Pooling = "avg"
    activation: Any = None
    dropout: float = 0.0


class _Converter(_Stated, frozen=True):
    image_size: tuple[int, int] | None = None
    scale: _Numbers | None = None
    offset: _Numbers | None = None
    crop_to_aspect_ratio: bool = True
    pad_to_aspect_ratio: Literal[False] = False
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = False
    bounding_box_format: str = "yxyx"
    # The names of older releases.
    height: int | None = None
    width: int | None = None
    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None


def keras_hub_facts(checkpoint: CheckpointContents) -> StatedFacts | None:
    """The facts in a preset's or an archive's configuration; None for a file of anybody else.

    Raises:
        InputError: something is stated that is not supported, or that no release of KerasHub writes.
    """
    metadata = checkpoint.metadata
    stated = metadata.get("config") or metadata.get("model_config")
    if not isinstance(stated, Mapping):
        return None
    name = stated.get("registered_name") or stated.get("class_name")
    if name not in (*_BACKBONE, *_CLASSIFIER):
        return None
    task = metadata.get("task") if name in _BACKBONE else stated
    try:
        head = msgspec.convert(task.get("config"), _Classifier) if isinstance(task, Mapping) else None
        backbone = msgspec.convert((head.backbone if head else stated).get("config"), _Backbone)
        converter = _converter(head.preprocessor if head else None, metadata)
        return _facts(backbone, head, _preprocess(converter) if converter else None)
    except (msgspec.ValidationError, UsageError) as error:
        raise InputError(f"KerasHub's configuration states something that is not supported: {error}") from error


def _facts(backbone: _Backbone, head: _Classifier | None, preprocess: Preprocess | None) -> StatedFacts:
    stackwise = Stackwise(filters=backbone.stackwise_conv_filters, pooling=backbone.stackwise_pooling)
    published = with_stackwise(VARIANTS[DESIGN], stackwise) == VARIANTS[DESIGN]
    return StatedFacts(
        place="KerasHub's configuration",
        source="keras_hub",
        variants=(DESIGN,),
        stackwise=None if published else stackwise,
        in_channels=backbone.image_shape[-1],
        preprocess=preprocess,
        num_classes=head.num_classes if head else None,
        pooling=head.pooling if head else None,
        activation=_activation(head.activation) if head else None,
        drop_rate=head.dropout if head else None,
    )


def _activation(stated: Any) -> Activation:
    """The activation by name, which Keras may wrap in the description of a function."""
    name = stated.get("config") if isinstance(stated, Mapping) else stated
    if name is None:
        return "none"
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise InputError(
            f"KerasHub's configuration states the activation {str(name)[:40]!r}; expected {', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name]


def _converter(preprocessor: Mapping[str, Any] | None, metadata: Mapping[str, object]) -> _Converter | None:
    """The converter of images that lies in the classifier's description, or next to it."""
    outer: Any = preprocessor or metadata.get("preprocessor")
    inner: Any = outer.get("config", {}).get("image_converter") if isinstance(outer, Mapping) else None
    stated: Any = inner or metadata.get("image_converter")
    return msgspec.convert(stated.get("config"), _Converter) if isinstance(stated, Mapping) else None


def _preprocess(converter: _Converter) -> Preprocess:
    size = converter.image_size
    if converter.height and converter.width:
        size = (converter.height, converter.width)
    if converter.interpolation == "bicubic" and not converter.antialias:
        raise InputError("KerasHub's configuration states bicubic without antialias, which no rule here does")
    rule = CropSquash if converter.crop_to_aspect_ratio else Squash
    mean, std = _normalization(converter)
    return Preprocess(
        orientation="stored",
        resize=rule(height_px=size[0], width_px=size[1]) if size else None,
        interpolation=converter.interpolation,
        antialias=converter.antialias,
        fractions=True,
        mean=mean,
        std=std,
    )


def _normalization(converter: _Converter) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of values divided by 255, of which the source states factor and summand."""
    scale, offset = _per_channel(converter.scale, 1.0), _per_channel(converter.offset, 0.0)
    if converter.mean and converter.variance:
        deviations = tuple(map(sqrt, converter.variance))
        offset = tuple(-mean / deviation for mean, deviation in zip(converter.mean, deviations, strict=True))
        scale = tuple(factor / deviation for factor, deviation in zip(scale, deviations, strict=True))
    std = tuple(1 / (255 * factor) for factor in scale)
    mean = tuple(-summand * deviation for summand, deviation in zip(offset, std, strict=True))
    return tuple(map(_short, mean)), tuple(map(_short, std))


def _per_channel(stated: _Numbers | None, default: float) -> tuple[float, ...]:
    if isinstance(stated, tuple):
        return stated
    return (default if stated is None else stated,) * 3


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
