"""The table of known tensors on the page on conversion."""

from collections.abc import Mapping
from pathlib import Path

from pages.markdown import ROOT, markdown_table, with_tables
from xception.convert.known_extras import KNOWN_EXTRAS

PAGE = ROOT / "docs/reference/conversion.md"
TABLE = "extras"


def generated() -> Mapping[Path, str]:
    """The page with today's table."""
    return {PAGE: updated(PAGE.read_text(encoding="utf-8"))}


def updated(text: str) -> str:
    """The page with the table put in."""
    return with_tables(text, {TABLE: table()})


def table() -> str:
    """A row per kind of tensor, with an example and what conversion does to it."""
    rows = (
        (row.what, f"`{row.example}`", f"refused: {row.needed}" if row.needed else "dropped") for row in KNOWN_EXTRAS
    )
    return markdown_table(("tensors of", "example", "what is done"), rows)
