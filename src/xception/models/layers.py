"""Separable convolutions and the small parts around them. Shapes are (N, C, H, W)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from xception.arch.spec import Norm, Pool, SeparableConv, Slot


def batch_norm(channels: int, norm: Norm) -> nn.BatchNorm2d:
    """Batch normalisation with the network's epsilon and momentum."""
    return nn.BatchNorm2d(channels, eps=norm.epsilon, momentum=norm.momentum)


class Filling(nn.Sequential):
    """The filling of a slot: nothing, a norm, an activation, or both."""

    def __init__(self, slot: Slot, channels: int, norm: Norm) -> None:
        super().__init__()
        if slot in ("norm", "norm_act"):
            self.add_module("norm", batch_norm(channels, norm))
        if slot in ("act", "norm_act"):
            # In place only behind a norm: otherwise the input also feeds the shortcut.
            self.add_module("act", nn.ReLU(inplace=slot == "norm_act"))


class SeparableConv2d(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution in the specified order, with the specified slots."""

    def __init__(self, spec: SeparableConv, norm: Norm) -> None:
        super().__init__()
        channels = spec.depthwise_channels
        self.depthwise_first = spec.order == "depthwise_first"
        self.before = Filling(spec.before, spec.in_channels, norm)
        self.depthwise = nn.Conv2d(
            channels, channels, 3, spec.stride, spec.dilation, spec.dilation, groups=channels, bias=False
        )
        self.between = Filling(spec.between, channels, norm)
        self.pointwise = nn.Conv2d(spec.in_channels, spec.out_channels, 1, bias=False)
        self.after = Filling(spec.after, spec.out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        if self.depthwise_first:
            x = self.pointwise(self.between(self.depthwise(x)))
        else:
            x = self.depthwise(self.between(self.pointwise(x)))
        return self.after(x)  # type: ignore[no-any-return]


class MaxPool2d(nn.Module):
    """3x3 max-pooling with symmetric or TensorFlow's 'same' padding."""

    def __init__(self, spec: Pool) -> None:
        super().__init__()
        self.stride = spec.stride
        self.same = spec.padding == "same" and spec.stride == 2

    def forward(self, x: Tensor) -> Tensor:
        if not self.same:
            return functional.max_pool2d(x, 3, self.stride, padding=1)
        # Odd sizes pad one pixel on both sides. Even ones pad only behind the end, which is the partial
        # window that `ceil_mode` adds; with odd sizes it adds none.
        padding = (x.shape[-2] % 2, x.shape[-1] % 2)
        return functional.max_pool2d(x, 3, self.stride, padding=padding, ceil_mode=True)


class DropPath(nn.Module):
    """Stochastic depth: in training, drops the residual branch of whole samples and rescales the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = torch.empty((len(x), 1, 1, 1), dtype=x.dtype, device=x.device).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)
