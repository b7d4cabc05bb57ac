"""Results image by image, as Parquet, JSON Lines or CSV: written in parts, put together, and read again."""

import codecs
import csv
import gzip
import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, get_args

import msgspec

from xception.backends.base import Logits
from xception.data.source import Target
from xception.errors import InputError, UsageError
from xception.extras import require
from xception.inputs import open_file, parse_json
from xception.metrics import Activation
from xception.outputs import staged_file
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.prediction import answered, chosen_classes

TableFormat = Literal["parquet", "jsonl", "jsonl.gz", "csv"]
TABLE_FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)

ROWS_PER_READ = 4096


class ImageResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one image, or why there is none. The names of the fields are those of the columns."""

    key: str
    """Name of the image in its data set."""
    label: str | None = None
    """The true class, where it is known; in multi-label data all of them, with `SEPARATOR` between them."""
    target: int | None = None
    """The model's index of the true class."""
    targets: tuple[int, ...] | None = None
    """In multi-label data, the model's indices of all true classes, in place of `target`."""
    predicted: str | None = None
    """The likeliest class; None where it does not reach the threshold that was asked for."""
    score: float | None = None
    """Its probability; None from a model whose answers are none."""
    labels: tuple[str, ...] = ()
    """The likeliest classes, or all that reach the threshold, best first."""
    indices: tuple[int, ...] = ()
    """Their indices in the model."""
    scores: tuple[float, ...] = ()
    """Their probabilities, or their logits from a model whose answers are none."""
    logits: tuple[float, ...] | None = None
    """All that the model gave, one number per class or feature, if it was asked for."""
    damage: str | None = None
    """Warning of a file that was decoded although its data are broken."""
    failure: str | None = None
    """Reason why there is no answer."""


RESULT_COLUMNS = ImageResult.__struct_fields__
LISTS = frozenset({"targets", "labels", "indices", "scores", "logits"})
"""Columns of lists, which CSV holds as JSON."""


class ResultMaker:
    """Makes rows of outcomes.

    Args:
        names: the classes in the order of the logits; none of a model that gives embeddings.
        activation: the way from logits to probabilities.
        top: likeliest classes per image.
        threshold: all classes of at least this probability in place of the likeliest ones.
        logits: keep all that the model gave.
    """

    def __init__(
        self,
        names: Sequence[str],
        activation: Activation,
        *,
        top: int = 5,
        threshold: float | None = None,
        logits: bool,
    ) -> None:
        self._names, self._activation = names, activation
        self._top, self._threshold, self._logits = top, threshold, logits

    def row(self, outcome: Scored | Failure, label: str | None = None, target: Target | None = None) -> ImageResult:
        """The row of an image with its true class or classes, where these are known."""
        outcome = answered(outcome)
        true: dict[str, Any] = {"label": label, "targets" if isinstance(target, tuple) else "target": target}
        if isinstance(outcome, Failure):
            return ImageResult(key=outcome.key, failure=outcome.reason, **true)
        kept = tuple(map(float, outcome.logits)) if self._logits or not self._names else None
        answer = self._answer(outcome.logits) if self._names else {}
        return ImageResult(key=outcome.item.key, logits=kept, damage=outcome.warning, **true, **answer)

    def _answer(self, logits: Logits) -> dict[str, Any]:
        chosen, known = chosen_classes(logits, self._activation, self._top, self._threshold)
        if not chosen:
            return {}
        values = logits if known is None else known
        return {
            "predicted": self._names[chosen[0]],
            "score": None if known is None else float(known[chosen[0]]),
            "labels": tuple(self._names[index] for index in chosen),
            "indices": tuple(chosen),
            "scores": tuple(float(values[index]) for index in chosen),
        }


def table_format(path: Path) -> TableFormat:
    """The format of a file of results, by the ending of its name.

    Raises:
        UsageError: it has none of the known endings.
    """
    found = find_table_format(path.name)
    if found is None:
        raise UsageError(f"{path} has the ending {path.suffix!r}; expected .{', .'.join(TABLE_FORMATS)}")
    return found


def find_table_format(name: str) -> TableFormat | None:
    """The format of a file of results, by the ending of its name; None if it has none of the known endings."""
    return next((form for form in TABLE_FORMATS if name.lower().endswith(f".{form}")), None)


def packages_for_table(path: Path | str | None) -> tuple[str, ...]:
    """The packages that a file of results, or a folder of them on this machine, needs, if one was asked for."""
    path = Path(path) if path else None
    if path is None or path.is_dir() or find_table_format(path.name) is None:
        return ("pyarrow",) if path and any(path.glob("*.parquet")) else ()
    return ("pyarrow",) if table_format(path) == "parquet" else ()


def part_bytes(rows: Sequence[ImageResult], form: TableFormat) -> bytes:
    """Some rows in a format, without what a file has around them."""
    if form in ("jsonl", "jsonl.gz"):
        lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        # Without the time, so that the same rows are the same bytes; such files may follow one another.
        return lines if form == "jsonl" else gzip.compress(lines, mtime=0)
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(map(_cells, rows))
        return text.getvalue().encode("utf-8", "backslashreplace")
    file = io.BytesIO()
    require("pyarrow.parquet", "data").write_table(_table(rows), file)
    return file.getvalue()


