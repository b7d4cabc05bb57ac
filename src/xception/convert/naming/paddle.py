"""PaddleClas' names: structured ones, by which a network saves itself, and the static ones of older programs."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from xception.arch.spec import Architecture
from xception.convert.naming.rename import IO, SAME, LayerPlace, Leaves, Tensors, UpstreamTensor, name_table, relabel

PUBLISHED_VARIANTS = (
    "ppcls_xception41",
    "ppcls_xception41_deeplab",
    "ppcls_xception65",
    "ppcls_xception65_deeplab",
    "ppcls_xception71",
)

PADDLE_LEAVES: Leaves = {
    "conv.weight": (".weight", SAME),
    "depthwise.weight": (".weight", SAME),
    "pointwise.weight": (".weight", SAME),
    "norm.weight": (".weight", SAME),
    "norm.bias": (".bias", SAME),
    "norm.running_mean": ("._mean", SAME),
    "norm.running_var": ("._variance", SAME),
    "classifier.weight": (".weight", IO),
    "classifier.bias": (".bias", SAME),
}
STATIC_LEAVES: Leaves = {
    "conv.weight": ("_weights", SAME),
    "depthwise.weight": ("_weights", SAME),
    "pointwise.weight": ("_weights", SAME),
    "norm.weight": ("_scale", SAME),
    "norm.bias": ("_offset", SAME),
    "norm.running_mean": ("_mean", SAME),
    "norm.running_var": ("_variance", SAME),
    "classifier.weight": ("_weights", IO),
    "classifier.bias": ("_offset", SAME),
}
STATIC_DEEPLAB_LEAVES: Leaves = {
    "conv.weight": ("/weights", SAME),
    "depthwise.weight": ("/weights", SAME),
    "pointwise.weight": ("/weights", SAME),
    "norm.weight": ("/BatchNorm/gamma", SAME),
    "norm.bias": ("/BatchNorm/beta", SAME),
    "norm.running_mean": ("/BatchNorm/moving_mean", SAME),
    "norm.running_var": ("/BatchNorm/moving_variance", SAME),
    "classifier.weight": ("_weights", IO),
    "classifier.bias": ("_bias", SAME),
}

NAME_MAP = "StructuredToParameterName@@"
"""A dictionary from structured to static names that Paddle saves among the tensors."""


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Structured names and layouts by canonical name."""
    if _is_deeplab(architecture):
        scope = _scope(architecture)
        return name_table(architecture, lambda place: _deeplab(place, scope), PADDLE_LEAVES)
    return name_table(architecture, _ppcls, PADDLE_LEAVES)


def static_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """The names of the same tensors in the files of static programs."""
    if _is_deeplab(architecture):
        scope = _scope(architecture)
        return name_table(architecture, lambda place: _deeplab_static(place, scope), STATIC_DEEPLAB_LEAVES)
    return name_table(architecture, _ppcls_static, STATIC_LEAVES)


def prepare_tensors(tensors: Tensors, architecture: Architecture) -> dict[str, np.ndarray]:
    """Drops Paddle's map of names and turns static names into structured ones."""
    modern = _structured_by_static(architecture)
    return relabel(tensors, lambda name: None if name == NAME_MAP else modern.get(name, name))


@lru_cache(maxsize=8)  # asked for again and again while a checkpoint is held against all networks
def _structured_by_static(architecture: Architecture) -> Mapping[str, str]:
    structured = tensor_names(architecture)
    return {there.name: structured[name].name for name, there in static_names(architecture).items()}


def _is_deeplab(architecture: Architecture) -> bool:
    return architecture.name.endswith("_deeplab")


def _scope(architecture: Architecture) -> str:
    return f"xception_{architecture.name.removesuffix('_deeplab')[-2:]}"


def _ppcls(place: LayerPlace) -> str:
    block = f"_{place.flow}_flow._conv_{place.nth}"
    # Three spellings in one file: `_conv1`, `_conv2`; `_conv_0` to `_conv_2`; `_conv_1`, `_conv_2`.
    unit = {
        "entry": f"{block}._conv{place.unit + 1}",
        "middle": f"{block}._conv_{place.unit}",
        "exit": f"{block}._conv_{place.unit + 1}",
        "": "",
    }[place.flow]
    if place.is_tail:
        unit = f"_exit_flow._conv_{place.unit + 1}"
    stem = f"_entry_flow._conv{place.index + 1}"
    return {
        "stem.conv": f"{stem}._conv",
        "stem.after.norm": f"{stem}._batch_norm",
        "blocks.units.pointwise": f"{unit}._pointwise_conv._conv",
        "blocks.units.between.norm": f"{unit}._pointwise_conv._batch_norm",
        "blocks.units.depthwise": f"{unit}._depthwise_conv._conv",
        "blocks.units.after.norm": f"{unit}._depthwise_conv._batch_norm",
        "blocks.shortcut.conv": f"{block}._short",
        "head.classifier": "_exit_flow._out",
    }[place.role]


def _ppcls_static(place: LayerPlace) -> str:
    # The exit flow counts its block and the units of the tail together, from 1.
    block = f"{place.flow}_flow_{place.nth + (place.flow == 'exit')}"
    unit = f"exit_flow_{place.unit + 2}" if place.is_tail else f"{block}_branch2{'abc'[place.unit]}_weights"
    stem = f"entry_flow_conv{place.index + 1}"
    return {
        "stem.conv": stem,
        "stem.after.norm": f"bn_{stem}",
        "blocks.units.pointwise": f"{unit}_sep",
        "blocks.units.between.norm": f"bn_{unit}_sep",
        "blocks.units.depthwise": f"{unit}_dw",
        "blocks.units.after.norm": f"bn_{unit}_dw",
        "blocks.shortcut.conv": f"{block}_branch1",
        "head.classifier": "fc",
    }[place.role]


def _deeplab(place: LayerPlace, scope: str) -> str:
    block = f"{scope}/{place.flow}_flow/block{place.nth + 1}"
    if place.flow == "exit":
        block = f"_exit_flow_{place.nth + 1}"
    unit = f"{block}._conv{place.unit + 1}"
    return {
        "stem.conv": f"_conv{place.index + 1}._conv",
        "stem.after.norm": f"_conv{place.index + 1}._bn",
        "blocks.units.depthwise": f"{unit}._conv1",
        "blocks.units.between.norm": f"{unit}._bn1",
        "blocks.units.pointwise": f"{unit}._conv2",
        "blocks.units.after.norm": f"{unit}._bn2",
        "blocks.shortcut.conv": f"{block}._short._conv",
        "blocks.shortcut.norm": f"{block}._short._bn",
        "head.classifier": "_fc",
    }[place.role]


def _deeplab_static(place: LayerPlace, scope: str) -> str:
    block = f"{scope}/{place.flow}_flow/block{place.nth + 1}"
    unit = f"{block}/separable_conv{place.unit + 1}"
    stem = f"{scope}/entry_flow/conv{place.index + 1}"
    return {
        "stem.conv": stem,
        "stem.after.norm": stem,
        "blocks.units.depthwise": f"{unit}/depthwise",
        "blocks.units.between.norm": f"{unit}/depthwise",
        "blocks.units.pointwise": f"{unit}/pointwise",
        "blocks.units.after.norm": f"{unit}/pointwise",
        "blocks.shortcut.conv": f"{block}/shortcut",
        "blocks.shortcut.norm": f"{block}/shortcut",
        "head.classifier": "fc",
    }[place.role]
