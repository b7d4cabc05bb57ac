"""Writers of predictions: a table, CSV or one JSON document on a text stream, written as they come."""

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import TextIOBase
from typing import TextIO

import msgspec
import numpy as np

from xception.data.inventory import EMPTY, Inventory
from xception.pipeline.lane import Failure
from xception.pipeline.prediction import Prediction
from xception.screen import escaped_json, one_line, printable, without_credentials
from xception.tasks.predictions import prediction_columns, table_rows

Outcomes = Iterable[Prediction | Failure]


@dataclass
class Counted:
    """The number of images that were seen, and that failed; it counts while the outcomes pass by."""

    seen: int = 0
    failed: int = 0

    def counting(self, outcomes: Outcomes) -> Iterator[Prediction | Failure]:
        """The same outcomes, counted."""
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                self.failed += 1
            else:
                self.seen += 1
            yield outcome


def write_table(outcomes: Outcomes, stream: TextIO | TextIOBase | None = None) -> None:
    """A line per image: its path, and each class with its probability, or the start of its embedding; failures name
    their reason.

    Every line is one image's, whatever its name or its classes' names hold: see `printable`.
    """
    stream = stream or sys.stdout
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            stream.write(one_line(f"{printable(outcome.key)}  FAILED: {outcome.reason}") + "\n")
        else:
            line = f"{printable(outcome.path)}  {printable(str(outcome))}"
            stream.write(without_credentials(line) + "\n")


def write_csv(outcomes: Outcomes, stream: TextIO | None = None, *, features: int = 0) -> None:
    """Columns path, rank (from 1), index, label, probability, failure; a failed image has one line.

    The probability is empty for a model whose answers are none. Embeddings of so many `features` have other columns:
    see `prediction_columns`.
    """
    writer = csv.writer(stream or sys.stdout, lineterminator="\n")
    columns = prediction_columns(features)
    writer.writerow(columns)
    for row in table_rows(outcomes, features):
        writer.writerow(map(_cell, columns, row))


def _cell(column: str, value: str | float | None) -> str | float | None:
    if isinstance(value, str):
        return one_line(value) if column == "failure" else printable(value)
    # Nine digits tell every float32 of an embedding from its neighbours.
    return f"{value:{'.8f' if column == 'probability' else '.9g'}}" if isinstance(value, float) else value


def write_json(outcomes: Outcomes, stream: TextIO | None = None, *, inventory: Inventory = EMPTY) -> None:
    """`{"predictions": [...], "failures": [...], "total", "seen", "failed", "inventory"}`; predictions are not held in
    memory.

    A prediction by a model without classes is `{"path", "embedding"}`, an array of numbers.
    """
    stream = stream or sys.stdout
    failures: list[dict[str, str]] = []
    seen = 0
    stream.write('{"predictions":[')
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            failures.append({"path": outcome.key, "reason": outcome.reason})
        else:
            encoded = msgspec.json.encode(outcome, enc_hook=np.ndarray.tolist).decode()
            stream.write(("," if seen else "") + "\n" + escaped_json(encoded))
            seen += 1
    counts = {"total": seen + len(failures), "seen": seen, "failed": len(failures)}
    rest = {"failures": failures, **counts, "inventory": msgspec.to_builtins(inventory)}
    stream.write("\n]," + escaped_json(msgspec.json.encode(rest).decode())[1:] + "\n")
