"""Parquet files with encoded images in a column, as the Hugging Face hub keeps data sets."""

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple

from xception.data.classes import LABEL_COLUMNS, NO_LABEL, SET_COLUMNS, Stated, StatedClasses, Targets
from xception.data.files import Files
from xception.data.locations import base_name, locate
from xception.data.shards import expand_braces
from xception.data.source import Item, Lazy
from xception.data.splits import Split, split_part
from xception.errors import DecodeError, InputError, XceptionError, first_line
from xception.extras import require
from xception.waits import each

PARQUET_SUFFIX = ".parquet"

COLUMN_NAMES = {"Image": ("image", "img"), "ClassLabel": (*LABEL_COLUMNS, *SET_COLUMNS)}
"""Names of the column of each kind, best first, where the metadata name none or several."""

LIST_FEATURES = ("Sequence", "List", "LargeList")
"""Kinds of columns of lists, in the metadata."""

MAX_ROWS = 50_000_000
"""Rows of a data set; ImageNet has 14 million."""

MAX_GROUP_BYTES = 2 << 30
"""Unpacked bytes of one group of rows, whose images are all in memory at once."""

MAX_CACHED_GROUPS = 3
"""Groups of rows in memory at once: readers that run ahead are seldom in more."""

ROWS_AT_ONCE = 1 << 16
"""Rows whose labels and paths are read at once."""


class RowGroup(NamedTuple):
    """A group of rows: the smallest part of a file that is read at once."""

    files: Files
    file: str
    metadata: Any
    number: int
    column: str


@dataclass
class Columns:
    """Columns of a file, and the classes' names if it holds them."""

    image: str
    path: str | None
    """The column of the images' own paths; None where they have none."""
    label: str | None
    """None where the rows have no labels."""
    classes: tuple[str, ...]


def parquet(data: str, split: Split | None) -> Lazy:
    """The rows of files such as `train-{00000..00004}-of-00005.parquet`; see `parquet_rows`."""
    return split_part(parquet_rows([locate(place) for place in expand_braces(data)], base_name(data)), split)


def parquet_rows(located: list[tuple[Files, str]], name: str, *, labelled: bool = True) -> Lazy:
    """The rows of parquet files, one file after the other.

    An item's key is its image's path, where the rows have one and no other has the same; else `FILE/ROW`, counted from
    0. Images are a column of encoded files, or of structures with these in a field `bytes` and their path in `path`;
    labels one of class indices, whose names the metadata may hold, or of names, or of lists of either. If they need not
    be `labelled`, that column may be missing. A few groups of rows are in memory at any time, so reading in order is
    quick.

    Raises:
        OSError: a file cannot be read.
        InputError: it is no parquet file, lacks these columns, or names other classes than the first one.
        MissingExtra: pyarrow is not installed.
    """
    rows, stated = ImageRows(), StatedClasses()
    paths: list[str | None] = []
    firsts: list[tuple[int, str]] = []
    named: dict[tuple[str, ...], str] = {}
    for files, file in each(located, "reading parquet files", len(located)):
        firsts.append((len(paths), file.rpartition("/")[2].removesuffix(PARQUET_SUFFIX)))
        with _opened(files, file) as opened:
            place, before = f"{files.place}/{file}", len(paths)
            columns = _columns(opened.schema_arrow, place, labelled=labelled)
            named[columns.classes] = file
            for number, (path, label) in enumerate(_facts(opened, columns, place)):
                paths.append(path)
                stated.add(label, f"row {number} of {place}")
                if len(paths) - before > opened.metadata.num_rows or len(paths) > MAX_ROWS:
                    raise InputError(f"{place} holds more rows than it says, or than {MAX_ROWS:,}; fetch it again")
            for number in range(opened.metadata.num_row_groups):
                rows.add(RowGroup(files, file, opened.metadata, number, columns.image))
    if not paths:
        raise InputError(f"{name} holds no rows; expected a column of images and one of classes")
    if len(named) > 1:
        raise InputError(
            f"{' and '.join(list(named.values())[:2])} name different classes; expected those of one data set"
        )
    targets, classes = stated.finish([files for files, _ in located[:1]])
    classes = classes if stated.by_name else next(iter(named), ()) or classes
    if stated.highest >= len(classes):
        raise InputError(
            f"{name} uses class {stated.highest}, but names {len(classes)} classes; expected lower indices"
        )

    keys = _keys(paths, firsts)

    make = partial(_item, rows, keys, targets)
    return Lazy(name, classes, range(len(targets)), make, column=partial(_column_of_all, located))


def _item(rows: "ImageRows", keys: Sequence[str], targets: Targets, index: int) -> Item:
    target = None if targets[index] == NO_LABEL else targets[index]
    return Item(keys[index], target, partial(rows.image, index))


