"""Writers of predictions: a table, CSV or one JSON document on a text stream, written as they come."""

import csv
import sys
from collections.abc import Iterable
from typing import TextIO

import msgspec

from xception.pipeline.engine import Prediction
from xception.pipeline.lane import Failure
from xception.tasks.predictions import PREDICTION_COLUMNS, table_rows

Outcomes = Iterable[Prediction | Failure]


def write_table(outcomes: Outcomes, stream: TextIO | None = None) -> None:
    """A line per image: its path, and each class with its probability; failures name their reason."""
    stream = stream or sys.stdout
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            stream.write(f"{outcome.key}  FAILED: {outcome.reason}\n")
        else:
            stream.write(f"{outcome.path}  {', '.join(map(str, outcome.top))}\n")


def write_csv(outcomes: Outcomes, stream: TextIO | None = None) -> None:
    """Columns path, rank (from 1), index, label, probability, failure; a failed image has one line.

    The probability is empty for a model whose answers are none.
    """
    writer = csv.writer(stream or sys.stdout, lineterminator="\n")
    writer.writerow(PREDICTION_COLUMNS)
    for path, rank, index, label, probability, failure in table_rows(outcomes):
        writer.writerow((path, rank, index, label, None if probability is None else f"{probability:.8f}", failure))


def write_json(outcomes: Outcomes, stream: TextIO | None = None) -> None:
    """`{"predictions": [...], "failures": [...], "total", "seen", "failed"}`; predictions are not held in memory."""
    stream = stream or sys.stdout
    failures: list[dict[str, str]] = []
    seen = 0
    stream.write('{"predictions":[')
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            failures.append({"path": outcome.key, "reason": outcome.reason})
        else:
            stream.write(("," if seen else "") + "\n" + msgspec.json.encode(outcome).decode())
            seen += 1
    rest = {"failures": failures, "total": seen + len(failures), "seen": seen, "failed": len(failures)}
    stream.write("\n]," + msgspec.json.encode(rest).decode()[1:] + "\n")
