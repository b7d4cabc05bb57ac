"""The tables of the page on exports, made of what `python -m benchmarks.export_matrix` measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages.markdown import ROOT, markdown_table, measured, with_tables
from xception.arch.variants import VARIANTS
from xception.forms import FORMS, exportable

PAGE = ROOT / "docs/reference/export-matrix.md"
DATA = PAGE.with_suffix(".json")
WAYS_OF_ONNX = {"onnx": "ONNX, opset 17", "onnx-11": "ONNX, opset 11", "onnx-float16": "ONNX, float16"}
COLUMNS = WAYS_OF_ONNX | {form: FORMS[form].title for form in exportable() if form not in WAYS_OF_ONNX}
"""Titles of the columns: every form that is exported, and ONNX in three ways."""

NARROW = "\\*"


def generated() -> Mapping[Path, str]:
    """The page with the tables of what was measured."""
    return {PAGE: updated(PAGE.read_text(encoding="utf-8"))}


def tables(data: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Markdown by the name between the page's marks."""
    header = ["variant", *COLUMNS.values()]
    return {
        "agreement": markdown_table(
            header, [[f"`{name}`", *(_agreement(cell) for cell in _cells(data, name))] for name in VARIANTS]
        ),
        "sizes": markdown_table(
            header, [[f"`{name}`", *(_size(cell) for cell in _cells(data, name))] for name in VARIANTS]
        ),
        "tools": markdown_table(["format", "versions"], [[title, _tools(data, c)] for c, title in COLUMNS.items()]),
        "reasons": "".join(f"- {item}\n" for item in _reasons(data)),
    }


def _cells(data: dict[str, dict[str, Any]], variant: str) -> list[dict[str, Any]]:
    """A variant's cells in the order of the columns, those that were not measured yet empty."""
    return [data.get(variant, {}).get(column, {}) for column in COLUMNS]


def _agreement(cell: dict[str, Any]) -> str:
    if not cell:
        return "not measured"
    if "reason" in cell:
        return "-"
    return f"{cell['relative_diff']:.1e}{NARROW if cell['width'] < 1 else ''}"


def _size(cell: dict[str, Any]) -> str:
    if not cell or "reason" in cell or cell["width"] < 1:
        return "-"
    return f"{cell['size_bytes'] / 1e6:.1f} MB"


def _tools(data: dict[str, dict[str, Any]], column: str) -> str:
    used = {
        f"{tool} {version}"
        for cells in data.values()
        for tool, version in cells.get(column, {}).get("tools", {}).items()
    }
    return ", ".join(sorted(used))


def _reasons(data: dict[str, dict[str, Any]]) -> list[str]:
    """The reasons of empty cells, each after all cells that share it."""
    holes: dict[tuple[str, str], list[str]] = {}
    for name, cells in data.items():
        for column, title in COLUMNS.items():
            if "reason" in cells.get(column, {}):
                holes.setdefault((title, cells[column]["reason"]), []).append(name)
    return [
        f"{title}: {_variants(names, data)}.\n  {reason[:1].upper()}{reason[1:]}."
        for (title, reason), names in holes.items()
    ]


def _variants(names: list[str], data: dict[str, dict[str, Any]]) -> str:
    """Some of the variants, or all but the others if these are fewer."""
    others = sorted(data.keys() - names)
    shown, lead = (others, "all variants but ") if 0 < len(others) < len(names) else (names, "")
    return lead + ", ".join(f"`{name}`" for name in shown)


def updated(text: str) -> str:
    found = {name: f"\n{table}\n" for name, table in tables(measured(DATA)).items()}
    return with_tables(text, found)
