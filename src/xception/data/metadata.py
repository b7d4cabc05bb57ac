"""Further facts on images: the other columns of a list file, or those of a table next to class folders, which the
Hugging Face hub calls `metadata.csv` or `metadata.jsonl`."""

from collections.abc import Callable, Sequence
from functools import partial

from xception.data.classes import read_text
from xception.data.files import Files
from xception.data.list_table import ListTable, read_table
from xception.errors import InputError

METADATA_FILES = ("metadata.csv", "metadata.jsonl")


def metadata_columns(files: Files, keys: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """The columns of the table next to class folders by their names, each with one value per key; read when one is
    asked for.

    Args:
        files: the folder in which the table lies.
        keys: the images' paths there.
    """
    return partial(_column_next_to, files, keys)


def list_column(files: Files, name: str, count: int, column: str) -> Sequence[str]:
    """A column of a list file, with one value for each of its last `count` lines: those before them are none of images.

    Raises:
        InputError: the list has no such column, or no value for some image.
    """
    place = f"{files.place}/{name}"
    table = read_table(read_text(files, name) or "")
    if table is None:
        raise InputError(f"{place} has no header that names a column {column!r}; expected one, with a column of paths")
    return _complete(_cells(table, place, column)[-count:], [line.text for line in table.lines[-count:]], place, column)


def _column_next_to(files: Files, keys: Sequence[str], column: str) -> Sequence[str]:
    name, text = next(
        ((name, text) for name in METADATA_FILES if (text := read_text(files, name)) is not None),
        (METADATA_FILES[0], None),
    )
    place = f"{files.place}/{name}"
    if text is None:
        raise InputError(f"there is no {name} in {files.place}; expected one with a row per image")
    table = read_table(text)
    if table is None:
        raise InputError(f"{place} has no column of the images' paths; expected one called file_name")
    by_key = dict(zip(_cells(table, place, table.path), _cells(table, place, column), strict=True))
    return _complete([by_key.get(key, "") for key in keys], keys, place, column)


def _cells(table: ListTable, place: str, column: str) -> list[str]:
    found = table.column(column)
    if found is None:
        raise InputError(f"{place} has the columns {', '.join(table.head)}; expected {column!r} among them")
    return found


def _complete(values: Sequence[str], shown: Sequence[str], place: str, column: str) -> Sequence[str]:
    """The values, one for each image.

    Raises:
        InputError: some are empty; the error shows the first of their images.
    """
    missing = [image for image, value in zip(shown, values, strict=True) if not value]
    if missing:
        raise InputError(
            f"{place} gives no {column!r} for {len(missing)} of {len(values)} images, such as {missing[0]}; add them"
        )
    return values
