"""TF-slim's names for the aligned networks, which are the same functions as timm's."""

import numpy as np

from xception.arch.spec import Architecture
from xception.convert.naming.rename import (
    HWIM,
    HWIO,
    HWIO_DENSE,
    SAME,
    LayerPlace,
    Leaves,
    Tensors,
    UpstreamTensor,
    name_table,
    relabel,
)

PUBLISHED_VARIANTS = ("timm_xception41", "timm_xception65", "timm_xception71")

SLIM_LEAVES: Leaves = {
    "conv.weight": ("/weights", HWIO),
    "depthwise.weight": ("/depthwise_weights", HWIM),
    "pointwise.weight": ("/weights", HWIO),
    "norm.weight": ("/BatchNorm/gamma", SAME),
    "norm.bias": ("/BatchNorm/beta", SAME),
    "norm.running_mean": ("/BatchNorm/moving_mean", SAME),
    "norm.running_var": ("/BatchNorm/moving_variance", SAME),
    "classifier.weight": ("/weights", HWIO_DENSE),
    "classifier.bias": ("/biases", SAME),
}

SLIM_TRAINING_STATE = ("/Momentum", "/RMSProp", "/RMSProp_1", "/Adam", "/Adam_1", "/ExponentialMovingAverage")


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Names and layouts by canonical name."""
    scope = f"xception_{architecture.name[-2:]}"
    return name_table(architecture, lambda place: f"{scope}/{_layer_name(place)}", SLIM_LEAVES)


def prepare_tensors(tensors: Tensors, architecture: Architecture) -> dict[str, np.ndarray]:
    """Leaves out counters, the optimizer's state and the background class, which files for ImageNet have in front
    of the 1,000 others."""
    kept = relabel(tensors, lambda name: None if name == "global_step" or name.endswith(SLIM_TRAINING_STATE) else name)
    return {name: _without_background(name, value, architecture.num_classes) for name, value in kept.items()}


def _without_background(name: str, value: np.ndarray, num_classes: int) -> np.ndarray:
    has_background = "/logits/" in name and value.shape[-1:] == (num_classes + 1,)
    return value[..., 1:] if has_background else value


def _layer_name(place: LayerPlace) -> str:
    block = f"{place.flow}_flow/block{place.nth + 1}/unit_1"
    if place.flow == "middle":
        block = f"middle_flow/block1/unit_{place.nth + 1}"
    module = f"{block}/xception_module"
    unit = f"{module}/separable_conv{place.unit + 1}"
    stem = f"entry_flow/conv1_{place.index + 1}"
    return {
        "stem.conv": stem,
        "stem.after.norm": stem,
        "blocks.units.depthwise": f"{unit}_depthwise",
        "blocks.units.between.norm": f"{unit}_depthwise",
        "blocks.units.pointwise": f"{unit}_pointwise",
        "blocks.units.after.norm": f"{unit}_pointwise",
        "blocks.shortcut.conv": f"{module}/shortcut",
        "blocks.shortcut.norm": f"{module}/shortcut",
        "head.classifier": "logits",
    }[place.role]
