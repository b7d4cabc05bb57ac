"""Stem, residual block and head. Shapes are (N, C, H, W) up to the head's (N, K) logits."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from xception.arch.spec import Block, Head, Norm, StemConv, check_class_maps
from xception.models.layers import DropPath, Filling, MaxPool2d, SeparableConv2d, batch_norm


class StemConv2d(nn.Module):
    """A plain 3x3 convolution and what follows it."""

    def __init__(self, spec: StemConv, norm: Norm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels, spec.out_channels, 3, spec.stride, spec.padding, bias=False)
        self.after = Filling(spec.after, spec.out_channels, norm)
        self.pool = MaxPool2d(spec.pool) if spec.pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.after(self.conv(x)))  # type: ignore[no-any-return]


class Projection(nn.Module):
    """The 1x1 convolution that fits a shortcut to its block's output."""

    def __init__(self, spec: Block, norm: Norm) -> None:
        super().__init__()
        self.stride = spec.stride
        self.conv = nn.Conv2d(spec.in_channels, spec.out_channels, 1, bias=False)
        self.norm = batch_norm(spec.out_channels, norm) if spec.shortcut == "conv_norm" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self._projected(x))  # type: ignore[no-any-return]

    def _projected(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return self.conv(x)  # type: ignore[no-any-return]
        if x.device.type != "cpu":
            return functional.conv2d(x, self.conv.weight, self.conv.bias, self.stride)
        # The pixels between strides are left out beforehand: the same function, but oneDNN (in torch 2.13) corrupts
        # memory in the backward pass of a strided 1x1 convolution over few channels, channels last, odd batch. Means
        # over single pixels leave them out, since a strided slice has a gradient in channels-first memory, which
        # makes a training step of `timm_xception` on a CPU a quarter slower.
        return self.conv(functional.avg_pool2d(x, 1, self.stride))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Separable convolutions, an optional pool, and a shortcut around them."""

    def __init__(self, spec: Block, norm: Norm, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.before = Filling(spec.before, spec.in_channels, norm)
        self.units = nn.Sequential(*(SeparableConv2d(unit, norm) for unit in spec.units))
        self.pool = MaxPool2d(spec.pool) if spec.pool else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)
        self.has_shortcut = spec.shortcut != "none"
        self.shortcut = Projection(spec, norm) if spec.shortcut in ("conv", "conv_norm") else nn.Identity()
        self.after = Filling(spec.after, spec.out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        main = self.pool(self.units(x))
        if self.has_shortcut:
            main = self.drop_path(main) + self.shortcut(x)
        return self.after(main)  # type: ignore[no-any-return]


class ClassifierHead(nn.Module):
    """Pooled feature maps to logits, or the same classifier at every position of the map; to embeddings without
    classes."""

    def __init__(self, spec: Head) -> None:
        super().__init__()
        self.spec = spec
        features = spec.pooled_features
        if spec.hidden_features is not None:
            self.hidden = nn.Linear(features, spec.hidden_features)
            features = spec.hidden_features
        self.classifier: nn.Conv2d | nn.Linear
        if spec.num_classes and spec.kind == "conv":
            self.classifier = nn.Conv2d(spec.in_channels, spec.num_classes, 3, padding=1)
        elif spec.num_classes:
            self.classifier = nn.Linear(features, spec.num_classes)

    def embed(self, features: Tensor) -> Tensor:
        """Feature maps (N, C, H, W) to embeddings (N, C), or (N, 2 C) where average and maximum stand in a row."""
        features, pooling = features * self.spec.feature_scale, self.spec.pooling
        if pooling == "avg":
            return features.mean((2, 3))
        if pooling == "max":
            return features.amax((2, 3))
        average, maximum = features.mean((2, 3)), features.amax((2, 3))
        return torch.cat((average, maximum), 1) if pooling == "catavgmax" else 0.5 * (average + maximum)

    def class_maps(self, features: Tensor) -> Tensor:
        """Feature maps (N, C, H, W) to class-activation maps (N, K, H, W), whose spatial mean is the logits.

        Raises:
            UsageError: a maximum or a hidden layer stands between the map and the classifier.
        """
        check_class_maps(self.spec)
        features = features * self.spec.feature_scale
        weight, bias = self.classifier.weight, self.classifier.bias
        if self.spec.kind == "conv":
            return functional.conv2d(features, weight, bias, padding=1)
        return functional.conv2d(features, weight[:, :, None, None], bias)

    def forward(self, features: Tensor) -> Tensor:
        spec = self.spec
        if spec.drop_on == "features" or spec.kind == "conv":
            features = functional.dropout(features, spec.drop_rate, self.training)
        if spec.kind == "conv" and spec.num_classes:
            return self.class_maps(features).mean((2, 3))
        embedding = self.embed(features)
        if spec.drop_on == "pooled":
            embedding = functional.dropout(embedding, spec.drop_rate, self.training)
        if not spec.num_classes:
            return embedding
        if spec.hidden_features is not None:
            embedding = functional.relu(self.hidden(embedding))
            embedding = functional.dropout(embedding, spec.drop_rate, self.training)
        return self.classifier(embedding)  # type: ignore[no-any-return]
