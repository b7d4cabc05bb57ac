"""timm's names: the network it calls `legacy_xception`, whose names tstandley and Cadene use too, the aligned
networks, and the pre-activation ones."""

import re

import numpy as np

from xception.arch.spec import Architecture
from xception.convert.naming.rename import (
    SAME,
    LayerName,
    LayerPlace,
    Leaves,
    Tensors,
    UpstreamTensor,
    name_table,
    relabel,
    strip_prefixes,
)

PUBLISHED_VARIANTS = (
    "timm_xception",
    "timm_xception41",
    "timm_xception41p",
    "timm_xception65",
    "timm_xception65p",
    "timm_xception71",
)

TIMM_LEAVES: Leaves = {
    "conv.weight": (".weight", SAME),
    "depthwise.weight": (".weight", SAME),
    "pointwise.weight": (".weight", SAME),
    "norm.weight": (".weight", SAME),
    "norm.bias": (".bias", SAME),
    "norm.running_mean": (".running_mean", SAME),
    "norm.running_var": (".running_var", SAME),
    "classifier.weight": (".weight", SAME),
    "classifier.bias": (".bias", SAME),
}

PREFIXES = ("module.", "_orig_mod.", "model.")
"""Prefixes that DataParallel, torch.compile and FaceForensics' wrapper put in front."""

FEATURES_ONLY = re.compile(r"^(stem|blocks)_(\d+)\.")
"""Start of a name in a network that timm made with `features_only`, which flattens its sequences."""


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Names and layouts by canonical name."""
    return name_table(architecture, _scheme(architecture), TIMM_LEAVES)


def prepare_tensors(tensors: Tensors, _architecture: Architecture) -> dict[str, np.ndarray]:
    """Strips wrappers and batch counters, and gives Cadene's files, which name the classifier `last_linear` and store
    pointwise kernels without their two axes of length 1, the form of all others."""
    return {name: _with_four_axes(name, value) for name, value in relabel(tensors, _modern).items()}


def _modern(name: str) -> str | None:
    if name.endswith("num_batches_tracked"):
        return None
    name = strip_prefixes(name, PREFIXES)
    name = FEATURES_ONLY.sub(r"\1.\2.", name)
    # FaceForensics puts a dropout in front of the linear layer, which so becomes the second of two.
    return name.replace("last_linear.1.", "fc.").replace("last_linear.", "fc.")


def _with_four_axes(name: str, value: np.ndarray) -> np.ndarray:
    return value[:, :, np.newaxis, np.newaxis] if value.ndim == 2 and ".pointwise." in name else value


def _scheme(architecture: Architecture) -> LayerName:
    first = architecture.blocks[0]
    if first.pool:
        return legacy
    return _preactivation if first.before == "norm_act" else _aligned


def legacy(place: LayerPlace) -> str:
    """A layer of `legacy_xception`, whose blocks are lists of activations, convolutions and norms."""
    block = f"block{place.index + 1}"
    # The first block has no leading activation, so everything in it stands one place earlier.
    position = 3 * place.unit + (place.index > 0)
    unit, norm = f"{block}.rep.{position}", f"{block}.rep.{position + 1}"
    if place.is_tail:
        unit, norm = f"conv{place.unit + 3}", f"bn{place.unit + 3}"
    return {
        "stem.conv": f"conv{place.index + 1}",
        "stem.after.norm": f"bn{place.index + 1}",
        "blocks.units.depthwise": f"{unit}.conv1",
        "blocks.units.pointwise": f"{unit}.pointwise",
        "blocks.units.after.norm": norm,
        "blocks.shortcut.conv": f"{block}.skip",
        "blocks.shortcut.norm": f"{block}.skipbn",
        "head.classifier": "fc",
    }[place.role]


def _aligned(place: LayerPlace) -> str:
    block = f"blocks.{place.index}"
    unit = f"{block}.stack.conv{place.unit + 1}"
    return {
        "stem.conv": f"stem.{place.index}.conv",
        "stem.after.norm": f"stem.{place.index}.bn",
        "blocks.units.depthwise": f"{unit}.conv_dw",
        "blocks.units.between.norm": f"{unit}.bn_dw",
        "blocks.units.pointwise": f"{unit}.conv_pw",
        "blocks.units.after.norm": f"{unit}.bn_pw",
        "blocks.shortcut.conv": f"{block}.shortcut.conv",
        "blocks.shortcut.norm": f"{block}.shortcut.bn",
        "head.classifier": "head.fc",
    }[place.role]


def _preactivation(place: LayerPlace) -> str:
    block = f"blocks.{place.index}"
    unit = f"{block}.stack.conv{place.unit + 1}"
    return {
        "stem.conv": "stem.1" if place.index else "stem.0.conv",
        "stem.after.norm": "stem.0.bn",
        "blocks.before.norm": f"{block}.norm",
        "blocks.units.before.norm": f"{unit}.norm",
        "blocks.units.depthwise": f"{unit}.conv_dw",
        "blocks.units.pointwise": f"{unit}.conv_pw",
        "blocks.shortcut.conv": f"{block}.shortcut",
        "head.classifier": "head.fc",
    }[place.role]
