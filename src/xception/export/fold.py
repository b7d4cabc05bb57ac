"""Batch normalisation folded into the convolution before it: the same function in fewer operations."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from xception.arch.arithmetic import norm_as_affine
from xception.arch.graph import Add, BatchNorm, Concat, Conv, Node, unfold
from xception.arch.spec import Architecture

FoldedTensors = dict[str, np.ndarray]


def folded_nodes(architecture: Architecture) -> tuple[tuple[Node, ...], dict[str, BatchNorm]]:
    """The graph without the norms that directly follow a convolution, and those norms by its name.

    A norm stays where something else also reads the convolution, or where it follows no convolution.
    """
    nodes = {node.name: node for node in unfold(architecture)}
    readers = Counter(source for node in nodes.values() for source in _sources(node))
    out: dict[str, Node] = {}
    norms: dict[str, BatchNorm] = {}
    renamed: dict[str, str] = {}
    for node in nodes.values():
        before = nodes.get(node.source)
        if isinstance(node, BatchNorm) and isinstance(before, Conv) and readers[before.name] == 1:
            out[before.name] = replace(before, source=renamed.get(before.source, before.source), bias=True)
            norms[before.name] = node
            renamed[node.name] = before.name
        else:
            out[node.name] = _rewired(node, renamed)
    return tuple(out.values()), norms


def folded(architecture: Architecture, tensors: Mapping[str, np.ndarray]) -> tuple[tuple[Node, ...], FoldedTensors]:
    """The graph of `folded_nodes` and its float32 tensors.

    Computed in float64, so that only the final rounding differs from the unfolded network.
    """
    nodes, norms = folded_nodes(architecture)
    values: FoldedTensors = {}
    for node in nodes:
        if norm := norms.get(node.name):
            weight, bias = _fold(norm, tensors, tensors[f"{node.name}.weight"])
            values |= {f"{node.name}.weight": weight, f"{node.name}.bias": bias}
        else:
            values |= {name: value for name, value in tensors.items() if name.rpartition(".")[0] == node.name}
    return nodes, values


NORM_LEAVES = ("weight", "bias", "running_mean", "running_var")


def affine(norm: BatchNorm, tensors: Mapping[str, np.ndarray]) -> FoldedTensors:
    """A norm with stored statistics as `value * factor + shift` per channel, float32."""
    factor, shift = _affine(norm, tensors)
    return {"factor": factor.astype(np.float32), "shift": shift.astype(np.float32)}


def _affine(norm: BatchNorm, tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    weight, bias, mean, variance = (tensors[f"{norm.name}.{leaf}"] for leaf in NORM_LEAVES)
    return norm_as_affine(weight, bias, mean, variance, norm.epsilon)


def _fold(norm: BatchNorm, tensors: Mapping[str, np.ndarray], kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    factor, shift = _affine(norm, tensors)
    weight = kernel.astype(np.float64) * factor[:, None, None, None]
    return weight.astype(np.float32), shift.astype(np.float32)


def _rewired(node: Node, renamed: Mapping[str, str]) -> Node:
    node = replace(node, source=renamed.get(node.source, node.source))
    return replace(node, other=renamed.get(node.other, node.other)) if isinstance(node, Add | Concat) else node


def _sources(node: Node) -> tuple[str, ...]:
    return (node.source, node.other) if isinstance(node, Add | Concat) else (node.source,)
