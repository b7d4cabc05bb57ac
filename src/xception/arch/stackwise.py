"""Networks of Chollet's design with other widths and depths, in KerasHub's terms: a list of widths per block.

Source: keras-hub 0.32, `keras_hub/src/models/xception/xception_backbone.py`.
"""

from dataclasses import dataclass, replace

from xception.arch.spec import Architecture, Block, Flow, Pool, SeparableConv, Slot, StemConv
from xception.errors import UsageError

DESIGN = "keras_xception"
"""The variant in which only the widths are another's."""

HALVING = Pool(stride=2, padding="same")


@dataclass(frozen=True, kw_only=True)
class Stackwise:
    """The widths of all convolutions by block, and the blocks that halve the map at their end.

    Attributes:
        filters: first the stem's convolutions, last the tail's separable ones, and between them those of each residual
            block.
        pooling: for each of them, whether a 3x3 max-pool of stride 2 stands at its end.
    """

    filters: tuple[tuple[int, ...], ...]
    pooling: tuple[bool, ...]


def with_stackwise(base: Architecture, stackwise: Stackwise) -> Architecture:
    """The network of these widths, in everything else like `base`, which is of Chollet's design.

    Raises:
        UsageError: a network of another design; or lists that make none: of different lengths, without a tail, or with
            an empty block; or a residual block that pools without changing its width, or the other way round, whose
            shortcut would not fit.
    """
    if base.name != DESIGN:
        raise UsageError(f"{base.name} cannot have widths by block; expected {DESIGN}, whose blocks KerasHub builds so")
    _check(stackwise)
    stem_widths, *block_widths, tail_widths = stackwise.filters
    pools_in_stem, *_, pools_in_tail = stackwise.pooling
    stem = _stem(base, stem_widths, HALVING if pools_in_stem else None)
    blocks, width = [], stem_widths[-1]
    firsts = [index for index, pools in enumerate(stackwise.pooling[1:-1]) if not pools]
    for index, (widths, pools) in enumerate(zip(block_widths, stackwise.pooling[1:-1], strict=True)):
        is_entry = not firsts or index < firsts[0]
        blocks.append(_block(width, widths, pools=pools, is_first=not index, is_entry=is_entry))
        width = widths[-1]
    units = _units(width, tail_widths, first="none", between="none", after="norm_act")
    tail = Block(flow="exit", units=units, pool=HALVING if pools_in_tail else None, shortcut="none")
    head = replace(base.head, in_channels=tail_widths[-1])
    return replace(base, stem=stem, blocks=(*blocks, tail), head=head)


def _check(stackwise: Stackwise) -> None:
    filters, pooling = stackwise.filters, stackwise.pooling
    if len(filters) != len(pooling) or len(filters) < 2 or not all(filters):
        raise UsageError(
            f"{len(filters)} lists of widths and {len(pooling)} of pooling make no network; expected as many, at least "
            "a stem and a tail, and no empty block"
        )
    if min(width for widths in filters for width in widths) < 1:
        raise UsageError("a block has a width below 1; expected channels from 1")
    for index in range(1, len(filters) - 1):
        if pooling[index] != (filters[index][-1] != filters[index - 1][-1]):
            what = "pools and keeps" if pooling[index] else "does not pool and changes"
            raise UsageError(
                f"block {index + 1} {what} its width, so that its shortcut does not fit and the network cannot have "
                "run; expected pools where widths change"
            )


def _stem(base: Architecture, widths: tuple[int, ...], pool: Pool | None) -> tuple[StemConv, ...]:
    first, *_ = base.stem
    ins = (base.in_channels, *widths[:-1])
    convs = [
        replace(first, in_channels=width_in, out_channels=width, stride=1 if index else first.stride)
        for index, (width_in, width) in enumerate(zip(ins, widths, strict=True))
    ]
    return (*convs[:-1], replace(convs[-1], pool=pool))


def _block(width_in: int, widths: tuple[int, ...], *, pools: bool, is_first: bool, is_entry: bool) -> Block:
    """A residual block; behind a stem that ends in an activation the first needs none of its own."""
    units = _units(width_in, widths, first="none" if is_first else "act", between="act", after="norm")
    if pools:
        flow: Flow = "entry" if is_entry else "exit"
        return Block(flow=flow, units=units, pool=HALVING, shortcut="conv_norm")
    return Block(flow="middle", units=units, shortcut="identity")


def _units(
    width_in: int, widths: tuple[int, ...], *, first: Slot, between: Slot, after: Slot
) -> tuple[SeparableConv, ...]:
    ins = (width_in, *widths[:-1])
    return tuple(
        SeparableConv(in_channels=ins[index], out_channels=width, before=between if index else first, after=after)
        for index, width in enumerate(widths)
    )
