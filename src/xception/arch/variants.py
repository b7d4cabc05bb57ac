"""The published networks. A family is a function that lays out blocks; a variant is one row of `VARIANTS`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from xception.arch.spec import (
    Architecture,
    Block,
    Head,
    Initialization,
    Norm,
    Order,
    Pool,
    Pooling,
    PoolPadding,
    SeparableConv,
    Shortcut,
    Slot,
    StemConv,
    with_classes,
    with_drop,
    with_head,
    with_in_channels,
    with_norm_epsilon,
    with_output_stride,
    with_width,
)
from xception.arch.stackwise import Stackwise, with_stackwise
from xception.errors import AmbiguousName, UnknownName

BlockLayout = tuple[tuple[int, ...], int]  # output channels of a block's units, stride of the block

ENTRY_CHOLLET: tuple[BlockLayout, ...] = (((128,) * 2, 2), ((256,) * 2, 2), ((728,) * 2, 2))
ENTRY_PPCLS71: tuple[BlockLayout, ...] = (
    ((128,) * 2, 2),
    ((256,) * 2, 1),
    ((256,) * 2, 2),
    ((728,) * 2, 1),
    ((728,) * 2, 2),
)
ENTRY_ALIGNED: tuple[BlockLayout, ...] = (((128,) * 3, 2), ((256,) * 3, 2), ((728,) * 3, 2))
ENTRY_ALIGNED71: tuple[BlockLayout, ...] = (
    ((128,) * 3, 2),
    ((256,) * 3, 1),
    ((256,) * 3, 2),
    ((728,) * 3, 1),
    ((728,) * 3, 2),
)
MIDDLE = (728, 728, 728)


def _stem(
    widths: tuple[int, int], *, in_channels: int, stride: int, padding: int, last: Slot = "norm_act"
) -> tuple[StemConv, ...]:
    first, second = widths
    return (
        StemConv(in_channels=in_channels, out_channels=first, stride=stride, padding=padding),
        StemConv(in_channels=first, out_channels=second, padding=padding, after=last),
    )


def _units(
    in_channels: int,
    outs: Sequence[int],
    *,
    stride: int = 1,
    dilation: int = 1,
    order: Order = "depthwise_first",
    first: Slot = "act",
    before: Slot = "act",
    between: Slot = "none",
    after: Slot = "norm",
) -> tuple[SeparableConv, ...]:
    """Separable convolutions in a row: `first` fills the slot before the first one, the last one is strided."""
    ins = (in_channels, *outs[:-1])
    return tuple(
        SeparableConv(
            in_channels=width_in,
            out_channels=width_out,
            stride=stride if index == len(outs) - 1 else 1,
            dilation=dilation,
            order=order,
            before=before if index else first,
            between=between,
            after=after,
        )
        for index, (width_in, width_out) in enumerate(zip(ins, outs, strict=True))
    )


def _dense(in_channels: int, drop_rate: float = 0.0) -> Head:
    return Head(kind="dense", in_channels=in_channels, num_classes=1000, drop_rate=drop_rate)


def _pooled(
    in_channels: int,
    layout: Sequence[BlockLayout],
    middle: int,
    *,
    padding: PoolPadding,
    shortcut: Shortcut,
    order: Order,
    between: Slot,
) -> tuple[Block, ...]:
    """Entry, middle and exit flow of the networks that down-sample with a max-pool at the end of a block."""
    blocks = []
    for index, (outs, stride) in enumerate((*layout, *((MIDDLE, 1),) * middle, ((728, 1024), 2))):
        is_middle = len(layout) <= index < len(layout) + middle
        units = _units(in_channels, outs, order=order, first="act" if index else "none", between=between)
        blocks.append(
            Block(
                flow="middle" if is_middle else "entry" if index < len(layout) else "exit",
                units=units,
                pool=None if is_middle else Pool(stride=stride, padding=padding),
                shortcut="identity" if is_middle else shortcut,
            )
        )
        in_channels = outs[-1]
    return (*blocks, _tail((1536, 2048), order=order, between=between))


def _strided(
    in_channels: int,
    layout: Sequence[BlockLayout],
    middle: int,
    *,
    shortcut: Shortcut,
    shared: Slot = "none",
    before: Slot = "act",
    between: Slot = "none",
    after: Slot = "norm",
) -> tuple[Block, ...]:
    """Entry, middle and exit flow of the networks that down-sample in a block's last depthwise convolution.

    `shared` stands before both paths of every block, the other slots before, in and after every unit.
    """
    blocks = []
    for index, (outs, stride) in enumerate((*layout, *((MIDDLE, 1),) * middle, ((728, 1024, 1024), 2))):
        # After a stem that ends in an activation another one changes nothing, so the first block has none.
        first: Slot = "none" if index == 0 or shared != "none" else before
        changes_shape = stride != 1 or outs[-1] != in_channels
        blocks.append(
            Block(
                flow="entry" if index < len(layout) else "middle" if index < len(layout) + middle else "exit",
                units=_units(
                    in_channels, outs, stride=stride, first=first, before=before, between=between, after=after
                ),
                shortcut=shortcut if changes_shape else "identity",
                before=shared,
            )
        )
        in_channels = outs[-1]
    return tuple(blocks)


def _tail(
    outs: Sequence[int], *, order: Order = "depthwise_first", between: Slot, before: Slot = "none", dilation: int = 1
) -> Block:
    """The separable convolutions behind the last residual sum."""
    units = _units(
        1024, outs, order=order, dilation=dilation, first="none", before="none", between=between, after="norm_act"
    )
    return Block(flow="exit", units=units, shortcut="none", before=before)


def _chollet(
    name: str,
    source: str,
    *,
    epsilon: float,
    momentum: float,
    pool: PoolPadding,
    init: Initialization,
    drop: float = 0.0,
) -> Architecture:
    """The paper's network (Chollet 2017, figure 5) as Keras published it and as others ported it."""
    return Architecture(
        name=name,
        source=source,
        input_px=299,
        stem=_stem((32, 64), in_channels=3, stride=2, padding=0),
        blocks=_pooled(
            64, ENTRY_CHOLLET, 8, padding=pool, shortcut="conv_norm", order="depthwise_first", between="none"
        ),
        head=_dense(2048, drop),
        norm=Norm(epsilon=epsilon, momentum=momentum),
        initialization=init,
    )


