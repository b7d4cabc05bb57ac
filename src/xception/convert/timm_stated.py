"""The facts that timm's and Hugging Face's `config.json` states about a network, and those of timm's training script.

Source: timm 1.0.31, `timm/models/_builder.py`, `_hub.py`, `xception.py`, `xception_aligned.py` and `train.py`;
transformers 5, `models/timm_wrapper`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import msgspec

from xception.arch.spec import Pooling
from xception.arch.variants import VARIANTS
from xception.convert.catalog import CATALOG
from xception.convert.defaults import default_preprocess
from xception.convert.stated import NOTHING_STATED, StatedFacts
from xception.convert.timm_config import adapted_preprocess
from xception.errors import InputError
from xception.metrics import Activation
from xception.preprocess import Preprocess

TIMM_VARIANTS: Mapping[str, str] = {
    "legacy_xception": "timm_xception",
    "xception": "timm_xception",
    "xception41": "timm_xception41",
    "xception41p": "timm_xception41p",
    "xception65": "timm_xception65",
    "xception65p": "timm_xception65p",
    "xception71": "timm_xception71",
    "gluon_xception65": "gluon_xception65",
}
"""Variants by timm's names."""

PLAIN_RELU = ("relu", "nn.relu", "torch.nn.relu")

TIMM_POOLINGS: Mapping[str, Pooling] = {
    **{f"{fast}{name}": name for fast in ("", "fast") for name in ("avg", "max", "avgmax", "catavgmax")},
    "fast": "avg",
}
"""Poolings by timm's names, of which some say how they are computed."""

ACTIVATIONS: Mapping[str, Activation] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
}
"""Activations by the `problem_type` of transformers."""


class TimmArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of timm's models that are built here; all others are refused."""

    num_classes: int | None = None
    in_chans: int | None = None
    global_pool: str | None = None
    output_stride: Literal[8, 16, 32] | None = None
    drop_rate: float | None = None
    drop_path_rate: float | None = None
    act_layer: str | None = None
    pretrained: bool | None = None
    features_only: bool = False


class _Config(msgspec.Struct, frozen=True):
    """The part of a configuration that is about the network, apart from its preprocessing and class names."""

    architecture: str | None = None
    num_classes: int | None = None
    num_labels: int | None = None
    global_pool: str | None = None
    problem_type: str | None = None
    do_pooling: bool | None = None
    model_args: dict[str, Any] | None = None


def timm_facts(config: Mapping[str, Any], place: str = "config.json") -> StatedFacts:
    """Read the facts of a model folder.

    Raises:
        InputError: one that is not supported, or two that contradict each other; the sentence names it.
    """
    try:
        stated = msgspec.convert(dict(config), _Config)
        arguments = msgspec.convert(stated.model_args or {}, TimmArguments)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{place} states something about the network that is not supported: {error}; "
            f"known in model_args are {', '.join(TimmArguments.__struct_fields__)}"
        ) from error
    _check_label_offset(config, place)
    if arguments.act_layer is not None and arguments.act_layer.lower() not in PLAIN_RELU:
        raise InputError(f"{place} states act_layer {arguments.act_layer!r}; expected relu, that of every variant")
    answers_maps = stated.do_pooling is False or arguments.features_only
    classes = _one("num_classes", place, stated.num_classes, stated.num_labels, arguments.num_classes)
    classes = 0 if answers_maps else classes
    pooling = _one("global_pool", place, stated.global_pool, arguments.global_pool)
    return StatedFacts(
        place=place,
        variants=None if stated.architecture is None else (_variant(stated.architecture, place),),
        pooling=None if answers_maps else _pooling(pooling, classes),
        activation=_activation(stated.problem_type, place),
        drop_rate=arguments.drop_rate,
        drop_path_rate=arguments.drop_path_rate,
        output_stride=arguments.output_stride,
        num_classes=classes,
        in_channels=arguments.in_chans,
    )


def _variant(name: str, place: str) -> str:
    plain = name.partition(".")[0].removeprefix("tf_").removeprefix("ig_")
    if plain not in TIMM_VARIANTS:
        raise InputError(f"{place} states the architecture {name!r}; expected one of {', '.join(TIMM_VARIANTS)}")
    return TIMM_VARIANTS[plain]


