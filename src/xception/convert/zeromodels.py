"""The facts that zeromodels states about a classifier: in `zm_config.json`, and inside a `.keras` archive.

Source: zeromodels 1.3.6, `XceptionConfig` and `BaseImageProcessor`; its earlier releases, under the name kerasformers
too, nested the same settings in other ways.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from xception.arch.variants import VARIANTS
from xception.convert.readers import CheckpointContents
from xception.convert.stated import StatedFacts
from xception.errors import InputError
from xception.metrics import Activation
from xception.preprocess import Preprocess, Squash

_CLASSES = ("XceptionImageClassify", "XceptionModel")
_PACKAGES = ("zeromodels", "kerasformers")

_ABOUT_THE_FILE = (
    *("library_name", "zeromodels_version", "model_module", "model_class", "model_type", "variant", "weights"),
    *("schema_version", "weight_dtype", "weight_dtype_overrides", "config", "vision_config", "timm_id"),
)
"""Entries of `zm_config.json` that are no settings of the network."""

_PLACE = "zeromodels' configuration"
_ACTIVATIONS: Mapping[str, Activation] = {"linear": "none", "softmax": "softmax", "sigmoid": "sigmoid"}


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of the classifier, with its own defaults; what is not among the fields is refused."""

    config: Literal["41", "41p", "65", "65p", "71"] = "41"
    preact: bool = False
    bn_epsilon: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-3
    image_size: Any = 299
    num_classes: int = 1000
    classifier_activation: Literal["linear", "softmax", "sigmoid"] | None = "linear"
    dropout_rate: float = 0.0
    input_tensor: None = None
    as_backbone: Literal[False] = False
    name: str = ""
    trainable: bool = True
    dtype: Any = None
    timm_id: str | None = None
    # The network of earlier releases began with a normalisation, which is that of the preprocessing.
    include_normalization: bool = False
    normalization_mode: Literal["inception"] = "inception"


class _Processor(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the processor of images that change what it makes."""

    size: dict[str, int]
    do_resize: Literal[True] = True
    do_center_crop: Literal[False] = False
    do_rescale: Literal[True] = True
    do_normalize: Literal[True] = True
    resample: Literal["bilinear", "bicubic"] = "bicubic"
    antialias: bool = True
    rescale_factor: float = 1 / 255
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)


def zeromodels_facts(checkpoint: CheckpointContents) -> StatedFacts | None:
    """The facts in a folder's or an archive's configuration; None for a file of anybody else.

    Raises:
        InputError: something is stated that is not supported, or that no release of zeromodels writes.
    """
    settings = _settings(checkpoint.metadata)
    if settings is None:
        return None
    try:
        stated = msgspec.convert(settings, _Settings)
        processor = _processor(checkpoint.metadata.get("preprocessor"))
        return _facts(stated, _preprocess(processor) if processor else None)
    except (msgspec.ValidationError, KeyError) as error:
        raise InputError(f"{_PLACE} states something that is not supported: {error}") from error


def _settings(metadata: Mapping[str, object]) -> Mapping[str, object] | None:
    """The arguments of the classifier, wherever a release puts them."""
    config, model = metadata.get("config"), metadata.get("model_config")
    if isinstance(config, Mapping) and config.get("model_class") in _CLASSES:
        if config.get("quantization_config"):
            raise InputError(f"{_PLACE} states that its weights are quantized; expected those before that")
        nested = next(
            (config[key] for key in ("vision_config", "config") if isinstance(config.get(key), Mapping)), None
        )
        if nested is not None:
            return dict(nested)
        return {key: value for key, value in config.items() if key == "config" or key not in _ABOUT_THE_FILE}
    if isinstance(model, Mapping):
        # An `.h5` tells only the class.
        registered = str(model.get("registered_name") or f"{_PACKAGES[0]}>{model.get('class_name')}")
        package, _, name = registered.partition(">")
        arguments = model.get("config")
        return arguments if package in _PACKAGES and name in _CLASSES and isinstance(arguments, Mapping) else None
    return None


def _facts(stated: _Settings, preprocess: Preprocess | None) -> StatedFacts:
    variant = f"timm_xception{stated.config}"
    if stated.preact != stated.config.endswith("p"):
        raise InputError(f"{_PLACE} states the network {stated.config} with preact {stated.preact}, which none is")
    epsilon = VARIANTS[variant].norm.epsilon
    return StatedFacts(
        place=_PLACE,
        source="zeromodels",
        variants=(variant,),
        norm_epsilon=None if stated.bn_epsilon == epsilon else stated.bn_epsilon,
        num_classes=stated.num_classes,
        activation=_ACTIVATIONS[stated.classifier_activation or "linear"],
        drop_rate=stated.dropout_rate,
        preprocess=preprocess,
    )


def _processor(stated: object) -> _Processor | None:
    return msgspec.convert(stated, _Processor) if isinstance(stated, Mapping) else None


def _preprocess(processor: _Processor) -> Preprocess:
    if processor.resample == "bicubic" and not processor.antialias:
        raise InputError(f"{_PLACE} states bicubic without antialias, which no rule here does")
    return Preprocess(
        orientation="stored",
        resize=Squash(width_px=processor.size["width"], height_px=processor.size["height"]),
        interpolation=processor.resample,
        antialias=processor.antialias,
        fractions=True,
        divisor=round(1 / processor.rescale_factor, 9),
        mean=processor.image_mean,
        std=processor.image_std,
    )
