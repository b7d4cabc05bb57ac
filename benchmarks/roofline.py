"""The least time that a network can take on a device, from the work that its specification states."""

from collections.abc import Iterable, Iterator
from math import prod
from typing import NamedTuple

from xception.arch.compute import macs, output_shapes, tensors
from xception.arch.graph import Add, Conv, Dense, GlobalAveragePool, GlobalMaxPool, MaxPool, Node, unfold
from xception.arch.spec import Architecture


class Work(NamedTuple):
    """What one kernel does: floating-point operations, two a multiply-accumulate, and bytes of memory moved."""

    name: str
    flops: float
    bytes: float


class Peak(NamedTuple):
    """What a device can do in a second."""

    flops: float
    bytes: float


def kernels(spec: Architecture, px: int, batch: int, itemsize: int, *, fused: bool = False) -> Iterator[Work]:
    """A kernel for each convolution, pool, sum and linear layer; norms, activations and scales cost nothing more.

    Each reads its inputs and weights and writes its output once. With `fused`, what lies between the two convolutions
    of a separable one stays out of memory.
    """
    shapes = output_shapes(spec, px, px)
    weights = {node.name: 0 for node in unfold(spec)}
    for name, shape in tensors(spec).items():
        weights[name.rpartition(".")[0]] += prod(shape)
    opening = _opening(spec) if fused else set()
    pending: Work | None = None
    for node in unfold(spec):
        if not isinstance(node, Conv | Dense | MaxPool | Add | GlobalAveragePool | GlobalMaxPool):
            continue
        read = batch * sum(prod(shapes[source]) for source in _sources(node)) + weights[node.name]
        written = batch * prod(shapes[node.name])
        work = Work(node.name, 2.0 * batch * macs(node, shapes[node.name]), itemsize * (read + written))
        if pending:
            between = itemsize * batch * 2 * prod(shapes[pending.name])
            yield Work(work.name, pending.flops + work.flops, pending.bytes + work.bytes - between)
            pending = None
        elif node.name in opening:
            pending = work
        else:
            yield work


def seconds(work: Iterable[Work], peak: Peak) -> float:
    """The least time, one kernel after another: each is held up by its arithmetic or by memory (Williams 2009)."""
    return sum(max(kernel.flops / peak.flops, kernel.bytes / peak.bytes) for kernel in work)


def _opening(spec: Architecture) -> set[str]:
    """The depthwise convolutions that a pointwise one of the same unit follows."""
    return {
        f"blocks.{index}.units.{number}.depthwise"
        for index, block in enumerate(spec.blocks)
        for number, unit in enumerate(block.units)
        if unit.order == "depthwise_first"
    }


def _sources(node: Node) -> tuple[str, ...]:
    return (node.source, node.other) if isinstance(node, Add) else (node.source,)
