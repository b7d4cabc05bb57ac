"""The README's table of variants."""

from collections.abc import Mapping
from pathlib import Path

from pages.markdown import ROOT, markdown_table, with_tables
from xception.arch.compute import cost
from xception.arch.spec import Architecture
from xception.arch.variants import VARIANTS

README = ROOT / "README.md"


def generated() -> Mapping[Path, str]:
    """The README with today's table."""
    return {README: updated(README.read_text(encoding="utf-8"))}


def updated(text: str) -> str:
    header = ("variant", "source", "input", "parameters", "MACs")
    rows = [_row(spec) for spec in VARIANTS.values()]
    return with_tables(text, {"variants": markdown_table(header, rows, ("---", "---", "---", "---:", "---:"))})


def _row(spec: Architecture) -> tuple[str, ...]:
    counts, px = cost(spec), spec.input_px
    size = f"{spec.in_channels} x {px} x {px}"
    return f"`{spec.name}`", spec.source, size, f"{counts.parameters:,}", f"{counts.macs / 1e9:.3f} G"
