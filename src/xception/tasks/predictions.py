"""Predictions of several images, as a list that shows itself and turns into a table."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from xception.errors import DecodeError, UsageError
from xception.pipeline.lane import Failure
from xception.pipeline.prediction import Prediction
from xception.tables import ResultTable, TableResult

PREDICTION_COLUMNS = ("path", "rank", "index", "label", "probability", "failure")

MAX_SHOWN_IMAGES = 20
"""Images that are shown where predictions are printed or displayed; all others are counted."""

TableRow = tuple[str | int | float | None, ...]
"""Values of `prediction_columns`; ranks count from 1."""


class Predictions(TableResult, list[Prediction | Failure]):
    """A list with an entry per image, in order: its likeliest classes, or the reason why it has none."""

    @property
    def label(self) -> str:
        """Name of the likeliest class, if there is a single image.

        Raises:
            UsageError: there are several images, or none.
            DecodeError: the image could not be read.
        """
        return self._only().label

    @property
    def probability(self) -> float | None:
        """Probability of the likeliest class, if there is a single image; the errors are those of `label`."""
        return self._only().probability

    @property
    def embedding(self) -> NDArray[np.float32]:
        """Embedding (D,) of a single image from a model without classes; the errors are those of `label`."""
        return _embedding(self._only())

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """Embeddings (N, D) of all images from a model without classes; NaN for images that could not be read.

        Raises:
            UsageError: the model has classes, or no image could be read.
        """
        found = {place: _embedding(outcome) for place, outcome in enumerate(self) if isinstance(outcome, Prediction)}
        if not found:
            raise UsageError(f"none of the {len(self)} images has an embedding; see failures for the reasons")
        rows = np.full((len(self), len(next(iter(found.values())))), np.nan, np.float32)
        for place, row in found.items():
            rows[place] = row
        return rows

    @property
    def failures(self) -> list[Failure]:
        """The images that could not be read, with the reasons."""
        return [outcome for outcome in self if isinstance(outcome, Failure)]

    def records(self) -> ResultTable:
        """A row for each class of each image, with the columns path, rank (from 1), index, label, probability and
        failure; an image that could not be read has one row. Of embeddings, a row for each image, see
        `prediction_columns`."""
        features = next((len(o.embedding) for o in self if isinstance(o, Prediction) and o.embedding is not None), 0)
        return ResultTable(prediction_columns(features), table_rows(self, features))

    def __repr__(self) -> str:
        lines = (f"  {outcome!r}" for outcome in self[:MAX_SHOWN_IMAGES])
        return "\n".join((f"Predictions of {len(self)} images", *lines, *self._rest()))

    def displayed(self) -> ResultTable:
        """The first images, with the likeliest class of each, its probability, and the next classes."""
        columns = ("image", "label", "probability", "next")
        return ResultTable(columns, list(map(_shown_row, self[:MAX_SHOWN_IMAGES])), note="".join(self._rest()).strip())

    def _rest(self) -> list[str]:
        more = len(self) - MAX_SHOWN_IMAGES
        return [f"  ... and {more} more"] if more > 0 else []

    def _only(self) -> Prediction:
        if len(self) != 1:
            raise UsageError(f"these are predictions of {len(self)} images; take one of them, such as the first by [0]")
        if isinstance(self[0], Failure):
            raise DecodeError(f"{self[0].key} has no label: {self[0].reason}")
        return self[0]


def _embedding(outcome: Prediction) -> NDArray[np.float32]:
    if outcome.embedding is None:
        raise UsageError("the model gives classes; expected one without any, as xception convert --new-head 0 makes")
    return outcome.embedding


def prediction_columns(features: int = 0) -> tuple[str, ...]:
    """Columns of a table of predictions; embeddings have a column for each feature: f0, f1, ..."""
    return ("path", "failure", *(f"f{index}" for index in range(features))) if features else PREDICTION_COLUMNS


def table_rows(outcomes: Iterable[Prediction | Failure], features: int = 0) -> Iterator[TableRow]:
    """The rows of a table of predictions with the columns `prediction_columns(features)`."""
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            empty = (None,) * (len(prediction_columns(features)) - 2)
            yield (outcome.key, outcome.reason, *empty) if features else (outcome.key, *empty, outcome.reason)
        elif outcome.embedding is not None:
            yield outcome.path, None, *outcome.embedding.tolist()
        elif not outcome.top:
            yield outcome.path, None, None, None, None, None
        else:
            for rank, guess in enumerate(outcome.top, 1):
                yield outcome.path, rank, guess.index, guess.label, guess.probability, None


def _shown_row(outcome: Prediction | Failure) -> tuple[str, ...]:
    if isinstance(outcome, Failure):
        return outcome.key, outcome.reason, "", ""
    if not outcome.top:
        return outcome.path, str(outcome), "", ""
    best, *others = outcome.top
    value = f"{best.logit:.4g}" if best.probability is None else f"{best.probability:.1%}"
    return outcome.path, best.label, value, ", ".join(map(str, others))
