"""The content of a network's drawing, taken from its specification: cards of units, of rows, of chips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from xception.arch.compute import output_shapes
from xception.arch.spec import Architecture, Block, Head, Pool, SeparableConv, Slot, StemConv

ChipKind = Literal["conv", "depthwise", "pointwise", "norm", "act", "pool", "scale", "dense"]
FLOWS = {"entry": "Entry flow", "middle": "Middle flow", "exit": "Exit flow"}


@dataclass(frozen=True)
class Chip:
    """One operation."""

    kind: ChipKind
    text: str


ChipRow = tuple[Chip, ...]
"""Operations side by side: a norm with its activation, or a single one."""


@dataclass(frozen=True, kw_only=True)
class NetworkCard:
    """The stem, the head, or successive blocks that differ only in their channels.

    `shortcut` holds the rows next to the units, none for the identity, and is None without a shortcut.
    """

    title: str
    subtitle: str
    before: tuple[ChipRow, ...] = ()
    units: tuple[tuple[ChipRow, ...], ...]
    shortcut: tuple[ChipRow, ...] | None = None
    after: tuple[ChipRow, ...] = ()
    footer: str


def cards(architecture: Architecture) -> tuple[NetworkCard, ...]:
    """The whole network, from the stem to the logits, with feature maps at its own input size."""
    shapes = output_shapes(architecture, architecture.input_px, architecture.input_px)
    channels, px, _ = shapes[next(name for name in reversed(shapes) if name.startswith("stem."))]
    return (
        _stem(architecture.stem, f"{channels} × {px}²"),
        *_blocks(architecture, shapes),
        _head(architecture.head),
    )


def _stem(convs: Sequence[StemConv], footer: str) -> NetworkCard:
    return NetworkCard(
        title="Stem",
        subtitle=f"padding {convs[0].padding}",
        units=tuple(map(_stem_conv, convs)),
        footer=footer,
    )


def _stem_conv(conv: StemConv) -> tuple[ChipRow, ...]:
    pool = ((_pool(conv.pool),),) if conv.pool else ()
    return ((Chip("conv", f"conv 3×3{_stride(conv.stride)} → {conv.out_channels}"),), *_slot(conv.after), *pool)


def _blocks(architecture: Architecture, shapes: dict[str, tuple[int, ...]]) -> Iterator[NetworkCard]:
    last = {int(name.split(".")[1]): name for name in shapes if name.startswith("blocks.")}
    for _, group in groupby(enumerate(architecture.blocks), key=lambda item: _form(item[1])):
        numbers, blocks = zip(*group, strict=True)
        yield _block(numbers, blocks, [shapes[last[number]] for number in numbers])


def _form(block: Block) -> Block:
    """The block without its channels."""
    units = tuple(replace(unit, in_channels=0, out_channels=0) for unit in block.units)
    same_width = len({unit.out_channels for unit in block.units}) == 1
    return replace(block, units=units if same_width else block.units)


def _block(numbers: Sequence[int], blocks: Sequence[Block], shapes: Sequence[tuple[int, ...]]) -> NetworkCard:
    first = blocks[0]
    widths = list(dict.fromkeys(block.out_channels for block in blocks))
    sizes = ", ".join(f"{px}²" for px in dict.fromkeys(shape[1] for shape in shapes))
    varies = len(widths) > 1
    return NetworkCard(
        title=FLOWS[first.flow],
        subtitle=_numbers(numbers) + (f": C = {', '.join(map(str, widths))}" if varies else ""),
        before=_slot(first.before),
        units=(
            *(_unit(unit, "C" if varies else str(unit.out_channels)) for unit in first.units),
            *([((_pool(first.pool),),)] if first.pool else []),
        ),
        shortcut=_shortcut(first),
        after=_slot(first.after),
        footer=f"{'C' if varies else widths[0]} × {sizes}",
    )


def _unit(unit: SeparableConv, out_channels: str) -> tuple[ChipRow, ...]:
    dilation = f" dilated {unit.dilation}" if unit.dilation > 1 else ""
    depthwise = Chip("depthwise", f"dw 3×3{_stride(unit.stride)}{dilation}")
    pointwise = Chip("pointwise", f"pw → {out_channels}")
    first, second = (depthwise, pointwise) if unit.order == "depthwise_first" else (pointwise, depthwise)
    return (*_slot(unit.before), (first,), *_slot(unit.between), (second,), *_slot(unit.after))


def _slot(slot: Slot) -> tuple[ChipRow, ...]:
    norm, act = Chip("norm", "BN"), Chip("act", "ReLU")
    rows: dict[Slot, tuple[ChipRow, ...]] = {
        "none": (),
        "norm": ((norm,),),
        "act": ((act,),),
        "norm_act": ((norm, act),),
    }
    return rows[slot]


def _pool(pool: Pool) -> Chip:
    return Chip("pool", f"max 3×3{_stride(pool.stride)} {'same' if pool.padding == 'same' else 'sym.'}")


def _shortcut(block: Block) -> tuple[ChipRow, ...] | None:
    if block.shortcut == "none":
        return None
    conv, norm = Chip("conv", f"1×1{_stride(block.stride)}"), Chip("norm", "BN")
    return {"identity": (), "conv": ((conv,),), "conv_norm": ((conv,), (norm,))}[block.shortcut]


POOLING_WORDS = {"avg": "average", "max": "maximum", "avgmax": "mean of both", "catavgmax": "average, maximum"}
"""Poolings as the drawing names them."""


def _head(head: Head) -> NetworkCard:
    average = (Chip("pool", POOLING_WORDS[head.pooling]),)
    hidden = (
        [(Chip("dense", f"dense → {head.hidden_features}"),), (Chip("act", "ReLU"),)] if head.hidden_features else []
    )
    classifier = f"conv 3×3 → {head.num_classes}" if head.kind == "conv" else f"dense → {head.num_classes}"
    classify = (Chip("conv" if head.kind == "conv" else "dense", classifier),)
    scale = [(Chip("scale", f"× {head.feature_scale:g}"),)] if head.feature_scale != 1 else []
    rows = (classify, average) if head.kind == "conv" else (average, *hidden, classify)
    return NetworkCard(title="Head", subtitle="to the logits", units=((*scale, *rows),), footer=f"{head.num_classes}")


def _stride(stride: int) -> str:
    return f" /{stride}" if stride > 1 else ""


def _numbers(numbers: Sequence[int]) -> str:
    first, last = numbers[0] + 1, numbers[-1] + 1
    return f"block {first}" if first == last else f"blocks {first}-{last}"
