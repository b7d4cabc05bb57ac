"""Norms folded into the convolutions before them, for inference: the same function in fewer operations."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from xception.models.blocks import Projection, ResidualBlock, StemConv2d
from xception.models.layers import SeparableConv2d
from xception.models.network import Xception

Position = tuple[Any, str]
"""A module, and the name of one of its parts."""


def with_folded_norms(network: Xception) -> Xception:
    """A copy in evaluation mode without the norms that directly follow a convolution.

    Norms are folded in float64, so that only the final rounding differs. Shortcuts are strided convolutions, which
    only training has to do without, see `Projection`.
    """
    copy = deepcopy(network).eval()
    for (owner, name), (slot, norm) in [*_pairs(copy)]:
        conv = fuse_conv_bn_eval(getattr(owner, name).double(), getattr(slot, norm).double())
        setattr(owner, name, conv.float())
        setattr(slot, norm, nn.Identity())
    for module in copy.modules():
        if isinstance(module, Projection):
            module.conv.stride, module.stride = (module.stride, module.stride), 1
    return copy


def _pairs(network: nn.Module) -> Iterator[tuple[Position, Position]]:
    """Each convolution with the norm that directly follows it."""
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            yield from _across_units(module)
        for name, slot, norm in _followers(module):
            if isinstance(getattr(slot, norm, None), nn.BatchNorm2d):
                yield (module, name), (slot, norm)


def _followers(module: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """A module's convolutions, each with the place where a norm would follow it."""
    if isinstance(module, StemConv2d):
        yield "conv", module.after, "norm"
    elif isinstance(module, Projection):
        yield "conv", module, "norm"
    elif isinstance(module, SeparableConv2d):
        first, last = _convolutions(module)
        yield first, module.between, "norm"
        yield last, module.after, "norm"


def _across_units(block: ResidualBlock) -> Iterator[tuple[Position, Position]]:
    """Convolutions that end a unit, with the norm that begins the next one."""
    for unit, following in pairwise(block.units):
        if isinstance(unit, SeparableConv2d) and not len(unit.after) and hasattr(following.before, "norm"):
            yield (unit, _convolutions(unit)[1]), (following.before, "norm")


def _convolutions(unit: SeparableConv2d) -> tuple[str, str]:
    return ("depthwise", "pointwise") if unit.depthwise_first else ("pointwise", "depthwise")
