"""A specification as a list of operations, from which everything without torch is made.

Counting parameters, naming tensors, drawing, exporting and the plain NumPy forward pass all read the same
flat sequence of nodes. A node's name is also the prefix of its tensors' names in `weights.safetensors`.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from xception.arch.spec import Architecture, Block, Head, Norm, Pool, Pooling, PoolPadding, SeparableConv, Slot

INPUT = "pixels"
"""Name of the graph's input, (N, C, H, W)."""


@dataclass(frozen=True, slots=True)
class Conv:
    """Square kernel; `padding` in pixels on every side."""

    name: str
    source: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = False


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Normalisation by stored statistics."""

    name: str
    source: str
    channels: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class Relu:
    """max(x, 0)."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Kernel 3."""

    name: str
    source: str
    stride: int
    padding: PoolPadding


@dataclass(frozen=True, slots=True)
class Add:
    """The sum of two nodes."""

    name: str
    source: str
    other: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A product with a constant."""

    name: str
    source: str
    factor: float


@dataclass(frozen=True, slots=True)
class GlobalAveragePool:
    """(N, C, H, W) -> (N, C)."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class GlobalMaxPool:
    """(N, C, H, W) -> (N, C)."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Concat:
    """(N, C) and (N, C) in a row: (N, 2 C)."""

    name: str
    source: str
    other: str


@dataclass(frozen=True, slots=True)
class Dense:
    """(N, in_features) -> (N, out_features), with bias."""

    name: str
    source: str
    in_features: int
    out_features: int


Node = Conv | BatchNorm | Relu | MaxPool | Add | Scale | GlobalAveragePool | GlobalMaxPool | Concat | Dense

Part = Generator[Node, None, str]
"""A stretch of the graph: yields its nodes and returns the name of the one that holds its result."""


def unfold(architecture: Architecture) -> tuple[Node, ...]:
    """All operations of the network at inference, in an order in which each one's inputs come first.

    The last node's output is the logits, (N, K), or the embedding of a network without classes, (N, D).
    """
    return tuple(_network(architecture))


def _network(spec: Architecture) -> Iterator[Node]:
    source = INPUT
    for index, conv in enumerate(spec.stem):
        name = f"stem.{index}"
        yield Conv(f"{name}.conv", source, conv.in_channels, conv.out_channels, 3, conv.stride, conv.padding)
        source = yield from _slot(f"{name}.after", f"{name}.conv", conv.after, conv.out_channels, spec.norm)
        source = yield from _pool(name, source, conv.pool)
    for index, block in enumerate(spec.blocks):
        source = yield from _block(f"blocks.{index}", source, block, spec.norm)
    yield from _head(source, spec)


def _slot(name: str, source: str, slot: Slot, channels: int, norm: Norm) -> Part:
    """The content of a slot."""
    if slot in ("norm", "norm_act"):
        yield BatchNorm(f"{name}.norm", source, channels, norm.epsilon)
        source = f"{name}.norm"
    if slot in ("act", "norm_act"):
        yield Relu(f"{name}.act", source)
        source = f"{name}.act"
    return source


def _pool(name: str, source: str, pool: Pool | None) -> Part:
    """The pool at the end of a part, if there is one."""
    if pool:
        yield MaxPool(f"{name}.pool", source, pool.stride, pool.padding)
        source = f"{name}.pool"
    return source


def _block(name: str, source: str, block: Block, norm: Norm) -> Part:
    source = yield from _slot(f"{name}.before", source, block.before, block.in_channels, norm)
    main = source
    for index, unit in enumerate(block.units):
        main = yield from _unit(f"{name}.units.{index}", main, unit, norm)
    main = yield from _pool(name, main, block.pool)
    if block.shortcut in ("conv", "conv_norm"):
        shortcut = f"{name}.shortcut.conv"
        yield Conv(shortcut, source, block.in_channels, block.out_channels, 1, block.stride)
        if block.shortcut == "conv_norm":
            yield BatchNorm(f"{name}.shortcut.norm", shortcut, block.out_channels, norm.epsilon)
            shortcut = f"{name}.shortcut.norm"
        source = shortcut
    if block.shortcut != "none":
        yield Add(f"{name}.add", main, source)
        main = f"{name}.add"
    return (yield from _slot(f"{name}.after", main, block.after, block.out_channels, norm))


def _unit(name: str, source: str, unit: SeparableConv, norm: Norm) -> Part:
    source = yield from _slot(f"{name}.before", source, unit.before, unit.in_channels, norm)
    channels = unit.depthwise_channels
    parts = ("depthwise", "pointwise") if unit.order == "depthwise_first" else ("pointwise", "depthwise")
    for part in parts:
        if part == parts[1]:
            source = yield from _slot(f"{name}.between", source, unit.between, channels, norm)
        if part == "depthwise":
            yield Conv(
                f"{name}.depthwise", source, channels, channels, 3, unit.stride, unit.dilation, unit.dilation, channels
            )
        else:
            yield Conv(f"{name}.pointwise", source, unit.in_channels, unit.out_channels, 1)
        source = f"{name}.{part}"
    return (yield from _slot(f"{name}.after", source, unit.after, unit.out_channels, norm))


def _head(source: str, spec: Architecture) -> Iterator[Node]:
    head = spec.head
    if head.feature_scale != 1.0:
        yield Scale("head.scale", source, head.feature_scale)
        source = "head.scale"
    if head.kind == "conv" and head.num_classes:
        yield Conv("head.classifier", source, head.in_channels, head.num_classes, 3, padding=1, bias=True)
        yield GlobalAveragePool("head.pool", "head.classifier")
    else:
        yield from _pooling(source, head.pooling)
        yield from _classifier("head.pool", head) if head.num_classes else ()


def _pooling(source: str, pooling: Pooling) -> Iterator[Node]:
    average, maximum = ("head.pool",) * 2 if pooling in ("avg", "max") else ("head.pool.avg", "head.pool.max")
    if pooling != "max":
        yield GlobalAveragePool(average, source)
    if pooling != "avg":
        yield GlobalMaxPool(maximum, source)
    if pooling == "avgmax":
        yield Add("head.pool.sum", average, maximum)
        yield Scale("head.pool", "head.pool.sum", 0.5)
    if pooling == "catavgmax":
        yield Concat("head.pool", average, maximum)


def _classifier(source: str, head: Head) -> Iterator[Node]:
    features = head.pooled_features
    if head.hidden_features is not None:
        yield Dense("head.hidden", source, features, head.hidden_features)
        yield Relu("head.hidden.act", "head.hidden")
        source, features = "head.hidden.act", head.hidden_features
    yield Dense("head.classifier", source, features, head.num_classes)
