"""The anatomy of every Xception: a stem, residual blocks of separable convolutions, and a head.

Four arrangements hide behind the word "separable convolution". Here they are one dataclass with three
slots (before, between and after the two convolutions), each of which holds nothing, an activation, a
normalisation, or both; every published network is a filling of these slots.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Literal, get_args

from xception.errors import UsageError

Slot = Literal["none", "act", "norm", "norm_act"]
Order = Literal["depthwise_first", "pointwise_first"]
Shortcut = Literal["none", "identity", "conv", "conv_norm"]
PoolPadding = Literal["symmetric", "same"]
Pooling = Literal["avg", "max", "avgmax", "catavgmax"]
Flow = Literal["entry", "middle", "exit"]
Initialization = Literal["torch", "kaiming_fan_out", "keras", "mindcv", "mindspore_zoo", "paddle", "paddle_deeplab"]

OUTPUT_STRIDES = (8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class SeparableConv:
    """A 3x3 depthwise and a 1x1 pointwise convolution, both without bias, and what stands around them.

    `stride` and `dilation` belong to the depthwise convolution, which pads by its dilation on every side.
    """

    in_channels: int
    out_channels: int
    stride: int = 1
    dilation: int = 1
    order: Order = "depthwise_first"
    before: Slot = "none"
    between: Slot = "none"
    after: Slot = "norm"

    @property
    def depthwise_channels(self) -> int:
        """Channels that the depthwise convolution, and so the slot between the two, sees."""
        return self.in_channels if self.order == "depthwise_first" else self.out_channels


@dataclass(frozen=True, kw_only=True)
class Pool:
    """3x3 max-pooling. `same` is TensorFlow's rule: one pixel on every side of an odd map, but only at the
    bottom and right of an even one; `symmetric` always pads every side. Padding never wins the maximum."""

    stride: int
    padding: PoolPadding


@dataclass(frozen=True, kw_only=True)
class StemConv:
    """A plain 3x3 convolution without bias, and the pool that may stand at its end; `padding` in pixels on every
    side."""

    in_channels: int
    out_channels: int
    stride: int = 1
    padding: int = 0
    after: Slot = "norm_act"
    pool: Pool | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """Separable convolutions, an optional pool, and a shortcut around them that is added at the end.

    `before` acts on the input of both paths, `after` on the sum. `flow` is the paper's term.
    """

    flow: Flow
    units: tuple[SeparableConv, ...]
    shortcut: Shortcut
    pool: Pool | None = None
    before: Slot = "none"
    after: Slot = "none"

    @property
    def in_channels(self) -> int:
        return self.units[0].in_channels

    @property
    def out_channels(self) -> int:
        return self.units[-1].out_channels

    @property
    def stride(self) -> int:
        """Down-sampling of the whole block, by its pool or by its last depthwise convolution."""
        return self.pool.stride if self.pool else self.units[-1].stride


@dataclass(frozen=True, kw_only=True)
class Head:
    """The way from feature maps to logits, or to embeddings where there is no classifier.

    `dense`: global pooling, then a linear layer. `conv`: a padded 3x3 convolution with bias, then global average
    pooling. `feature_scale` multiplies the feature maps, in training and inference alike.

    Attributes:
        num_classes: outputs of the classifier; 0 for a head that ends with the pooling, whose result is the embedding.
        pooling: the pooling in front of a dense classifier: the average or the maximum of each channel, the mean of
            the two, or both in a row, the averages first.
        hidden_features: outputs of a linear layer with a ReLU between pooling and dense classifier; None without it.
    """

    kind: Literal["dense", "conv"]
    in_channels: int
    num_classes: int
    feature_scale: float = 1.0
    drop_rate: float = 0.0
    drop_on: Literal["pooled", "features"] = "pooled"
    pooling: Pooling = "avg"
    hidden_features: int | None = None

    @property
    def pooled_features(self) -> int:
        """Numbers that describe an image behind the pooling."""
        return self.in_channels * (2 if self.pooling == "catavgmax" else 1)

    @property
    def num_outputs(self) -> int:
        """Numbers that the network answers with: a logit of each class, or the embedding."""
        return self.num_classes or self.pooled_features

    @property
    def has_class_maps(self) -> bool:
        """True if the logits are the mean of the classifier's answers at every position."""
        return self.num_classes > 0 and self.pooling == "avg" and self.hidden_features is None


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Batch normalisation; `momentum` in torch's sense (weight of the new batch)."""

    epsilon: float
    momentum: float


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network, completely: two of these that are equal compute the same function of the same tensors."""

    name: str
    source: str
    input_px: int
    stem: tuple[StemConv, ...]
    blocks: tuple[Block, ...]
    head: Head
    norm: Norm
    initialization: Initialization
    drop_path_rate: float = 0.0

    @property
    def in_channels(self) -> int:
        return self.stem[0].in_channels

    @property
    def num_classes(self) -> int:
        return self.head.num_classes

    @property
    def stem_stride(self) -> int:
        """Input pixels per pixel of the stem's map."""
        return prod(conv.stride * (conv.pool.stride if conv.pool else 1) for conv in self.stem)

    @property
    def output_stride(self) -> int:
        """Input pixels per feature-map pixel."""
        return self.stem_stride * prod(block.stride for block in self.blocks)


def with_classes(architecture: Architecture, num_classes: int) -> Architecture:
    """The same network with another number of classes; with 0, its answer is the embedding.

    Raises:
        UsageError: fewer than no classes, or none behind a hidden layer.
    """
    if num_classes < 0:
        raise UsageError(f"num_classes is {num_classes}; expected at least 1, or 0 for embeddings")
    if not num_classes and architecture.head.hidden_features is not None:
        raise UsageError("a head without classes has no hidden layer; leave hidden_features out")
    return replace(architecture, head=replace(architecture.head, num_classes=num_classes))


