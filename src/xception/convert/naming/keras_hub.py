"""KerasHub's names of Keras' own network: all of its layers have names, the shortcuts' too."""

import numpy as np

from xception.arch.spec import Architecture
from xception.convert.naming.keras import KERAS_LEAVES
from xception.convert.naming.keras_order import named_in_order, without_path
from xception.convert.naming.rename import LayerPlace, Tensors, UpstreamTensor, name_table

PUBLISHED_VARIANTS = ("keras_xception",)


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Names and layouts by canonical name."""
    return name_table(architecture, _layer_name, KERAS_LEAVES)


def prepare_tensors(tensors: Tensors, architecture: Architecture) -> dict[str, np.ndarray]:
    """Shortens repeated paths, and names the layers of files that only number them."""
    return named_in_order(without_path(tensors), tensor_names(architecture), architecture)


def _layer_name(place: LayerPlace) -> str:
    # The stem is block 1.
    block = f"block{place.index + 2}"
    unit = f"{block}_sepconv{place.unit + 1}"
    return {
        "stem.conv": f"block1_conv{place.index + 1}",
        "stem.after.norm": f"block1_conv{place.index + 1}_bn",
        "blocks.units.depthwise": unit,
        "blocks.units.pointwise": unit,
        "blocks.units.after.norm": f"{unit}_bn",
        "blocks.shortcut.conv": f"{block}_residual_conv",
        "blocks.shortcut.norm": f"{block}_residual_bn",
        "head.classifier": "predictions",
    }[place.role]
