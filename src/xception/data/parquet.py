"""Parquet files with encoded images in a column, as the Hugging Face hub keeps data sets."""

import json
import re
from array import array
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple

from xception.data.classes import classes_of_indices
from xception.data.files import Files
from xception.data.locations import base_name, locate
from xception.data.shards import expand_braces
from xception.data.source import Item, Lazy
from xception.data.splits import Split, split_part
from xception.errors import DecodeError, InputError, XceptionError, first_line
from xception.extras import require
from xception.labels import MAX_CLASSES

PARQUET_SUFFIX = ".parquet"

COLUMN_NAMES = {"Image": ("image", "img"), "ClassLabel": ("label", "labels")}
"""Names of the column of each kind, best first, where the metadata name none or several."""

MAX_ROWS = 50_000_000
"""Rows of a data set; ImageNet has 14 million."""

MAX_GROUP_BYTES = 2 << 30
"""Unpacked bytes of one group of rows, whose images are all in memory at once."""

LABELS_AT_ONCE = 1 << 16

MAX_CACHED_GROUPS = 3
"""Groups of rows in memory at once: readers that run ahead are seldom in more."""

NO_LABEL = -1
"""The hub's class index of a row without a label."""


class RowGroup(NamedTuple):
    """A group of rows: the smallest part of a file that is read at once."""

    files: Files
    file: str
    metadata: Any
    number: int
    column: str


@dataclass
class Columns:
    """Columns of the images and of the labels in a file, and the classes' names if it holds them."""

    image: str
    label: str
    classes: tuple[str, ...]


def parquet(data: str, split: Split | None) -> Lazy:
    """The rows of files such as `train-{00000..00004}-of-00005.parquet`; see `parquet_rows`."""
    return split_part(parquet_rows([locate(place) for place in expand_braces(data)], base_name(data)), split)


def parquet_rows(located: list[tuple[Files, str]], name: str) -> Lazy:
    """The rows of parquet files, one file after the other; an item's key is `FILE/ROW`, counted from 0.

    Images are a column of encoded files, or of structures with these in a field `bytes`; labels one of class indices,
    whose names the metadata may hold. A few groups of rows are in memory at any time, so reading in order is quick.

    Raises:
        OSError: a file cannot be read.
        InputError: it is no parquet file, lacks these columns, or names other classes than the first one.
        MissingExtra: pyarrow is not installed.
    """
    rows = ImageRows()
    keys: list[tuple[int, str]] = []
    targets = array("q")
    named: dict[tuple[str, ...], str] = {}
    for files, file in located:
        keys.append((len(targets), file.rpartition("/")[2].removesuffix(PARQUET_SUFFIX)))
        with _opened(files, file) as opened:
            place, before = f"{files.place}/{file}", len(targets)
            columns = _columns(opened.schema_arrow, place)
            named[columns.classes] = file
            for labels in _labels(opened, columns, place):
                targets.extend(labels)
                if len(targets) - before > opened.metadata.num_rows or len(targets) > MAX_ROWS:
                    raise InputError(f"{place} holds more rows than it says, or than {MAX_ROWS:,}; fetch it again")
            for number in range(opened.metadata.num_row_groups):
                rows.add(RowGroup(files, file, opened.metadata, number, columns.image))
    if not targets:
        raise InputError(f"{name} holds no rows; expected a column of images and one of class indices")
    if len(named) > 1:
        raise InputError(
            f"{' and '.join(list(named.values())[:2])} name different classes; expected those of one data set"
        )
    classes = next(iter(named), ()) or classes_of_indices([files for files, _ in located[:1]], targets)
    if max(targets, default=NO_LABEL) >= len(classes):
        raise InputError(f"{name} uses class {max(targets)}, but names {len(classes)} classes; expected lower indices")
    firsts = [first for first, _ in keys]

    def item(index: int) -> Item:
        first, stem = keys[bisect_right(firsts, index) - 1]
        target = None if targets[index] == NO_LABEL else targets[index]
        return Item(f"{stem}/{index - first}", target, partial(rows.image, index))

    def column(wanted: str) -> list[Hashable]:
        return [value for files, file in located for value in _values(files, file, wanted)]

    return Lazy(name, classes, range(len(targets)), item, column=column)


def _values(files: Files, file: str, column: str) -> list[Hashable]:
    with _opened(files, file) as opened:
        if column not in opened.schema_arrow.names:
            raise InputError(
                f"{files.place}/{file} has the columns {', '.join(opened.schema_arrow.names)}; expected {column!r}"
            )
        return list(opened.read(columns=[column]).column(0).to_pylist())


