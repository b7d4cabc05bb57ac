"""The log of a run, one row per epoch, in common formats; each file is rewritten from the whole history."""

import csv
import io
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from xception import inputs
from xception.charts import Chart
from xception.errors import UsageError
from xception.extras import require
from xception.tables import ResultTable, TableResult
from xception.train.charts import training_curves
from xception.train.storage import Storage

JSON_LINES = "log.jsonl"
CSV = "log.csv"
EVENTS = "events.out.tfevents.0.xception"
"""A file name that TensorBoard finds in the run's folder."""

TAGS = {
    "train/loss": "train_loss",
    "train/lr": "lr",
    "train/images_per_second": "images_per_second",
    "validation/loss": "validation_loss",
    "validation/top1": "validation_top1",
    "validation/top5": "validation_top5",
    "validation/balanced_accuracy": "validation_balanced_accuracy",
    "validation/balanced_loss": "validation_balanced_loss",
    "validation/macro_f1": "validation_macro_f1",
    "validation/roc_auc": "validation_roc_auc",
    "validation/average_precision": "validation_average_precision",
}
"""Column of the log for each tag of TensorBoard."""


class Epoch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log row of one finished epoch; figures of the validation part are fractions, and None without images."""

    epoch: int
    steps: int
    lr: float
    train_loss: float
    validation_loss: float | None
    validation_top1: float | None
    validation_top5: float | None = None
    """None for fewer than six classes."""
    validation_balanced_accuracy: float | None = None
    """Mean recall of the classes."""
    validation_balanced_loss: float | None = None
    """Mean over the classes of the loss on their images."""
    validation_macro_f1: float | None = None
    """Mean F1 of the classes."""
    validation_roc_auc: float | None = None
    """Only for two classes, and as the mean over the classes of multi-label data."""
    validation_average_precision: float | None = None
    """Mean average precision of the classes of multi-label data."""
    seconds: float
    """Seconds since the start of the run, without its interruptions."""
    images_per_second: float
    """Rate of training over all devices, with the waiting for data and without validation."""
    ms_per_step: float
    devices: int

    @property
    def headline(self) -> tuple[str, float | None]:
        """The figure that sums up a validation, with its name: of multi-label data mean average precision."""
        if self.validation_average_precision is not None:
            return "mean average precision", self.validation_average_precision
        return "top-1", self.validation_top1


class History(TableResult, tuple[Epoch, ...]):
    """The rows of a run's log, one per epoch."""

    __slots__ = ()

    def displayed(self) -> ResultTable:
        """The losses and the figure that sums up a validation, for each epoch."""
        name = self[-1].headline[0] if self else "top-1"
        columns = ("epoch", "training loss", "validation loss", f"validation {name}", "seconds")
        return ResultTable(columns, list(map(_displayed_epoch, self)))

    def records(self) -> ResultTable:
        """A row for each epoch, with all of its figures."""
        return ResultTable(Epoch.__struct_fields__, [msgspec.structs.astuple(row) for row in self])

    def plot(self) -> Chart:
        """The losses and the validation accuracy by epoch.

        Raises:
            UsageError: no epoch was validated.
        """
        chart = training_curves(self)
        if chart is None:
            raise UsageError("no epoch of this run was validated, so that it has no curves; see `to_pandas()`")
        return chart


def _displayed_epoch(row: Epoch) -> tuple[str, ...]:
    figure = row.headline[1]
    return (
        str(row.epoch),
        f"{row.train_loss:.4f}",
        "-" if row.validation_loss is None else f"{row.validation_loss:.4f}",
        "-" if figure is None else f"{figure:.2%}",
        f"{row.seconds:,.1f}",
    )


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """The speed of a run, as medians over its epochs."""

    ms_per_step: float
    images_per_second_per_device: float
    devices: int

    def __str__(self) -> str:
        devices = f"{self.devices} device{'s' * (self.devices > 1)}"
        return (
            f"{self.ms_per_step:.1f} ms/step, {self.images_per_second_per_device:,.1f} images/s per device, {devices}"
        )


def median_speed(history: Sequence[Epoch]) -> Speed | None:
    """The speed of a run with this history; None without a finished epoch."""
    if not history:
        return None
    return Speed(
        ms_per_step=median(row.ms_per_step for row in history),
        images_per_second_per_device=median(row.images_per_second / row.devices for row in history),
        devices=history[-1].devices,
    )


def read_history(storage: Storage) -> History:
    """Read the log of a training run from its folder or URL.

    Raises:
        FileNotFoundError: there is no log.
    """
    lines = storage.read(JSON_LINES).splitlines()
    return History(inputs.parse_json(line, Epoch) for line in lines)


def write_logs(storage: Storage, history: Sequence[Epoch], started_at: float) -> None:
    """Write the log as JSON Lines, as CSV and as TensorBoard's events, one row per epoch.

    A log only ever grows at its end, so that a reader may go on where it was.

    Args:
        storage: the run's files.
        history: the rows of all epochs so far.
        started_at: start of the run, in seconds since 1970.
    """
    storage.write(JSON_LINES, msgspec.json.Encoder().encode_lines(list(history)))
    storage.write(CSV, _csv(history))
    points = (Scalars(started_at + row.seconds, row.steps, tagged(row)) for row in history)
    storage.write(EVENTS, events(points, started_at))


def _csv(history: Sequence[Epoch]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, Epoch.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    writer.writerows(msgspec.structs.asdict(row) for row in history)
    return file.getvalue().encode()


class Scalars(NamedTuple):
    """Values by their tag at a step."""

    at: float
    """Seconds since 1970."""
    step: int
    values: dict[str, float]


def tagged(row: Epoch) -> dict[str, float]:
    """The figures of an epoch that there are, by TensorBoard's tags."""
    values = ((tag, getattr(row, name)) for tag, name in TAGS.items())
    return {tag: value for tag, value in values if value is not None}


def events(points: Iterable[Scalars], started_at: float) -> bytes:
    """A file of TensorBoard's events."""
    proto = require("tensorboard.compat.proto.event_pb2", "train")
    summary = require("tensorboard.compat.proto.summary_pb2", "train").Summary
    file = io.BytesIO()
    writer = require("tensorboard.summary.writer.record_writer", "train").RecordWriter(file)
    writer.write(proto.Event(wall_time=started_at, file_version="brain.Event:2").SerializeToString())
    for point in points:
        scalars = [summary.Value(tag=tag, simple_value=value) for tag, value in point.values.items()]
        event = proto.Event(wall_time=point.at, step=point.step, summary=summary(value=scalars))
        writer.write(event.SerializeToString())
    return file.getvalue()