def _head(form: TableFormat) -> bytes:
    """The line of column names above the rows of CSV; nothing in the other formats."""
    return (",".join(RESULT_COLUMNS) + "\n").encode() if form == "csv" else b""


def _cells(row: ImageResult) -> list[object]:
    return [_cell(name, getattr(row, name)) for name in RESULT_COLUMNS]


def _cell(name: str, value: Any) -> object:
    if name not in LISTS:
        return value
    return "" if value is None or (not value and name != "targets") else msgspec.json.encode(value).decode()


def _table(rows: Sequence[ImageResult]) -> Any:
    arrow = require("pyarrow", "data")
    numbers, values = arrow.list_(arrow.int64()), arrow.list_(arrow.float64())
    kinds = {"target": arrow.int64(), "targets": numbers, "score": arrow.float64(), "indices": numbers}
    kinds |= {"labels": arrow.list_(arrow.string()), "scores": values, "logits": values}
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in RESULT_COLUMNS])
    return arrow.Table.from_pylist([msgspec.structs.asdict(row) for row in rows], schema=schema)


def join_parts(parts: Iterable[Path], out: Path) -> None:
    """Put parts together to one file, which appears whole or not at all; memory holds one part at a time.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    with staged_file(out) as partial:
        if table_format(out) == "parquet":
            _join_parquet(parts, partial)
            return
        with partial.open("wb") as file:
            file.write(_head(table_format(out)))
            for part in parts:
                with open_file(part) as source:
                    shutil.copyfileobj(source, file)


def _join_parquet(parts: Iterable[Path], out: Path) -> None:
    parquet = require("pyarrow.parquet", "data")
    with parquet.ParquetWriter(out, _table([]).schema) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(part))


class ResultFile:
    """A file of results that grows row by row; see `result_file`."""

    def __init__(self, partial: Path, form: TableFormat) -> None:
        self._form = form
        self._rows: list[ImageResult] = []
        if form == "parquet":
            self._parquet = require("pyarrow.parquet", "data").ParquetWriter(partial, _table([]).schema)
        else:
            self._file = partial.open("wb")
            self._file.write(_head(form))

    def add(self, row: ImageResult) -> None:
        """Append a row."""
        self._rows.append(row)
        if len(self._rows) == ROWS_PER_READ:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        (self._parquet if self._form == "parquet" else self._file).close()

    def _flush(self) -> None:
        if self._form == "parquet":
            self._parquet.write_table(_table(self._rows))
        else:
            self._file.write(part_bytes(self._rows, self._form))
        self._rows.clear()


@contextmanager
def result_file(path: Path) -> Iterator[ResultFile]:
    """A file of results that takes its place once all rows are there, and vanishes if anything fails.

    Raises:
        UsageError: no known ending.
        EnvironmentFault: it cannot be written.
    """
    form = table_format(path)
    with staged_file(path) as staged, closing(ResultFile(staged, form)) as file:
        yield file


def read_image_results(path: Path) -> Iterator[ImageResult]:
    """The rows of a file of results, one after the other.

    Raises:
        UsageError: no known ending.
        InputError: it cannot be read, or is no such file.
    """
    yield from rows_in(partial(open_file, path), table_format(path), str(path))


def rows_in(opened: Callable[[], IO[bytes]], form: TableFormat, place: str) -> Iterator[ImageResult]:
    """The rows of an opened file of results, one after the other.

    Args:
        opened: opens it.
        form: its format.
        place: its path or URL, in messages.

    Raises:
        InputError: it cannot be read, or is no such file.
    """
    read = {"parquet": _read_parquet, "jsonl": _read_jsonl, "jsonl.gz": _read_gzip, "csv": _read_csv}[form]
    try:
        with opened() as stream:
            yield from read(stream)
    except (OSError, EOFError, ValueError, csv.Error, msgspec.MsgspecError) as error:
        raise InputError(
            f"{place} holds no results image by image: {error}; expected what evaluate --predictions or predict --out "
            "wrote"
        ) from error


def _read_parquet(stream: IO[bytes]) -> Iterator[ImageResult]:
    for batch in require("pyarrow.parquet", "data").ParquetFile(stream).iter_batches(ROWS_PER_READ):
        yield from msgspec.convert(batch.to_pylist(), list[ImageResult])


def _read_jsonl(stream: Iterable[bytes]) -> Iterator[ImageResult]:
    decoder = msgspec.json.Decoder(ImageResult)
    yield from (decoder.decode(line) for line in map(_without_mark, stream) if line.strip())


def _without_mark(line: bytes) -> bytes:
    """A line without the mark that some editors put at the beginning of a file."""
    return line.removeprefix(codecs.BOM_UTF8)


def _read_gzip(stream: IO[bytes]) -> Iterator[ImageResult]:
    with gzip.open(stream) as lines:
        yield from _read_jsonl(lines)


def _read_csv(stream: IO[bytes]) -> Iterator[ImageResult]:
    with io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        rows = csv.DictReader(text, strict=True)
        if rows.fieldnames and RESULT_COLUMNS[0] not in rows.fieldnames:
            shown = ", ".join(map(repr, rows.fieldnames[:5]))
            raise ValueError(f"its first line names the columns {shown}, and none is {RESULT_COLUMNS[0]!r}")
        for cells in rows:
            row = {
                name: parse_json(cell, list[object]) if name in LISTS else cell for name, cell in cells.items() if cell
            }
            yield msgspec.convert(row, ImageResult, strict=False)
