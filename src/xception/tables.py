"""Results as tables, for display in a notebook and as a data frame."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from xception.extras import require

if TYPE_CHECKING:
    import pandas as pd

TableValue = str | int | float | bool | None


class ResultTable(NamedTuple):
    """Rows of values under their columns."""

    columns: Sequence[str]
    rows: Iterable[Sequence[TableValue]]
    caption: str = ""
    note: str = ""
    """A sentence below the table."""


class TableResult:
    """A result that a notebook displays, and that turns into a data frame."""

    __slots__ = ()

    def displayed(self) -> ResultTable:
        """The figures to decide by, as texts for a reader."""
        raise NotImplementedError

    def records(self) -> ResultTable:
        """The figures of each part of the result as they are, for other programs."""
        raise NotImplementedError

    def to_pandas(self) -> "pd.DataFrame":
        """A data frame of `records`.

        Raises:
            MissingExtra: pandas is not installed.
        """
        table = self.records()
        return require("pandas", "notebook").DataFrame(list(table.rows), columns=list(table.columns))

    def _repr_html_(self) -> str:
        """The table that a notebook displays."""
        table = self.displayed()
        caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
        head = _row("th", table.columns) if table.columns else ""
        note = f"<p>{escape(table.note)}</p>" if table.note else ""
        return f"<table>{caption}{head}{''.join(_row('td', row) for row in table.rows)}</table>{note}"


def _row(tag: str, cells: Iterable[TableValue]) -> str:
    texts = (escape("" if cell is None else str(cell)) for cell in cells)
    return f"<tr>{''.join(f'<{tag}>{text}</{tag}>' for text in texts)}</tr>"
