"""The cost of a specification: tensors, parameters, feature-map sizes, multiply-accumulates. Pure arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from xception.arch.graph import (
    INPUT,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Node,
    Relu,
    Scale,
    unfold,
)
from xception.arch.spec import Architecture
from xception.errors import UsageError

Shape = tuple[int, ...]
FlopsConvention = Literal["macs", "fvcore", "paddle", "seed-table"]

STEM_WEIGHT = "stem.0.conv.weight"
CLASSIFIER_WEIGHT, CLASSIFIER_BIAS = "head.classifier.weight", "head.classifier.bias"
"""Canonical names that every network of any classes has."""

HIDDEN_WEIGHT, HIDDEN_BIAS = "head.hidden.weight", "head.hidden.bias"
"""Canonical names of the layer between pooling and classifier, which few networks have."""

NORM_PARAMETERS = ("weight", "bias")
NORM_BUFFERS = ("running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Counts for one image. `macs` counts convolutions and linear layers; `norm_elements` the numbers that
    pass through a batch normalisation; `activations` the numbers that convolutions write."""

    parameters: int
    buffers: int
    macs: int
    norm_elements: int
    activations: int


def tensors(architecture: Architecture) -> dict[str, Shape]:
    """Names and shapes of all learned tensors and batch statistics, in graph order."""
    return {f"{node.name}.{leaf}": shape for node in unfold(architecture) for leaf, shape in _leaves(node)}


def _leaves(node: Node) -> Iterator[tuple[str, Shape]]:
    match node:
        case Conv():
            yield "weight", (node.out_channels, node.in_channels // node.groups, node.kernel, node.kernel)
            if node.bias:
                yield "bias", (node.out_channels,)
        case BatchNorm():
            for leaf in (*NORM_PARAMETERS, *NORM_BUFFERS):
                yield leaf, (node.channels,)
        case Dense():
            yield "weight", (node.out_features, node.in_features)
            yield "bias", (node.out_features,)
        case _:
            return


def output_shapes(architecture: Architecture, height_px: int, width_px: int) -> dict[str, Shape]:
    """Shape of every node's output for one image, without the batch axis: (C, H, W), or (K,) behind the pool.

    Raises:
        UsageError: the image is too small for the network.
    """
    shapes: dict[str, Shape] = {INPUT: (architecture.in_channels, height_px, width_px)}
    for node in unfold(architecture):
        shapes[node.name] = _output_shape(node, shapes[node.source])
        if min(shapes[node.name]) < 1:
            raise UsageError(
                f"an image of {height_px}x{width_px} px is too small for {architecture.name}: "
                f"nothing is left at {node.name}"
            )
    return shapes


def _output_shape(node: Node, shape: Shape) -> Shape:
    match node:
        case Conv():
            reach = node.dilation * (node.kernel - 1) + 1 - 2 * node.padding
            return (node.out_channels, *((px - reach) // node.stride + 1 for px in shape[1:]))
        case MaxPool():
            return (shape[0], *((px - 1) // node.stride + 1 for px in shape[1:]))
        case GlobalAveragePool() | GlobalMaxPool():
            return shape[:1]
        case Concat():
            return (2 * shape[0],)
        case Dense():
            return (node.out_features,)
        case BatchNorm() | Relu() | Add() | Scale():
            return shape


def cost(architecture: Architecture, height_px: int | None = None, width_px: int | None = None) -> Cost:
    """Counts at an image size; by default the variant's own.

    Raises:
        UsageError: the image is too small for the network.
    """
    height = height_px or architecture.input_px
    shapes = output_shapes(architecture, height, width_px or height)
    nodes = unfold(architecture)
    convs = [node for node in nodes if isinstance(node, Conv)]
    shapes_by_leaf = tensors(architecture)
    buffers = sum(prod(shape) for name, shape in shapes_by_leaf.items() if name.endswith(NORM_BUFFERS))
    return Cost(
        parameters=sum(map(prod, shapes_by_leaf.values())) - buffers,
        buffers=buffers,
        macs=sum(macs(node, shapes[node.name]) for node in nodes),
        norm_elements=sum(prod(shapes[node.name]) for node in nodes if isinstance(node, BatchNorm)),
        activations=sum(prod(shapes[node.name]) for node in convs),
    )


def macs(node: Node, output: Shape) -> int:
    """Multiply-accumulates of one node for one image, whose output has this shape."""
    match node:
        case Conv():
            return prod(output) * (node.in_channels // node.groups) * node.kernel**2
        case Dense():
            return node.in_features * node.out_features
        case _:
            return 0


def flops(architecture: Architecture, convention: FlopsConvention = "macs", height_px: int | None = None) -> float:
    """Operations for one image as a source counts them, so that published columns can be compared.

    - `macs`: multiply-accumulates of convolutions and linear layers.
    - `fvcore` (timm's benchmark tables): `macs`, 2 for every batch-normalised number, 1 for every pooled one.
    - `paddle` (PaddleClas' tables): the same, and 1 more for every average.
    - `seed-table` (deployment guides): `paddle` for Paddle's networks; for all others twice what the tool
      `thop` counts at 224 px in units of 10^6, whatever input size the table states. It counts `macs` and
      4 for every number normalised by a plain batch norm, and overlooks timm's fused norm-activation.

    Raises:
        UsageError: the image is too small for the network.
    """
    own = cost(architecture, height_px)
    height = height_px or architecture.input_px
    pooled = prod(output_shapes(architecture, height, height)[_pooled_map(architecture)])
    match convention:
        case "macs":
            return own.macs
        case "fvcore":
            return own.macs + 2 * own.norm_elements + pooled
        case "paddle":
            return own.macs + 2 * own.norm_elements + pooled + architecture.head.in_channels
        case "seed-table" if architecture.source == "paddleclas":
            return flops(architecture, "paddle")
        case "seed-table":
            return 2 * round(_thop(architecture, 224) / 1e6) * 1e6


def _pooled_map(architecture: Architecture) -> str:
    return next(node.source for node in unfold(architecture) if isinstance(node, GlobalAveragePool | GlobalMaxPool))


def _thop(architecture: Architecture, px: int) -> int:
    shapes = output_shapes(architecture, px, px)
    norms = [
        node.name for node in unfold(architecture) if isinstance(node, BatchNorm) and _is_plain(node, architecture)
    ]
    return cost(architecture, px).macs + 4 * sum(prod(shapes[name]) for name in norms)


def _is_plain(node: BatchNorm, architecture: Architecture) -> bool:
    """True if upstream uses a plain batch norm here: timm's strided networks do so only behind the
    convolutions of separable units, everything else there is a fused norm-activation."""
    if any(block.pool for block in architecture.blocks):
        return True
    return ".units." in node.name and not node.name.endswith(".before.norm")
