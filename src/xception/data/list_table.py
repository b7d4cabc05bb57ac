"""Tables in texts: lines of cells below a header, or a JSON object per line, as people list images in them."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from xception import inputs
from xception.data.classes import CLASS_INDEX, SEPARATOR
from xception.data.files import is_image

PATH_COLUMNS = (
    *("path", "file_name", "file", "file_path", "image_path", "img_path", "image", "img", "key"),
    *("image_index", "image_name", "img_name", "image_file", "image_id", "photo", "picture"),
)
"""Names of the column of paths in a table with a head, best first; see `bare_column`."""

NUMBER_COLUMNS = ("id", "id_code", "name")
"""Names of columns that hold paths where no column is one by its name or its cells."""

HEAD_SAMPLE = 20
"""Number of a table's first lines by whose cells a column of paths is known."""

DELIMITERS = (",", "\t", ";")


class TableLine(NamedTuple):
    """Number, from 1, and text of a line of a table, and its cells by the names of their columns."""

    number: int
    text: str
    cells: Mapping[str, str]


class ListTable(NamedTuple):
    """A table with a column of paths."""

    head: Sequence[str]
    """Names of the columns."""
    path: str
    """Name of the column of paths."""
    lines: Sequence[TableLine]
    delimiter: str
    """Character between the cells of a line; empty for JSON."""

    def column(self, name: str) -> list[str] | None:
        """The cell of each line in a column, empty where a line has none; None if there is no such column."""
        found = name if name in self.head else named_column(self.head, (name,))
        return None if found is None else [line.cells.get(found, "") for line in self.lines]


def read_table(text: str) -> ListTable | None:
    """Read a table with a column of paths; None for any other text."""
    lines = text.split("\n")
    for delimiter in DELIMITERS if not text.lstrip().startswith("{") else ("",):
        head, table = _cells(lines, delimiter) if delimiter else _json_cells(lines)
        path = _path_column(head, table)
        if path is not None:
            return ListTable(head, path, table, delimiter)
    return None


def bare_column(column: str) -> str:
    """The name of a column without what people write in different ways: case, spaces, underscores and hyphens."""
    return re.sub(r"[\W_]+", "", column.lower())


def named_column(head: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of these columns that has one of the wanted names, the best first."""
    names = {bare_column(cell): cell for cell in reversed(head)}
    return next((names[plain] for plain in map(bare_column, wanted) if plain in names), None)


def _path_column(head: Sequence[str], table: Sequence[TableLine]) -> str | None:
    """The column of paths, by its name or by cells that are images' names below a head that is none; None in a text
    that is no table with a head."""
    named = named_column(head, PATH_COLUMNS)
    if named or len(head) < 2 or any(map(is_image, head)) or any(map(CLASS_INDEX.fullmatch, head)):
        return named if len(head) > 1 else None
    sample = [line.cells for line in table[:HEAD_SAMPLE]]
    of_images = [name for name in head if sample and all(is_image(cells.get(name, "")) for cells in sample)]
    return of_images[0] if len(of_images) == 1 else named_column(head, NUMBER_COLUMNS)


def _cells(lines: Sequence[str], delimiter: str) -> tuple[list[str], list[TableLine]]:
    """The header of a table, and its lines below that."""
    head = [cell.strip() for cell in next(csv.reader(lines[:1], delimiter=delimiter), [])]
    return head, list(_below(head, lines, delimiter)) if len(head) > 1 else []


def _below(head: Sequence[str], lines: Sequence[str], delimiter: str) -> Iterator[TableLine]:
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            cells = (cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), []))
            yield TableLine(number, line, dict(zip(head, cells, strict=False)))


def _json_cells(lines: Sequence[str]) -> tuple[list[str], list[TableLine]]:
    """The names of all columns, and the lines; one that holds something else than an object has no cells."""
    table = [TableLine(number, line, _object(line)) for number, line in enumerate(lines, 1) if line.strip()]
    return list(dict.fromkeys(name for line in table for name in line.cells)), table


def _object(line: str) -> dict[str, str]:
    try:
        found = inputs.parse_json(line.encode(), dict[str, object])
    except msgspec.DecodeError:
        return {}
    return {name.strip(): _cell(value) for name, value in found.items()}


def _cell(value: object) -> str:
    """A value of JSON as a cell of a table. Lists have a separator behind each element, as others are no sets."""
    if isinstance(value, list):
        return "".join(f"{_cell(each)}{SEPARATOR}" for each in value) or SEPARATOR
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else msgspec.json.encode(value).decode()