def _column_of_all(located: Sequence[tuple[Files, str]], wanted: str) -> list[Hashable]:
    return [value for files, file in located for value in _values(files, file, wanted)]


def _keys(paths: Sequence[str | None], firsts: Sequence[tuple[int, str]]) -> list[str]:
    """The path of each row that has one and shares it with no other, and the file and number of every other row.

    `firsts` has the number of each file's first row, and the file's name.
    """
    shares = Counter(paths)
    ends = [first for first, _ in firsts[1:]]
    keys: list[str] = []
    for (first, stem), end in zip(firsts, [*ends, len(paths)], strict=True):
        own = enumerate(paths[first:end])
        keys += [path if path and shares[path] == 1 else f"{stem}/{number}" for number, path in own]
    return keys


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
        self._open()

    def _open(self) -> None:
        self._lock = Lock()
        self._column = lru_cache(MAX_CACHED_GROUPS)(_read_group)

    def __getstate__(self) -> dict[str, Any]:
        """All but the rows in memory, for another process."""
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_column")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

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


def _columns(schema: Any, place: str, *, labelled: bool) -> Columns:
    features, arrow = _features(schema.metadata or {}), require("pyarrow", "data")
    image, label = (_column(kind, features, schema.names) for kind in COLUMN_NAMES)
    if image is None or (label is None and labelled):
        raise InputError(
            f"{place} has the columns {', '.join(schema.names)}; expected images in one called "
            f"{' or '.join(COLUMN_NAMES['Image'])}, and their classes in one called "
            f"{', '.join(COLUMN_NAMES['ClassLabel'])}"
        )
    kind = schema.field(image).type
    is_struct = arrow.types.is_struct(kind)
    has_path = is_struct and kind.get_field_index("path") >= 0 and arrow.types.is_string(kind.field("path").type)
    return Columns(
        image=f"{image}.bytes" if is_struct else image,
        path=f"{image}.path" if has_path else None,
        label=label,
        classes=_class_names(features.get(label or "", {})),
    )


def _column(kind: str, features: Mapping[str, Any], names: list[str]) -> str | None:
    """The column of a kind; None where there is none, or no telling which."""
    told = [name for name in names if features.get(name, {}).get("_type") == kind] or names
    found = [name for name in COLUMN_NAMES[kind] if name in told] or (told if told is not names else [])
    is_one = bool(found) and (found[0] in COLUMN_NAMES[kind] or len(found) == 1) and names.count(found[0]) == 1
    return found[0] if is_one else None


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Notes of the hub's library on the columns."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    rows = {name: _element(row) for name, row in features.items()} if isinstance(features, dict) else {}
    return {name: row for name, row in rows.items() if isinstance(row, dict)}


def _element(feature: Any) -> Any:
    """The notes on the elements of a column of lists; on those of any other column as they are."""
    if isinstance(feature, list):
        return feature[0] if feature else None
    is_list = isinstance(feature, dict) and feature.get("_type") in LIST_FEATURES
    return feature.get("feature") if is_list else feature


def _class_names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes in the notes, a list or a mapping by index as text; none if they are anything else."""
    names = feature.get("names") or ()
    if isinstance(names, dict) and all(re.fullmatch("[0-9]{1,7}", key) for key in names):
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _facts(opened: Any, columns: Columns, place: str) -> Iterator[tuple[str | None, Stated | None]]:
    """The path and the class of each row in their order, some at a time: a run of equal ones takes no room in the
    file."""
    arrow = require("pyarrow", "data")
    if columns.label:
        kind = opened.schema_arrow.field(columns.label).type
        kind = kind.value_type if arrow.types.is_list(kind) or arrow.types.is_large_list(kind) else kind
        if not (arrow.types.is_integer(kind) or arrow.types.is_string(kind) or arrow.types.is_large_string(kind)):
            raise InputError(f"the column {columns.label} of {place} holds {kind}; expected class indices or names")
    asked = [column for column in (columns.path, columns.label) if column]
    for batch in opened.iter_batches(ROWS_AT_ONCE, columns=asked):
        paths = _paths(batch) if columns.path else [None] * batch.num_rows
        labels = batch.column(columns.label).to_pylist() if columns.label else [None] * batch.num_rows
        yield from zip(paths, map(_label, labels), strict=True)


def _paths(batch: Any) -> list[str | None]:
    """The path in each structure of the first column; None where there is no structure."""
    found: list[str | None] = require("pyarrow.compute", "data").struct_field(batch.column(0), "path").to_pylist()
    return found


def _label(value: str | int | list[str | int | None] | None) -> Stated | None:
    """The class that a row states, or the set of them; the hub has -1 where there is none."""
    if isinstance(value, list):
        return tuple(str(each) for each in value if each is not None)
    return None if value is None or value == NO_LABEL or value == "" else str(value)