class ImageRows:
    """Images by their number over all groups of rows."""

    def __init__(self) -> None:
        self._groups: list[RowGroup] = []
        self._firsts: list[int] = []
        self._count = 0
        self._lock = Lock()
        self._column = lru_cache(MAX_CACHED_GROUPS)(_read_group)

    def add(self, group: RowGroup) -> None:
        """Append the rows of one group."""
        self._groups.append(group)
        self._firsts.append(self._count)
        self._count += group.metadata.row_group(group.number).num_rows

    def image(self, row: int) -> bytes:
        """The encoded image of a row.

        Raises:
            OSError: the file cannot be read.
            DecodeError: the row holds none, or its part of the file is damaged.
        """
        number = bisect_right(self._firsts, row) - 1
        with self._lock:  # of several threads that want the same rows, one reads them
            column = self._column(self._groups[number])
        try:
            value = column[row - self._firsts[number]].as_py()
        except Exception as error:  # Arrow's own: of an index beyond the images that the rows share, or of damaged text
            raise DecodeError(f"the row is damaged: {first_line(error)}") from error
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise DecodeError("the row holds no image")
        return data


def _read_group(group: RowGroup) -> Any:
    try:
        # An image that many rows share, which takes a few bytes in the file, is in memory once too.
        options = {"metadata": group.metadata, "read_dictionary": [group.column]}
        with _opened(group.files, group.file, **options) as opened:
            _check_size(group)
            return opened.read_row_group(group.number, columns=[group.column]).column(0)
    except InputError as error:
        raise DecodeError(str(error)) from error


def _check_size(group: RowGroup) -> None:
    # Of the group, since to ask a damaged file for what it says of a column ends the process.
    size = group.metadata.row_group(group.number).total_byte_size
    if size > MAX_GROUP_BYTES:
        raise DecodeError(
            f"a group of rows of {group.file} holds {size:,} bytes; {MAX_GROUP_BYTES:,} are the limit, so "
            "write the file with smaller groups"
        )


@contextmanager
def _opened(files: Files, file: str, **options: object) -> Iterator[Any]:
    parquet = require("pyarrow.parquet", "data")
    with files.open(file) as stream:
        try:
            yield parquet.ParquetFile(stream, **options)
        except XceptionError:
            raise
        except Exception as error:  # Arrow's own are of six kinds
            raise InputError(f"{files.place}/{file} is no parquet file, or damaged: {error}; fetch it again") from error


def _columns(schema: Any, place: str) -> Columns:
    features = _features(schema.metadata or {})
    image, label = (_column(kind, features, schema.names, place) for kind in COLUMN_NAMES)
    is_struct = require("pyarrow", "data").types.is_struct(schema.field(image).type)
    return Columns(f"{image}.bytes" if is_struct else image, label, _class_names(features.get(label, {})))


def _column(kind: str, features: Mapping[str, Any], names: list[str], place: str) -> str:
    told = [name for name in names if features.get(name, {}).get("_type") == kind] or names
    found = [name for name in COLUMN_NAMES[kind] if name in told] or (told if told is not names else [])
    if len(found) != 1 or names.count(found[0]) > 1:
        raise InputError(
            f"{place} has the columns {', '.join(names)}; expected images in one called {COLUMN_NAMES['Image'][0]}, "
            f"and class indices in one called {COLUMN_NAMES['ClassLabel'][0]}"
        )
    return found[0]


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Notes of the hub's library on the columns."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {name: row for name, row in features.items() if isinstance(row, dict)} if isinstance(features, dict) else {}


def _class_names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes in the notes, a list or a mapping by index as text; none if they are anything else."""
    names = feature.get("names") or ()
    if isinstance(names, dict) and all(re.fullmatch("[0-9]{1,7}", key) for key in names):
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _labels(opened: Any, columns: Columns, place: str) -> Iterator[list[int]]:
    """The class indices of a file in its order, some at a time: a run of equal ones takes no room in the file."""
    kind = opened.schema_arrow.field(columns.label).type
    if not require("pyarrow", "data").types.is_integer(kind):
        raise InputError(f"the column {columns.label} of {place} holds {kind}; expected class indices")
    for batch in opened.iter_batches(LABELS_AT_ONCE, columns=[columns.label]):
        values = [NO_LABEL if value is None else max(NO_LABEL, value) for value in batch.column(0).to_pylist()]
        if max(values, default=NO_LABEL) >= MAX_CLASSES:
            raise InputError(
                f"{place} uses the class index {max(values)}, where those below {MAX_CLASSES:,} are expected; check "
                "the labels"
            )
        yield values
