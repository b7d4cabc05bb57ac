"""The names of Gluon's aligned network in timm up to 0.6."""

import numpy as np

from xception.arch.spec import Architecture
from xception.convert.naming.rename import LayerPlace, Tensors, UpstreamTensor, name_table
from xception.convert.naming.timm import TIMM_LEAVES
from xception.convert.naming.timm import prepare_tensors as prepare_timm

PUBLISHED_VARIANTS = ("gluon_xception65",)


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Names and layouts by canonical name."""
    return name_table(architecture, _layer_name, TIMM_LEAVES)


def prepare_tensors(tensors: Tensors, architecture: Architecture) -> dict[str, np.ndarray]:
    """Strips wrappers and batch counters."""
    return prepare_timm(tensors, architecture)


def _layer_name(place: LayerPlace) -> str:
    block = f"block{place.index + 1}"
    if place.flow == "middle":
        block = f"mid.{block}"
    unit, norm = f"{block}.rep.conv{place.unit + 1}", f"{block}.rep.bn{place.unit + 1}"
    if place.is_tail:
        unit, norm = f"conv{place.unit + 3}", f"bn{place.unit + 3}"
    return {
        "stem.conv": f"conv{place.index + 1}",
        "stem.after.norm": f"bn{place.index + 1}",
        "blocks.units.depthwise": f"{unit}.conv_dw",
        "blocks.units.between.norm": f"{unit}.bn",
        "blocks.units.pointwise": f"{unit}.conv_pw",
        "blocks.units.after.norm": norm,
        "blocks.shortcut.conv": f"{block}.skip.conv1",
        "blocks.shortcut.norm": f"{block}.skip.bn1",
        "head.classifier": "fc",
    }[place.role]
