"""What the README says about the code, made from the code. `python -m tests.rules.readme` writes it anew."""

from pathlib import Path

from xception.arch.compute import cost
from xception.arch.variants import VARIANTS

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- variants -->\n", "<!-- /variants -->"


def variant_table() -> str:
    """The table of variants in Markdown."""
    rows = ["| variant | source | input | parameters | MACs |", "| --- | --- | --- | ---: | ---: |"]
    for spec in VARIANTS.values():
        counts, px = cost(spec), spec.input_px
        rows.append(
            f"| `{spec.name}` | {spec.source} | {spec.in_channels} x {px} x {px} "
            f"| {counts.parameters:,} | {counts.macs / 1e9:.3f} G |"
        )
    return "\n".join(rows) + "\n"


def updated(text: str) -> str:
    """The README with today's table."""
    before, _, rest = text.partition(START)
    return before + START + variant_table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
