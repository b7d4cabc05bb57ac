"""A network's drawing: one SVG that needs nothing but itself and suits light and dark pages."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from xception.arch.compute import cost
from xception.arch.spec import Architecture
from xception.outputs import write_file
from xception.report.anatomy import ChipRow, NetworkCard, cards

CHIP_WIDTH, LANE_WIDTH, PADDING, GAP = 110, 46, 9, 15
ROW_HEIGHT, ROW_GAP, UNIT_GAP = 19, 4, 9
TOP, TITLE_HEIGHT, FOOTER_HEIGHT, LEGEND_HEIGHT = 62, 46, 24, 34
SUM_RADIUS = 8
MIN_WIDTH = 740
"""Height of the heading and the legend, in pixels."""

DRAWING_STYLE = """
  svg { --paper: #ffffff; --card: #f5f6f8; --unit: #e6e9ee; --line: #98a1ae; --ink: #1c232d; --muted: #5d6775;
    --conv: #4b3f92; --depthwise: #1f6fb2; --pointwise: #0d5c63; --pool: #5c6b1e; --dense: #8a3a5c;
    --norm: #ffffff; --act: #f6c453; font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
  @media (prefers-color-scheme: dark) { svg { --paper: #14181e; --card: #1d232c; --unit: #2a323e; --line: #6b7686;
    --ink: #e8ebef; --muted: #a3adba; --norm: #3a4453; } }
  text { text-anchor: middle; dominant-baseline: central; fill: var(--ink); }
  .title { text-anchor: start; font-size: 17px; font-weight: 600; }
  .facts { text-anchor: start; fill: var(--muted); }
  .muted { fill: var(--muted); font-size: 11px; }
  .name { font-weight: 600; }
  .line { fill: none; stroke: var(--line); stroke-width: 1.5; }
  .sum { fill: var(--card); stroke: var(--line); stroke-width: 1.5; }
  .chip text { fill: #ffffff; font-size: 11.5px; }
  .chip .norm, .chip .scale { stroke: var(--line); }
  .chip .norm + text, .chip .scale + text { fill: var(--ink); font-size: 10.5px; }
  .chip .act + text { fill: #1c232d; font-size: 10.5px; }
  .conv { fill: var(--conv); } .depthwise { fill: var(--depthwise); } .pointwise { fill: var(--pointwise); }
  .pool { fill: var(--pool); } .dense { fill: var(--dense); } .norm, .scale { fill: var(--norm); }
  .act { fill: var(--act); }
"""

LEGEND = (
    ("depthwise", "dw", "depthwise convolution"),
    ("pointwise", "pw", "pointwise convolution"),
    ("norm", "BN", "batch normalisation"),
    ("act", "ReLU", "activation"),
)


def draw(architecture: Architecture) -> str:
    """The network as an SVG document: one card per run of like blocks, one box per unit, one chip per operation."""
    row = cards(architecture)
    widths = [_width(card) for card in row]
    height = max(map(_height, row))
    width = max(MIN_WIDTH, sum(widths) + GAP * (len(row) + 1))
    body = [*_heading(architecture)]
    left = float(GAP)
    for card, card_width in zip(row, widths, strict=True):
        body += _card(card, left, card_width, height)
        left += card_width + GAP
    body += _arrows(widths)
    body += _legend(TOP + height + LEGEND_HEIGHT / 2)
    return _document(architecture.name, width, TOP + height + LEGEND_HEIGHT, body)


def write_drawing(architecture: Architecture, path: Path) -> None:
    """Write `draw`'s document to a file.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    write_file(path, draw(architecture).encode())


def _document(name: str, width: float, height: float, body: Sequence[str]) -> str:
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
            f"<title>{escape(name)}, from its specification</title>",
            f"<style>{DRAWING_STYLE}</style>",
            f'<rect width="{width:g}" height="{height:g}" rx="10" style="fill: var(--paper)"/>',
            *body,
            "</svg>\n",
        )
    )


def _heading(architecture: Architecture) -> Iterator[str]:
    counts, px = cost(architecture), architecture.input_px
    facts = (
        f"{architecture.in_channels} × {px} × {px} px",
        f"{counts.parameters:,} parameters",
        f"{counts.macs / 1e6:,.1f} M multiply-accumulates",
        f"epsilon {architecture.norm.epsilon:.0e}".replace("e-0", "e-"),
    )
    yield _text(GAP, 22, architecture.name, "title")
    yield _text(GAP, 45, "  ·  ".join(facts), "facts")


def _width(card: NetworkCard) -> float:
    return CHIP_WIDTH + 2 * PADDING + (0 if card.shortcut is None else LANE_WIDTH + PADDING)


def _height(card: NetworkCard) -> float:
    units = sum(_rows_height(unit) + UNIT_GAP for unit in card.units)
    slots = sum(_rows_height(rows) + UNIT_GAP for rows in (card.before, card.after) if rows)
    joint = 2 * UNIT_GAP + 2 * SUM_RADIUS if card.shortcut is not None else 0
    return TITLE_HEIGHT + units + slots + joint + UNIT_GAP + FOOTER_HEIGHT


def _rows_height(rows: Sequence[ChipRow]) -> float:
    return len(rows) * (ROW_HEIGHT + ROW_GAP) + ROW_GAP


def _card(card: NetworkCard, left: float, width: float, height: float) -> Iterator[str]:
    middle = left + width - PADDING - CHIP_WIDTH / 2
    yield _box(left, TOP, width, height, "var(--card)", 8)
    yield _text(left + width / 2, TOP + 16, card.title, "name")
    yield _text(left + width / 2, TOP + 33, card.subtitle, "muted")
    yield _text(left + width / 2, TOP + height - FOOTER_HEIGHT / 2, card.footer, "muted")
    yield _line(f"M{middle:g} {TOP + TITLE_HEIGHT:g} V{TOP + height - FOOTER_HEIGHT:g}")
    y = float(TOP + TITLE_HEIGHT + UNIT_GAP)
    if card.before:
        yield from _rows(card.before, middle, y)
        y += _rows_height(card.before) + UNIT_GAP
    fork = y
    y += UNIT_GAP if card.shortcut is not None else 0
    for unit in card.units:
        yield _box(middle - CHIP_WIDTH / 2 - 4, y, CHIP_WIDTH + 8, _rows_height(unit), "var(--unit)", 6)
        yield from _rows(unit, middle, y)
        y += _rows_height(unit) + UNIT_GAP
    if card.shortcut is not None:
        y += SUM_RADIUS
        yield from _shortcut(card.shortcut, left + PADDING + LANE_WIDTH / 2, middle, fork, y)
        y += SUM_RADIUS + UNIT_GAP
    yield from _rows(card.after, middle, y)


def _shortcut(rows: Sequence[ChipRow], lane: float, middle: float, fork: float, total: float) -> Iterator[str]:
    """The way around the units, from the fork to the sum."""
    yield _line(f"M{middle:g} {fork:g} H{lane + 6:g} q-6 0 -6 6 V{total - 6:g} q0 6 6 6 H{middle - SUM_RADIUS:g}")
    yield from _rows(rows, lane, (fork + total - _rows_height(rows)) / 2, LANE_WIDTH)
    yield f'<circle class="sum" cx="{middle:g}" cy="{total:g}" r="{SUM_RADIUS}"/>'
    yield _text(middle, total, "+", "name")


def _rows(rows: Sequence[ChipRow], middle: float, top: float, width: float = CHIP_WIDTH) -> Iterator[str]:
    for row in rows:
        top += ROW_GAP
        chip_width = (width - ROW_GAP * (len(row) - 1)) / len(row)
        for index, chip in enumerate(row):
            left = middle - width / 2 + index * (chip_width + ROW_GAP)
            yield _chip(left, top, chip_width, chip.kind, chip.text)
        top += ROW_HEIGHT


def _chip(left: float, top: float, width: float, kind: str, text: str) -> str:
    # Norms and activations are what the slots hold; narrower, they read as what stands around the convolutions.
    inset = 0.22 * width if kind in ("norm", "act", "scale") and width > 60 else 0
    place = f'x="{left + inset:g}" y="{top:g}" width="{width - 2 * inset:g}" height="{ROW_HEIGHT}"'
    label = _text(left + width / 2, top + ROW_HEIGHT / 2, text)
    return f'<g class="chip"><rect class="{kind}" {place} rx="4"/>{label}</g>'


def _arrows(widths: Sequence[float]) -> Iterator[str]:
    x, y = GAP + 0.0, TOP + TITLE_HEIGHT / 2
    for width in widths[:-1]:
        x += width + GAP
        yield _line(f"M{x - GAP + 2:g} {y:g} H{x - 2:g} m-5 -4 l5 4 l-5 4")


def _legend(y: float) -> Iterator[str]:
    x = float(GAP)
    for kind, short, words in LEGEND:
        yield _chip(x, y - ROW_HEIGHT / 2, 42, kind, short)
        yield _text(x + 50, y, words, "facts")
        x += 72 + 6.4 * len(words)


def _box(left: float, top: float, width: float, height: float, fill: str, radius: float) -> str:
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" style="fill: {fill}"/>'
    )


def _line(path: str) -> str:
    return f'<path class="line" d="{path}"/>'


def _text(x: float, y: float, text: str, css_class: str = "") -> str:
    attribute = f' class="{css_class}"' if css_class else ""
    return f'<text x="{x:g}" y="{y:g}"{attribute}>{escape(text)}</text>'
