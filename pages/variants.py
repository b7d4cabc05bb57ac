"""The drawings and tables of the page on variants."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pages.markdown import ROOT, markdown_table, with_tables
from xception.arch.compute import FlopsConvention, cost, flops
from xception.arch.spec import Architecture, Block, SeparableConv, Slot
from xception.arch.variants import VARIANTS
from xception.convert.catalog import CATALOG
from xception.preprocess import CropSquash, Preprocess, ShorterSide
from xception.report.drawing import draw

PAGE = ROOT / "docs/explanation/variants.md"
PICTURES = PAGE.parent / "pictures"

DRAWN = (
    "keras_xception",
    "ppcls_xception71",
    "timm_xception65",
    "ppcls_xception65_deeplab",
    "gluon_xception65",
    "timm_xception65p",
    "mini_xception",
)
"""One network per family."""

WORDS: dict[Slot, tuple[str, ...]] = {"none": (), "act": ("ReLU",), "norm": ("BN",), "norm_act": ("BN", "ReLU")}


def generated() -> Mapping[Path, str]:
    """The page with today's tables, and the drawings."""
    return {PAGE: updated(PAGE.read_text(encoding="utf-8")), **pictures()}


def pictures() -> dict[Path, str]:
    return {PICTURES / f"{name}.svg": draw(VARIANTS[name]) for name in DRAWN}


def tables() -> dict[str, str]:
    """Markdown by the name between the page's marks."""
    return {"differences": differences(), "operations": operations(), "weights": weights()}


def differences() -> str:
    header = ("network", "epsilon", "stem padding", "units of block 2", "halved by", "shortcut", "tail", "head")
    return markdown_table(header, [_differences(spec) for spec in VARIANTS.values()])


def _differences(spec: Architecture) -> tuple[str, ...]:
    block, tail = spec.blocks[1], spec.blocks[-1]
    return (
        f"`{spec.name}`",
        f"{spec.norm.epsilon:.0e}".replace("e-0", "e-"),
        str(spec.stem[0].padding),
        _units(block),
        _halving(spec),
        block.shortcut.replace("_", ", ").replace("norm", "BN"),
        _units(tail) if tail.shortcut == "none" else "none",
        ("halved, " if spec.head.feature_scale == 0.5 else "") + spec.head.kind,
    )


def _halving(spec: Architecture) -> str:
    pool, last = spec.blocks[1].pool, spec.blocks[-1]
    but_last = ", but in the last block" if last.shortcut != "none" and last.stride == 1 else ""
    return (f"max-pool, {pool.padding}" if pool else "strided dw") + but_last


def _units(block: Block) -> str:
    before = f"{' '.join(WORDS[block.before])} // " if block.before != "none" else ""
    return before + ", ".join(dict.fromkeys(_unit(unit) for unit in (block.units[0], block.units[-1])))


def _unit(unit: SeparableConv) -> str:
    depthwise = "dw" if unit.dilation == 1 else f"dw (dilated {unit.dilation})"
    first, second = (depthwise, "pw") if unit.order == "depthwise_first" else ("pw", depthwise)
    return " ".join((*WORDS[unit.before], first, *WORDS[unit.between], second, *WORDS[unit.after]))


def operations() -> str:
    conventions = get_args(FlopsConvention)
    header = ("network", "parameters", "with statistics", *(f"`{name}`" for name in conventions))
    rows = []
    for spec in VARIANTS.values():
        counts = cost(spec)
        figures = (f"{flops(spec, convention) / 1e9:.3f}" for convention in conventions)
        total = counts.parameters + counts.buffers
        rows.append((f"`{spec.name}`", f"{counts.parameters:,}", f"{total:,}", *figures))
    return markdown_table(header, rows)


def weights() -> str:
    header = ("weights", "image", "interpolation", "mean", "top-1", "top-5", "stated by")
    rows = []
    for entry in (entry for entry in CATALOG.values() if not entry.snapshot_of):
        newest = entry.reported[0] if entry.reported else None
        rows.append(
            (
                f"`{entry.name}`",
                _sizes(entry.preprocess),
                entry.preprocess.interpolation + ("" if entry.preprocess.antialias else ", no antialias"),
                "0.5" if entry.preprocess.mean[0] == 0.5 else "ImageNet's",
                f"{newest.top1:.2%}" if newest else "",
                f"{newest.top5:.2%}" if newest and newest.top5 else "",
                f"{newest.where}{f' ({newest.date})' if newest.date else ''}" if newest else "",
            )
        )
    return markdown_table(header, rows)


def _sizes(preprocess: Preprocess) -> str:
    height, _ = preprocess.output_px or (0, 0)
    if isinstance(preprocess.resize, ShorterSide):
        return f"{preprocess.resize.px} to {height}"
    return f"{'cropped, then ' if isinstance(preprocess.resize, CropSquash) else ''}squashed to {height}"


def updated(text: str) -> str:
    return with_tables(text, tables())