def _pooling(stated: str | None, classes: int | None) -> Pooling | None:
    if classes == 0:
        # Without a classifier, timm pools by the average unless its answer is to be the map.
        stated = {None: "avg", "": None}.get(stated, stated)
    if stated is None:
        return None
    if stated.lower() not in TIMM_POOLINGS:
        raise InputError(f"the global_pool {stated!r} is not supported; expected {', '.join(TIMM_POOLINGS)}")
    return TIMM_POOLINGS[stated.lower()]


def _one(name: str, place: str, *stated: Any) -> Any:
    """The value on which all places that state one agree."""
    values = {value for value in stated if value is not None}
    if len(values) > 1:
        raise InputError(f"{place} states two values of {name}: {' and '.join(map(repr, sorted(values)))}; correct it")
    return next(iter(values), None)


def _activation(problem: str | None, place: str) -> Activation | None:
    if problem is not None and problem not in ACTIVATIONS:
        raise InputError(f"{place} states problem_type {problem!r}; expected {', '.join(ACTIVATIONS)}")
    return None if problem is None else ACTIVATIONS[problem]


def _check_label_offset(config: Mapping[str, Any], place: str) -> None:
    pretrained = config.get("pretrained_cfg", config)
    offset = pretrained.get("label_offset") if isinstance(pretrained, Mapping) else None
    if offset not in (None, 0, False):
        raise InputError(f"{place} states a label_offset of {offset}; expected a classifier without a background class")


def trainer_facts(values: Mapping[str, Any]) -> StatedFacts:
    """Read the arguments that timm's training script keeps next to the weights.

    Raises:
        InputError: one that is not supported.
    """
    arguments = values.get("args")
    if not isinstance(arguments, Mapping) or "gp" not in arguments:
        return NOTHING_STATED
    return argument_facts(arguments, "its training arguments")


class _Arguments(msgspec.Struct, frozen=True):
    """The arguments of the training script that are about the network and its images; the rest is about training."""

    model: str | None = None
    gp: str | None = None
    num_classes: int | None = None
    in_chans: int | None = None
    drop: float | None = None
    drop_connect: float | None = None
    drop_path: float | None = None
    drop_block: float | None = None
    bn_eps: float | None = None
    img_size: int | None = None
    input_size: tuple[int, int, int] | None = None
    crop_pct: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    model_kwargs: dict[str, Any] | None = None


def argument_facts(arguments: Mapping[str, Any], place: str) -> StatedFacts:
    """Read the arguments of timm's training script, wherever it wrote them.

    Raises:
        InputError: one that is not supported.
    """
    try:
        given = msgspec.convert(dict(arguments), _Arguments)
    except msgspec.ValidationError as error:
        raise InputError(f"{place} states something that timm's training script does not take: {error}") from error
    for name in ("drop_block", "bn_eps"):
        if getattr(given, name):
            raise InputError(f"{place} states {name} {getattr(given, name)}, which these networks do not have")
    own = {
        "global_pool": given.gp,
        "num_classes": given.num_classes,
        "in_chans": given.in_chans,
        "drop_rate": given.drop,
        "drop_path_rate": given.drop_path if given.drop_path is not None else given.drop_connect,
    }
    stated = {name: value for name, value in own.items() if value is not None} | (given.model_kwargs or {})
    facts = timm_facts({"architecture": given.model, "model_args": stated}, place)
    return replace(facts, preprocess=_trained_preprocess(given, facts, place))


def _trained_preprocess(given: _Arguments, facts: StatedFacts, place: str) -> Preprocess | None:
    """The preprocessing of the network's weights at timm, with what the arguments state in its place; None without."""
    size = given.input_size or (given.img_size and (given.in_chans or 3, given.img_size, given.img_size))
    own = {
        "input_size": size and list(size),
        "crop_pct": given.crop_pct,
        "mean": given.mean and given.mean * (3 if len(given.mean) == 1 else 1),
        "std": given.std and given.std * (3 if len(given.std) == 1 else 1),
        "interpolation": given.interpolation,
    }
    stated = {name: value for name, value in own.items() if value}
    if not stated or not facts.variants:
        return None
    entry = CATALOG.get(f"timm_{given.model}")
    usual = entry.preprocess if entry else default_preprocess(VARIANTS[facts.variants[0]])
    return adapted_preprocess(usual, stated, place)
