"""MindSpore's names: MindCV's network and the one in MindSpore's own repository of models."""

import numpy as np

from xception.arch.spec import Architecture
from xception.convert.naming.rename import SAME, LayerPlace, Leaves, Tensors, UpstreamTensor, name_table, relabel
from xception.convert.naming.timm import legacy

PUBLISHED_VARIANTS = ("mindcv_xception", "mindspore_xception")

MINDSPORE_LEAVES: Leaves = {
    "conv.weight": (".weight", SAME),
    "depthwise.weight": (".weight", SAME),
    "pointwise.weight": (".weight", SAME),
    "norm.weight": (".gamma", SAME),
    "norm.bias": (".beta", SAME),
    "norm.running_mean": (".moving_mean", SAME),
    "norm.running_var": (".moving_variance", SAME),
    "classifier.weight": (".weight", SAME),
    "classifier.bias": (".bias", SAME),
}

MINDSPORE_STATE = (
    "epoch_num",
    "step_num",
    "global_step",
    "learning_rate",
    "momentum",
    "weight_decay",
    "scale_sense",
)
OPTIMIZER_SLOTS = ("moments.", "moment1.", "moment2.", "accum.", "ema.")
"""Prefixes of a parameter's name in the optimizer's copies of it."""


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Names and layouts by canonical name."""
    return name_table(architecture, _mindcv if architecture.name == "mindcv_xception" else legacy, MINDSPORE_LEAVES)


def prepare_tensors(tensors: Tensors, _architecture: Architecture) -> dict[str, np.ndarray]:
    """Leaves out counters and the optimizer's state."""
    return relabel(tensors, lambda name: None if name in MINDSPORE_STATE or name.startswith(OPTIMIZER_SLOTS) else name)


def _mindcv(place: LayerPlace) -> str:
    name = legacy(place)
    if name == "fc":
        return "classifier"
    return name.replace(f"block{place.index + 1}.", f"blocks.{place.index}.")