def _ppcls(name: str, *, entry: Sequence[BlockLayout] = ENTRY_CHOLLET, middle: int) -> Architecture:
    """PaddleClas' networks: the pointwise convolution comes first, with a normalisation between the two."""
    return Architecture(
        name=name,
        source="paddleclas",
        input_px=299,
        stem=_stem((32, 64), in_channels=3, stride=2, padding=1),
        blocks=_pooled(
            64, entry, middle, padding="symmetric", shortcut="conv", order="pointwise_first", between="norm"
        ),
        head=_dense(2048),
        norm=Norm(epsilon=1e-5, momentum=0.1),
        initialization="paddle",
    )


def _aligned(
    name: str, source: str = "timm", *, entry: Sequence[BlockLayout] = ENTRY_ALIGNED, middle: int
) -> Architecture:
    """DeepLab's modified ("aligned") network: strided depthwise convolutions, a norm after every convolution."""
    blocks = _strided(64, entry, middle, shortcut="conv_norm", between="norm")
    return Architecture(
        name=name,
        source=source,
        input_px=299,
        stem=_stem((32, 64), in_channels=3, stride=2, padding=1),
        blocks=(*blocks, _tail((1536, 1536, 2048), between="norm_act")),
        head=_dense(2048),
        norm=Norm(epsilon=1e-3, momentum=0.1),
        initialization="torch",
    )


def _deeplab(name: str, *, middle: int) -> Architecture:
    """Paddle's port of the aligned network: its tail is dilated and its features are halved."""
    base = _aligned(name, "paddleclas", middle=middle)
    return replace(
        base,
        blocks=(*base.blocks[:-1], _tail((1536, 1536, 2048), between="norm_act", dilation=2)),
        # Paddle's "downscale_in_infer" dropout: halved at inference, masked without rescaling in training.
        # Halving always and dropping out with the usual rescaling is the same function in both.
        head=Head(
            kind="dense", in_channels=2048, num_classes=1000, feature_scale=0.5, drop_rate=0.5, drop_on="features"
        ),
        norm=Norm(epsilon=1e-3, momentum=0.01),
        initialization="paddle_deeplab",
    )


def _gluon(name: str, *, middle: int) -> Architecture:
    """Gluon's port of the aligned network: one more activation on both paths of block 2 and before the tail."""
    first, second, *rest = _strided(64, ENTRY_ALIGNED, middle, shortcut="conv_norm", between="norm")
    second = replace(second, before="act", units=(replace(second.units[0], before="none"), *second.units[1:]))
    return Architecture(
        name=name,
        source="gluon",
        input_px=299,
        stem=_stem((32, 64), in_channels=3, stride=2, padding=1),
        blocks=(first, second, *rest, _tail((1536, 1536, 2048), between="norm", before="act")),
        head=_dense(2048),
        norm=Norm(epsilon=1e-5, momentum=0.1),
        initialization="torch",
    )


def _preactivation(name: str, *, middle: int, epsilon: float) -> Architecture:
    """timm's pre-activation networks: norm and activation stand before the convolutions and feed both paths."""
    blocks = _strided(64, ENTRY_ALIGNED, middle, shortcut="conv", shared="norm_act", before="norm_act", after="none")
    units = _units(1024, (1536, 1536, 2048), first="none", before="norm_act", after="none")
    return Architecture(
        name=name,
        source="timm",
        input_px=299,
        stem=_stem((32, 64), in_channels=3, stride=2, padding=1, last="none"),
        blocks=(*blocks, Block(flow="exit", units=units, shortcut="none", before="norm_act", after="act")),
        head=_dense(2048),
        norm=Norm(epsilon=epsilon, momentum=0.1),
        initialization="torch",
    )


