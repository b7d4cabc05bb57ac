"""zeromodels' names of timm's aligned and pre-activation networks, which it writes as flat models of Keras 3."""

import numpy as np

from xception.arch.spec import Architecture
from xception.convert.naming.keras import KERAS_LEAVES
from xception.convert.naming.keras_order import named_in_order, without_path
from xception.convert.naming.rename import HWIM, LayerPlace, Leaves, Tensors, UpstreamTensor, name_table

PUBLISHED_VARIANTS = (
    "timm_xception41",
    "timm_xception41p",
    "timm_xception65",
    "timm_xception65p",
    "timm_xception71",
)

# A layer of its own for each of the two convolutions, both with one kernel.
ZEROMODELS_LEAVES: Leaves = {
    **KERAS_LEAVES,
    "depthwise.weight": ("/kernel", HWIM),
    "pointwise.weight": KERAS_LEAVES["conv.weight"],
}


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Names and layouts by canonical name."""
    return name_table(architecture, _layer_name, ZEROMODELS_LEAVES)


def prepare_tensors(tensors: Tensors, architecture: Architecture) -> dict[str, np.ndarray]:
    """Shortens repeated paths, and names the layers of files that only number them."""
    return named_in_order(without_path(tensors), tensor_names(architecture), architecture)


def _layer_name(place: LayerPlace) -> str:
    block = f"block_{place.index}"
    unit = f"{block}_stack_conv{place.unit + 1}"
    return {
        "stem.conv": f"stem_{place.index}_conv",
        "stem.after.norm": f"stem_{place.index}_bn",
        "blocks.before.norm": f"{block}_norm_bn",
        "blocks.units.before.norm": f"{unit}_norm_bn",
        "blocks.units.depthwise": f"{unit}_dwconv",
        "blocks.units.between.norm": f"{unit}_bn_dw",
        "blocks.units.pointwise": f"{unit}_conv_pw",
        "blocks.units.after.norm": f"{unit}_bn_pw",
        "blocks.shortcut.conv": f"{block}_shortcut_conv",
        "blocks.shortcut.norm": f"{block}_shortcut_bn",
        "head.classifier": "predictions",
    }[place.role]
