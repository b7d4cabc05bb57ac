"""Pointwise convolutions as products of matrices, for inference on a GPU: cuBLASLt adds the bias and the activation
as it writes the map, where torch's compiler, which does not look into convolutions, makes a pass of its own for them.
"""

from collections.abc import Sequence
from copy import deepcopy
from itertools import zip_longest

import torch
from torch import Tensor, nn

from xception.models.blocks import ResidualBlock
from xception.models.layers import SeparableConv2d
from xception.models.network import Xception


@torch.library.custom_op("xception::pointwise", mutates_args=())
def pointwise(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """A 1x1 convolution with bias, and an activation behind it if `relu`: (N, C, H, W) to (N, K, H, W), which lie as
    (N, H, W, C) in memory."""
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    if relu:
        out = torch._addmm_activation(bias, rows, weight.t(), use_gelu=False)
    else:
        out = torch.addmm(bias, rows, weight.t())
    return out.view(count, height, width, -1).permute(0, 3, 1, 2)


@pointwise.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:  # noqa: ARG001
    count, _, height, width = x.shape
    return x.new_empty((count, height, width, weight.shape[0])).permute(0, 3, 1, 2)


class Pointwise(nn.Module):
    """A folded pointwise convolution, with the activation behind it if `relu`."""

    def __init__(self, conv: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().flatten(1), requires_grad=False)
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.bias, self.relu = nn.Parameter(bias, requires_grad=False), relu

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias, self.relu)  # type: ignore[no-any-return]


def with_products(network: Xception) -> Xception:
    """A copy of a folded network whose depthwise-first units multiply matrices, with the activation of the unit behind
    them."""
    copy = deepcopy(network)
    for block in copy.modules():
        if isinstance(block, ResidualBlock):
            _replace([unit for unit in block.units if isinstance(unit, SeparableConv2d)])
    return copy


def _replace(units: Sequence[SeparableConv2d]) -> None:
    for unit, following in zip_longest(units, units[1:]):
        if not unit.depthwise_first:
            continue
        relu = _take_act(unit, "after") or (
            following is not None and not _real(unit.after) and _take_act(following, "before")
        )
        unit.add_module("pointwise", Pointwise(unit.pointwise, relu=relu))


def _take_act(unit: SeparableConv2d, slot: str) -> bool:
    """Empty a slot that holds an activation and nothing else; returns if there was such."""
    takes = only_acts(unit.get_submodule(slot))
    if takes:
        unit.add_module(slot, nn.Identity())
    return takes


def only_acts(slot: nn.Module) -> bool:
    """True if a slot holds an activation and nothing else."""
    return [type(module) for module in _real(slot)] == [nn.ReLU]


def _real(slot: nn.Module) -> list[nn.Module]:
    return [module for module in slot.children() if not isinstance(module, nn.Identity)]
