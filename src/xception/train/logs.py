"""The record of a run in the forms that people's tools read; each is written anew from the whole history."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from xception.extras import require
from xception.train.state import Epoch
from xception.train.storage import Storage

JSON_LINES = "log.jsonl"
CSV = "log.csv"
EVENTS = "events.out.tfevents.0.xception"
"""A name that TensorBoard finds when it is given the run's folder."""

TAGS = {
    "train/loss": "train_loss",
    "train/lr": "lr",
    "train/images_per_second": "images_per_second",
    "validation/loss": "validation_loss",
    "validation/top1": "validation_top1",
}


def write_logs(storage: Storage, history: Sequence[Epoch], started_at: float) -> None:
    """Write the log as JSON Lines, as CSV and as TensorBoard's events, a row an epoch.

    A log only ever grows at its end, so that a reader may go on where it was.

    Args:
        storage: of the run.
        history: of the whole run.
        started_at: when it began, in seconds since 1970.
    """
    storage.write(JSON_LINES, msgspec.json.Encoder().encode_lines(list(history)))
    storage.write(CSV, _csv(history))
    storage.write(EVENTS, _events(history, started_at))


def _csv(history: Sequence[Epoch]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, Epoch.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    writer.writerows(msgspec.structs.asdict(row) for row in history)
    return file.getvalue().encode()


def _events(history: Sequence[Epoch], started_at: float) -> bytes:
    proto = require("tensorboard.compat.proto.event_pb2", "train")
    file = io.BytesIO()
    writer = require("tensorboard.summary.writer.record_writer", "train").RecordWriter(file)
    writer.write(proto.Event(wall_time=started_at, file_version="brain.Event:2").SerializeToString())
    for event in _scalars(history, started_at):
        writer.write(event.SerializeToString())
    return file.getvalue()


def _scalars(history: Sequence[Epoch], started_at: float) -> Iterator[Any]:
    """An event an epoch, at its last step."""
    event = require("tensorboard.compat.proto.event_pb2", "train").Event
    summary = require("tensorboard.compat.proto.summary_pb2", "train").Summary
    for row in history:
        values = ((tag, getattr(row, name)) for tag, name in TAGS.items())
        scalars = [summary.Value(tag=tag, simple_value=value) for tag, value in values if value is not None]
        yield event(wall_time=started_at + row.seconds, step=row.steps, summary=summary(value=scalars))
