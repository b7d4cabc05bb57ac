"""lucid's names of timm's `legacy_xception`, which differ in the classifier's."""

import numpy as np

from xception.arch.spec import Architecture
from xception.convert.naming.rename import LayerPlace, Tensors, UpstreamTensor, name_table, relabel
from xception.convert.naming.timm import TIMM_LEAVES, legacy

PUBLISHED_VARIANTS = ("timm_xception",)


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Names and layouts by canonical name."""
    return name_table(architecture, _layer_name, TIMM_LEAVES)


def prepare_tensors(tensors: Tensors, _architecture: Architecture) -> dict[str, np.ndarray]:
    """Leaves out batch counters, and names the classifier alike with and without a dropout in front of it."""
    return relabel(tensors, _modern)


def _modern(name: str) -> str | None:
    if name.endswith("num_batches_tracked"):
        return None
    return name.replace("classifier.1.", "classifier.")


def _layer_name(place: LayerPlace) -> str:
    return legacy(place).replace("fc", "classifier")
