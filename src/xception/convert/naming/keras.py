"""Keras' names: those of its own network since Keras 2 and in Keras 1, and of the mini family, whose layers are
numbered by Keras.

A number that Keras gives depends on what was built before in the same process. Only the order of the numbers
means something, so `prepare_tensors` numbers the layers of each class anew, from none on ("conv2d", "conv2d_1", ...).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xception.arch.compute import tensors as tensors_of
from xception.arch.spec import Architecture
from xception.convert.naming.keras_order import named_in_order, short_key
from xception.convert.naming.rename import (
    HWIM,
    HWIO,
    IO,
    SAME,
    LayerPlace,
    Leaves,
    Tensors,
    UpstreamTensor,
    locate_layer,
    name_table,
    relabel,
)
from xception.errors import InputError

PUBLISHED_VARIANTS = ("keras_xception", "mini_xception", "mini48_xception", "tiny_xception", "big_xception")

KERAS_LEAVES: Leaves = {
    "conv.weight": ("/kernel", HWIO),
    "depthwise.weight": ("/depthwise_kernel", HWIM),
    "pointwise.weight": ("/pointwise_kernel", HWIO),
    "norm.weight": ("/gamma", SAME),
    "norm.bias": ("/beta", SAME),
    "norm.running_mean": ("/moving_mean", SAME),
    "norm.running_var": ("/moving_variance", SAME),
    "classifier.weight": ("/kernel", IO),
    "classifier.bias": ("/bias", SAME),
}
MINI_LEAVES: Leaves = {**KERAS_LEAVES, "classifier.weight": ("/kernel", HWIO)}

KERAS1_LEAVES: Mapping[str, str] = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",  # it holds the variance, whatever its name says
}
KERAS1_CLASSES: Mapping[str, str] = {
    "conv": "convolution2d",
    "depthwise": "separableconvolution2d",
    "pointwise": "separableconvolution2d",
    "norm": "batchnormalization",
    "classifier": "dense",
}

NUMBERED = re.compile(r"(conv2d|separable_conv2d|batch_normalization)(_\d{1,9})?")
NUMBER = re.compile(r"_(\d{1,9})$")


def tensor_names(architecture: Architecture) -> dict[str, UpstreamTensor]:
    """Names as a fresh process of Keras 3 gives them."""
    if architecture.name == "keras_xception":
        return name_table(architecture, lambda place: _layer_name(place, architecture), KERAS_LEAVES)
    return name_table(architecture, lambda place: _mini_layer_name(place, architecture), MINI_LEAVES)


def prepare_tensors(tensors: Tensors, architecture: Architecture) -> dict[str, np.ndarray]:
    """Shortens repeated paths, names layers that a file only places, gives those of Keras 1 their later names and
    numbers layers anew.

    Raises:
        InputError: in a file of Keras 1, the order of the layers contradicts their numbers.
    """
    names = tensor_names(architecture)
    plain = named_in_order(relabel(tensors, _short_key), names, architecture)
    layers = list(dict.fromkeys(key.partition("/")[0] for key in plain))
    if any(layer.startswith("convolution2d_") for layer in layers):
        new_names = _keras1_layers(layers, architecture)
    else:
        new_names = _numbered_anew(layers)

    def rename_layer(key: str) -> str:
        layer, slash, leaf = key.partition("/")
        return new_names.get(layer, layer) + slash + leaf

    return relabel(plain, rename_layer)


def _short_key(key: str) -> str:
    layer, slash, leaf = short_key(key).rpartition("/")
    return layer + slash + KERAS1_LEAVES.get(leaf, leaf)


def _numbered(kind: str, rank: int) -> str:
    return f"{kind}_{rank}" if rank else kind


def _numbered_anew(layers: list[str]) -> dict[str, str]:
    """New names for the layers that Keras numbered, counted from 0 in each class."""
    ranks: Counter[str] = Counter()
    new_names = {}
    for layer in sorted(layers, key=_number):
        if match := NUMBERED.fullmatch(layer):
            new_names[layer] = _numbered(match[1], ranks[match[1]])
            ranks[match[1]] += 1
    return new_names


def _layer_name(place: LayerPlace, architecture: Architecture) -> str:
    # Keras counts the stem as block 1. Only the shortcuts were left to be numbered.
    projected = [index for index, block in enumerate(architecture.blocks) if block.shortcut == "conv_norm"]
    rank = projected.index(place.index) if ".shortcut." in place.role else 0
    unit = f"block{place.index + 2}_sepconv{place.unit + 1}"
    return {
        "stem.conv": f"block1_conv{place.index + 1}",
        "stem.after.norm": f"block1_conv{place.index + 1}_bn",
        "blocks.units.depthwise": unit,
        "blocks.units.pointwise": unit,
        "blocks.units.after.norm": f"{unit}_bn",
        "blocks.shortcut.conv": _numbered("conv2d", rank),
        "blocks.shortcut.norm": _numbered("batch_normalization", rank),
        "head.classifier": "predictions",
    }[place.role]


def _mini_layer_name(place: LayerPlace, architecture: Architecture) -> str:
    # A block makes its shortcut first, then its units.
    unit = _numbered("separable_conv2d", 2 * place.index + place.unit)
    shortcut_norm = 2 + 3 * place.index
    stem_norm = _numbered("batch_normalization", place.index)
    unit_norm = _numbered("batch_normalization", shortcut_norm + 1 + place.unit)
    if architecture.name == "big_xception":
        shortcut_norm = place.index
        stem_norm = f"block1_conv{place.index + 1}_bn"
        unit_norm = f"block{place.index + 2}_sepconv{place.unit + 1}_bn"
    return {
        "stem.conv": _numbered("conv2d", place.index),
        "stem.after.norm": stem_norm,
        "blocks.units.depthwise": unit,
        "blocks.units.pointwise": unit,
        "blocks.units.after.norm": unit_norm,
        "blocks.shortcut.conv": _numbered("conv2d", 2 + place.index),
        "blocks.shortcut.norm": _numbered("batch_normalization", shortcut_norm),
        "head.classifier": _numbered("conv2d", 2 + len(architecture.blocks)),
    }[place.role]


@dataclass(frozen=True, slots=True)
class _Layer:
    name: str
    keras1_class: str
    place: LayerPlace


def _keras1_layers(layers: list[str], architecture: Architecture) -> dict[str, str]:
    """Names that later versions of Keras give to the layers of Keras 1, found in two ways that must agree.

    Neither is safe by itself: two norms of block 12 have equal shapes, so no check of shapes would notice a swap.
    """
    expected = _layers(architecture)
    by_order = dict(zip(layers, (layer.name for layer in expected), strict=False))
    by_number: dict[str, str] = {}
    for keras1_class in dict.fromkeys(KERAS1_CLASSES.values()):
        stored = sorted((name for name in layers if name.rpartition("_")[0] == keras1_class), key=_number)
        created = sorted((layer for layer in expected if layer.keras1_class == keras1_class), key=_creation)
        by_number.update(zip(stored, (layer.name for layer in created), strict=False))
    if by_order != by_number:
        raise InputError(
            "the layers of this Keras 1 file are not in the order in which Keras stores them, or their numbers do not "
            "follow the order in which Keras makes them; save the weights again from the model that Keras ships"
        )
    return by_order


def _layers(architecture: Architecture) -> list[_Layer]:
    """The network's layers in the order in which Keras stores them, which is the graph's."""
    found: dict[str, _Layer] = {}
    upstream = tensor_names(architecture)
    for tensor in tensors_of(architecture):
        place = locate_layer(tensor.rpartition(".")[0], architecture)
        name = upstream[tensor].name.partition("/")[0]
        found.setdefault(name, _Layer(name, KERAS1_CLASSES[place.kind], place))
    return list(found.values())


def _number(layer: str) -> int:
    match = NUMBER.search(layer)
    return int(match[1]) if match else 0


def _creation(layer: _Layer) -> tuple[int, bool]:
    """Sorts layers as Keras makes them, where those of a block start with its shortcut; sorting is stable."""
    return (layer.place.index if layer.place.flow else -1, ".shortcut." not in layer.place.role)