def _mini(
    name: str,
    *,
    stem: tuple[int, int],
    widths: Sequence[int],
    stem_stride: int = 1,
    later: Slot = "none",
    input_px: int = 64,
    is_last_pooled: bool = True,
) -> Architecture:
    """oarriaga's small gray-image networks (Arriaga et al. 2017): a convolution is the classifier.

    `later` is what stands before the first unit of every block but the first.
    """
    pooled = len(widths) if is_last_pooled else len(widths) - 1
    ins = (stem[1], *widths[:-1])
    blocks = tuple(
        Block(
            flow="entry",
            units=_units(width_in, (width, width), first=later if index else "none"),
            pool=Pool(stride=2, padding="same") if index < pooled else None,
            shortcut="conv_norm",
        )
        for index, (width_in, width) in enumerate(zip(ins, widths, strict=True))
    )
    return Architecture(
        name=name,
        source="mini",
        input_px=input_px,
        stem=_stem(stem, in_channels=1, stride=stem_stride, padding=0),
        blocks=blocks,
        head=Head(kind="conv", in_channels=widths[-1], num_classes=7),
        norm=Norm(epsilon=1e-3, momentum=0.01),
        initialization="keras",
    )


VARIANTS: Mapping[str, Architecture] = MappingProxyType(
    {
        row.name: row
        for row in (
            _chollet("timm_xception", "timm", epsilon=1e-5, momentum=0.1, pool="symmetric", init="kaiming_fan_out"),
            _aligned("timm_xception41", middle=8),
            _preactivation("timm_xception41p", middle=8, epsilon=1e-5),
            _aligned("timm_xception65", middle=16),
            _preactivation("timm_xception65p", middle=16, epsilon=1e-3),
            _aligned("timm_xception71", entry=ENTRY_ALIGNED71, middle=16),
            _chollet("keras_xception", "keras", epsilon=1e-3, momentum=0.01, pool="same", init="keras"),
            _ppcls("ppcls_xception41", middle=8),
            _deeplab("ppcls_xception41_deeplab", middle=8),
            _ppcls("ppcls_xception65", middle=16),
            _deeplab("ppcls_xception65_deeplab", middle=16),
            _ppcls("ppcls_xception71", entry=ENTRY_PPCLS71, middle=16),
            _chollet("mindcv_xception", "mindcv", epsilon=1e-5, momentum=0.1, pool="same", init="mindcv", drop=0.5),
            _chollet(
                "mindspore_xception",
                "mindspore",
                epsilon=1e-5,
                momentum=0.1,
                pool="same",
                init="mindspore_zoo",
                drop=0.5,
            ),
            _gluon("gluon_xception65", middle=16),
            _mini("mini_xception", stem=(8, 8), widths=(16, 32, 64, 128)),
            _mini("mini48_xception", stem=(5, 8), widths=(16, 32, 64, 128), input_px=48, is_last_pooled=False),
            _mini("tiny_xception", stem=(5, 5), widths=(8, 16, 32, 64)),
            _mini("big_xception", stem=(32, 64), widths=(128, 256), stem_stride=2, later="act"),
        )
    }
)

UNVERIFIED: frozenset[str] = frozenset()
"""Variants that have not been compared with the source's own code, and so have no golden file."""


def resolve(name: str) -> str:
    """The full name of a variant.

    Raises:
        AmbiguousName: a bare name such as "xception41", which several different networks carry.
        UnknownName: no such variant; the nearest are suggested.
    """
    if name in VARIANTS:
        return name
    candidates = [full for full in VARIANTS if full.split("_", 1)[1].removesuffix("_deeplab") == name]
    if len(candidates) > 1:
        raise AmbiguousName("variant", name, candidates)
    raise UnknownName("variant", name, VARIANTS)


def architecture(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    width: float = 1.0,
    output_stride: int | None = None,
    drop_rate: float | None = None,
    drop_path_rate: float | None = None,
    pooling: Pooling | None = None,
    hidden_features: int | None = None,
    stackwise: Stackwise | None = None,
    norm_epsilon: float | None = None,
) -> Architecture:
    """Specification of the variant `name`, with the changes that the other arguments state.

    Raises:
        UsageError: an unknown or ambiguous name, or a value that the variant cannot take.
    """
    spec = VARIANTS[resolve(name)]
    spec = spec if stackwise is None else with_stackwise(spec, stackwise)
    spec = spec if norm_epsilon is None else with_norm_epsilon(spec, norm_epsilon)
    spec = with_head(with_drop(spec, drop_rate, drop_path_rate), pooling, hidden_features)
    spec = spec if num_classes is None else with_classes(spec, num_classes)
    spec = spec if in_channels is None else with_in_channels(spec, in_channels)
    spec = spec if width == 1.0 else with_width(spec, width)
    return spec if output_stride is None else with_output_stride(spec, output_stride)
