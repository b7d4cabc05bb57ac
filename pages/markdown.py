"""Tables in Markdown, and their places between the marks of a page."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str] = ()) -> str:
    """A table with a line per row; `align` holds the lines under the header's cells, by default "---"."""
    lines = [header, align or ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """A page with each table put between its marks, `<!-- name -->` and `<!-- /name -->`."""
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the page has no place for the table {name!r}; expected {start.strip()} and {end} in it")
        text = before + start + table + end + after
    return text


def measured(data: Path) -> dict[str, dict[str, Any]]:
    """The document with the measurements that a page shows."""
    found: dict[str, dict[str, Any]] = json.loads(data.read_bytes())
    return found