def with_head(architecture: Architecture, pooling: Pooling | None, hidden_features: int | None) -> Architecture:
    """The same network with another pooling, or with a hidden layer before the classifier; None keeps what there is.

    Raises:
        UsageError: no such pooling, fewer than one hidden feature, or a classifier that is a convolution.
    """
    if pooling not in (None, *get_args(Pooling)):
        raise UsageError(f"the pooling is {pooling!r}; expected {', '.join(get_args(Pooling))}")
    if hidden_features is not None and hidden_features < 1:
        raise UsageError(f"hidden_features is {hidden_features}; expected at least 1")
    head = replace(
        architecture.head,
        pooling=pooling or architecture.head.pooling,
        hidden_features=architecture.head.hidden_features if hidden_features is None else hidden_features,
    )
    if head.kind == "conv" and not head.has_class_maps:
        raise UsageError(
            f"the classifier of {architecture.name} is a convolution, which averages its answers; "
            "expected the pooling 'avg' and no hidden layer"
        )
    return replace(architecture, head=head)


def check_class_maps(head: Head) -> None:
    """Refuse a head whose logits are no mean over positions.

    Raises:
        UsageError: it has no classes, pools by a maximum, or has a hidden layer.
    """
    if not head.num_classes:
        raise UsageError("a network without classes has no class maps; expected one with a classifier")
    if not head.has_class_maps:
        hidden = " with a hidden layer" if head.hidden_features is not None else ""
        raise UsageError(
            f"a head of the pooling {head.pooling!r}{hidden} has no class maps: its logits are no mean over positions; "
            "expected average pooling right before the classifier"
        )


def with_in_channels(architecture: Architecture, in_channels: int) -> Architecture:
    """The same network for images of another number of channels.

    Raises:
        UsageError: fewer than one channel.
    """
    if in_channels < 1:
        raise UsageError(f"in_channels is {in_channels}; expected at least 1")
    first, *rest = architecture.stem
    return replace(architecture, stem=(replace(first, in_channels=in_channels), *rest))


def with_norm_epsilon(architecture: Architecture, epsilon: float) -> Architecture:
    """The same network with another epsilon in its batch normalisations.

    Raises:
        UsageError: an epsilon that is not above 0 and below 1.
    """
    if not 0 < epsilon < 1:
        raise UsageError(f"norm_epsilon is {epsilon}; expected a number between 0 and 1")
    return replace(architecture, norm=replace(architecture.norm, epsilon=epsilon))


def with_width(architecture: Architecture, width: float) -> Architecture:
    """The same network with every inner channel count multiplied by `width` and rounded (at least 1).

    Raises:
        UsageError: a width that is not above 0.
    """
    if not width > 0:
        raise UsageError(f"width is {width}; expected a number above 0")

    def scaled(channels: int) -> int:
        return max(1, round(channels * width))

    def unit(spec: SeparableConv) -> SeparableConv:
        return replace(spec, in_channels=scaled(spec.in_channels), out_channels=scaled(spec.out_channels))

    first, *rest = architecture.stem
    stem = (
        replace(first, out_channels=scaled(first.out_channels)),
        *(replace(conv, in_channels=scaled(conv.in_channels), out_channels=scaled(conv.out_channels)) for conv in rest),
    )
    return replace(
        architecture,
        stem=stem,
        blocks=tuple(replace(block, units=tuple(map(unit, block.units))) for block in architecture.blocks),
        head=replace(architecture.head, in_channels=scaled(architecture.head.in_channels)),
    )


def with_output_stride(architecture: Architecture, output_stride: int) -> Architecture:
    """The same weights on a finer feature map: strides beyond `output_stride` become dilation.

    A block whose stride would exceed the target keeps its own dilation, takes stride 1, and multiplies the
    dilation of all blocks after it. Shortcuts stay what they are at the nominal stride, so that one
    checkpoint fits every output stride (timm decides from the changed stride and so drops a projection of
    xception71 at output stride 8).

    Raises:
        UsageError: another stride than 8, 16 or 32, or a network that down-samples by pooling.
    """
    if output_stride == architecture.output_stride:
        return architecture
    if output_stride not in OUTPUT_STRIDES or any(block.pool for block in architecture.blocks):
        raise UsageError(
            f"{architecture.name} cannot have output stride {output_stride}: "
            f"8, 16 and 32 are possible for networks that down-sample by strided convolution, "
            f"and only {architecture.output_stride} for this one if it pools"
        )
    current, dilation, blocks = architecture.stem_stride, 1, []
    for block in architecture.blocks:
        units = tuple(replace(unit, dilation=unit.dilation * dilation) for unit in block.units)
        if current * block.stride > output_stride:
            dilation *= block.stride
            units = (*units[:-1], replace(units[-1], stride=1))
        else:
            current *= block.stride
        blocks.append(replace(block, units=units))
    return replace(architecture, blocks=tuple(blocks))


def with_drop(architecture: Architecture, drop_rate: float | None, drop_path_rate: float | None) -> Architecture:
    """The same network with another dropout before the classifier or stochastic depth; None keeps a rate.

    Raises:
        UsageError: a rate outside [0, 1).
    """
    for name, rate in (("drop_rate", drop_rate), ("drop_path_rate", drop_path_rate)):
        if rate is not None and not 0 <= rate < 1:
            raise UsageError(f"{name} is {rate}; expected a probability from 0 up to, not including, 1")
    head = architecture.head if drop_rate is None else replace(architecture.head, drop_rate=drop_rate)
    drop_path = architecture.drop_path_rate if drop_path_rate is None else drop_path_rate
    return replace(architecture, head=head, drop_path_rate=drop_path)
