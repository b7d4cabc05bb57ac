"""A kernel for the depthwise convolutions of a folded network, maps as (N, H, W, C), in Triton, with the activation
before it; and pointwise ones as products of matrices. Both are operators of torch, which its compiler takes as they
are."""

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from xception.models.layers import SeparableConv2d
from xception.models.network import Xception
from xception.models.products import Pointwise, only_acts


class Tile(NamedTuple):
    """The part of a map that one program of the depthwise kernel computes."""

    pixels: int
    channels: int
    rows: int
    warps: int


TILES = {"small": Tile(8, 64, 8, 2), "wide": Tile(16, 64, 8, 4), "deep": Tile(4, 128, 8, 2)}


@torch.library.custom_op("xception::depthwise", mutates_args=())
def depthwise(x: Tensor, weight: Tensor, relu: bool, tile: str) -> Tensor:
    """A 3x3 convolution of each channel by itself, of stride one and with zeros around, behind an activation if `relu`.

    Args:
        x: (N, C, H, W), channels last in memory.
        weight: (9, C).
        relu: with an activation before it.
        tile: a key of `TILES`.
    """
    if x.device.type == "cpu":
        kernel = weight.t().reshape(-1, 1, 3, 3)
        out = functional.conv2d(functional.relu(x) if relu else x, kernel, padding=1, groups=len(kernel))
        return out.contiguous(memory_format=torch.channels_last)
    from benchmarks.experiments.separable_kernel import launch

    return launch(x, weight, relu, *TILES[tile])


@depthwise.register_fake
def _(x: Tensor, weight: Tensor, relu: bool, tile: str) -> Tensor:  # noqa: ARG001 - the operator's own arguments
    count, channels, height, width = x.shape
    return x.new_empty((count, height, width, channels)).permute(0, 3, 1, 2)


class Depthwise(nn.Module):
    """A depthwise convolution with the activation before it if `relu`."""

    def __init__(self, conv: nn.Conv2d, tile: str, *, relu: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().flatten(1).t().contiguous(), requires_grad=False)
        self.tile, self.relu = tile, relu

    def forward(self, x: Tensor) -> Tensor:
        return depthwise(x, self.weight, self.relu, self.tile)


def with_own_kernels(network: Xception, tile: str) -> Xception:
    """A copy of a folded network with both operators."""
    copy = deepcopy(network)
    for unit in copy.modules():
        if isinstance(unit, SeparableConv2d) and unit.depthwise_first:
            _replace(unit, tile)
    return copy


def _replace(unit: SeparableConv2d, tile: str) -> None:
    unit.add_module("pointwise", Pointwise(unit.pointwise, relu=False))
    if _fits(unit.depthwise):
        acts = only_acts(unit.before)
        unit.add_module("depthwise", Depthwise(unit.depthwise, tile, relu=acts))
        if acts:
            unit.add_module("before", nn.Identity())


def _fits(conv: nn.Conv2d) -> bool:
    """True if the depthwise kernel computes such a convolution."""
    return conv.stride == conv.dilation == (1, 1) and conv.bias is None and conv.in_channels % 8 == 0
