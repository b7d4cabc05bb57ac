"""The tables of what int8 combines with, made of what `python -m benchmarks.int8_matrix` measured."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pages.markdown import ROOT, markdown_table, measured, with_tables
from xception.forms import FORMS, quantizable

PAGE = ROOT / "docs/explanation/int8.md"
DATA = PAGE.with_name("int8-matrix.json")

Cells = dict[str, dict[str, Any]]


def generated() -> Mapping[Path, str]:
    """The page with the tables of what was measured."""
    return {PAGE: updated(PAGE.read_text(encoding="utf-8"))}


def tables(data: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Markdown by the name between the page's marks."""
    forms = quantizable()
    header = ["options", *(FORMS[form].title for form in forms)]
    rows: dict[str, Cells] = data["quantize"]
    body = [[_name(row), *(_agreement(cells[form]) for form in forms)] for row, cells in rows.items()]
    exports = [[f"`{to}`", _exported(cell)] for to, cell in data["export"].items()]
    return {
        "int8-options": markdown_table(header, body),
        "int8-refusals": "".join(f"- {line}\n" for line in dict.fromkeys(_refusals(rows))),
        "int8-exports": markdown_table(["target", "same class and logit difference, or the reason why not"], exports),
    }


def _name(row: str) -> str:
    return f"`{row}`" if row.startswith("--") else row


def _agreement(cell: Mapping[str, Any]) -> str:
    return "-" if "refused" in cell else f"{cell['top1_agreement']:.1%}, {cell['logit_error']:.3f}"


def _exported(cell: Mapping[str, Any]) -> str:
    if "refused" in cell:
        return str(cell["refused"])
    return f"{cell['top1_agreement']:.1%}, {cell['relative_diff']:.1e}"


def _refusals(rows: Mapping[str, Cells]) -> Iterator[str]:
    """A line for each row and sentence, with the forms that it is about."""
    for row, cells in rows.items():
        sentences = {form: cell["refused"] for form, cell in cells.items() if "refused" in cell}
        for sentence in dict.fromkeys(sentences.values()):
            forms = ", ".join(FORMS[form].title for form, said in sentences.items() if said == sentence)  # type: ignore[index]
            yield f"{_name(row)}, {forms}: {sentence}."


def updated(text: str) -> str:
    """The page with tables of the present measurements."""
    return with_tables(text, tables(measured(DATA)))
