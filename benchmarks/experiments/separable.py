"""Two kernels for the separable convolutions of a folded network, maps as (N, H, W, C): the depthwise one in Triton,
with the activation before it; the pointwise one by cuBLASLt, with its bias and the activation behind it.

Torch's compiler leaves bias and activation as a pass of their own over each map, since it does not look into
convolutions. Both are operators of torch, so that the compiler takes them as they are.
"""

from collections.abc import Sequence
from copy import deepcopy
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.nn import functional

from xception.models.blocks import ResidualBlock
from xception.models.layers import SeparableConv2d
from xception.models.network import Xception


class Tile:
    """The part of a map that one program of the depthwise kernel computes."""

    def __init__(self, pixels: int, channels: int, rows: int, warps: int) -> None:
        self.pixels, self.channels, self.rows, self.warps = pixels, channels, rows, warps


TILES = {"small": Tile(8, 64, 8, 2), "wide": Tile(16, 64, 8, 4), "deep": Tile(4, 128, 8, 2)}


@torch.library.custom_op("xception::pointwise", mutates_args=())
def pointwise(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """A 1x1 convolution with bias, and an activation if `relu`."""
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    if relu:
        out = torch._addmm_activation(bias, rows, weight.t(), use_gelu=False)
    else:
        out = torch.addmm(bias, rows, weight.t())
    return out.view(count, height, width, -1).permute(0, 3, 1, 2)


@pointwise.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:  # noqa: ARG001 - the operator's own arguments
    count, _, height, width = x.shape
    return x.new_empty((count, height, width, weight.shape[0])).permute(0, 3, 1, 2)


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

    part = TILES[tile]
    return launch(x, weight, relu, part.pixels, part.channels, part.rows, part.warps)


@depthwise.register_fake
def _(x: Tensor, weight: Tensor, relu: bool, tile: str) -> Tensor:  # noqa: ARG001 - the operator's own arguments
    count, channels, height, width = x.shape
    return x.new_empty((count, height, width, channels)).permute(0, 3, 1, 2)


class Pointwise(nn.Module):
    """A folded pointwise convolution, with the activation behind it if `relu`."""

    def __init__(self, conv: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().flatten(1), requires_grad=False)
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.bias, self.relu = nn.Parameter(bias, requires_grad=False), relu

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias, self.relu)


class Depthwise(nn.Module):
    """A depthwise convolution with the activation before it if `relu`."""

    def __init__(self, conv: nn.Conv2d, tile: str, *, relu: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().flatten(1).t().contiguous(), requires_grad=False)
        self.tile, self.relu = tile, relu

    def forward(self, x: Tensor) -> Tensor:
        return depthwise(x, self.weight, self.relu, self.tile)


def with_own_kernels(network: Xception, tile: str | None = None) -> Xception:
    """A copy of a folded network with the pointwise operator; with a `tile`, also with the depthwise one."""
    copy = deepcopy(network)
    for block in copy.modules():
        if isinstance(block, ResidualBlock):
            _replace([unit for unit in block.units if isinstance(unit, SeparableConv2d)], tile)
    return copy


def _replace(units: Sequence[SeparableConv2d], tile: str | None) -> None:
    for unit, following in zip_longest(units, units[1:]):
        if not unit.depthwise_first:
            continue
        takes_act = tile is None and following is not None and _only_acts(following.before) and not _real(unit.after)
        if takes_act:
            following.add_module("before", nn.Identity())
        unit.add_module("pointwise", Pointwise(unit.pointwise, relu=takes_act))
        if tile and _fits(unit.depthwise):
            acts = _only_acts(unit.before)
            unit.add_module("depthwise", Depthwise(unit.depthwise, tile, relu=acts))
            if acts:
                unit.add_module("before", nn.Identity())


def _only_acts(slot: nn.Module) -> bool:
    return [type(module) for module in _real(slot)] == [nn.ReLU]


def _fits(conv: nn.Conv2d) -> bool:
    """True if the depthwise kernel computes such a convolution."""
    return conv.stride == conv.dilation == (1, 1) and conv.bias is None and conv.in_channels % 8 == 0


def _real(slot: nn.Module) -> list[nn.Module]:
    return [module for module in slot.children() if not isinstance(module, nn.Identity)]
