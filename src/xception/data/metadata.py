"""Further facts on the images of class folders, in a `metadata.csv` next to them as the Hugging Face hub keeps it."""

import csv
from collections.abc import Callable, Sequence
from functools import partial

from xception.data.classes import read_text
from xception.data.files import Files
from xception.errors import InputError

METADATA_FILE = "metadata.csv"

KEY_COLUMNS = ("file_name", "file", "path", "image", "key")
"""Names of the column with the images' paths, best first."""


def metadata_columns(files: Files, keys: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """The columns of `metadata.csv` by their names, each with one value per key; read when one is asked for.

    Args:
        files: the folder in which the file lies.
        keys: the images' paths there.
    """
    return partial(_column, files, keys)


def _column(files: Files, keys: Sequence[str], name: str) -> Sequence[str]:
    rows = _rows(files)
    header = rows[0].keys() if rows else ()
    key = next((each for each in KEY_COLUMNS if each in header), None)
    if key is None or name not in header:
        raise InputError(
            f"{files.place}/{METADATA_FILE} has the columns {', '.join(header) or 'none'}; expected {name!r}, and "
            f"the images' paths in one called {KEY_COLUMNS[0]}"
        )
    by_key = {row[key]: row[name] for row in rows}
    missing = [each for each in keys if not by_key.get(each)]
    if missing:
        raise InputError(
            f"{files.place}/{METADATA_FILE} gives no {name!r} for {len(missing)} of {len(keys)} images, such as "
            f"{missing[0]}; add them"
        )
    return [by_key[each] for each in keys]


def _rows(files: Files) -> list[dict[str, str]]:
    text = read_text(files, METADATA_FILE)
    if text is None:
        raise InputError(f"there is no {METADATA_FILE} in {files.place}; expected one with a row per image")
    return list(csv.DictReader(text.splitlines()))
