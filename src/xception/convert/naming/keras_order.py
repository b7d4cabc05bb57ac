"""Keras' paths to tensors, and layers of which a file of Keras tells no more than class and place.

Keras 3 stores layers as groups that are numbered per class in the order of the graph. Since 3.6 each also states its
layer's name; before, and in most files of weights that are spread over several, the number is all that is known of it,
and the reader calls the layer "conv2d:3". The graph's
order is that of Keras' own network, KerasHub's and zeromodels': a block's units come first and then its shortcut.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from xception.arch.compute import tensors as tensors_of
from xception.arch.spec import Architecture
from xception.convert.naming.rename import HWIM, HWIO, TensorLayout, Tensors, UpstreamTensor, relabel

# The layer, perhaps repeated with a number behind it, and the weight: "conv2d_1/conv2d_1_1/kernel:0".
KEY = re.compile(r"(?P<layer>[^/]+)/(?:(?P=layer)(?:_\d+)?/)*(?P<leaf>[^/:]+)(?::0)?")
PLACE_MARK = ":"
"""Stands between the class and the number of a layer without a name."""


def short_key(key: str) -> str:
    """The path without what it repeats, as "<layer>/<leaf>"."""
    match = KEY.fullmatch(key)
    return f"{match['layer']}/{match['leaf'].removeprefix(match['layer'] + '_')}" if match else key


def without_path(tensors: Tensors) -> dict[str, np.ndarray]:
    """The tensors by "<layer>/<leaf>"."""
    return relabel(tensors, short_key)


def named_in_order(
    tensors: Tensors, names: Mapping[str, UpstreamTensor], architecture: Architecture
) -> dict[str, np.ndarray]:
    """The tensors with the names of their layers, where the file tells only class and place.

    Args:
        tensors: the file's, by "<layer>/<leaf>".
        names: the source's names by canonical name.
        architecture: the network.
    """
    layers = dict.fromkeys(key.partition("/")[0] for key in tensors)
    placed = [layer for layer in layers if PLACE_MARK in layer]
    if not placed:
        return dict(tensors)
    known = {
        f"{kind}{PLACE_MARK}{i}": name for kind, found in _by_class(names, architecture).items() for i, name in found
    }
    named = {layer: known.get(layer, layer) for layer in placed}

    def rename_layer(key: str) -> str:
        layer, slash, leaf = key.partition("/")
        return named.get(layer, layer) + slash + leaf

    return relabel(tensors, rename_layer)


def _by_class(names: Mapping[str, UpstreamTensor], architecture: Architecture) -> dict[str, Iterable[tuple[int, str]]]:
    """Numbers and names of the layers in the order of the graph, by Keras' class."""
    found: dict[str, dict[str, None]] = {}
    for tensor in tensors_of(architecture):
        layer, _, leaf = names[tensor].name.partition("/")
        kind = _class(leaf, names[tensor].layout)
        if kind:
            found.setdefault(kind, {})[layer] = None
    return {kind: enumerate(layers) for kind, layers in found.items()}


def _class(leaf: str, layout: TensorLayout) -> str | None:
    """The class of a layer, told by its first weight."""
    if leaf == "kernel":
        return {HWIO: "conv2d", HWIM: "depthwise_conv2d"}.get(layout, "dense")
    return {"depthwise_kernel": "separable_conv2d", "gamma": "batch_normalization"}.get(leaf)
