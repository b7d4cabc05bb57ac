"""The page of a training run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xception.bundle import Bundle, Score
from xception.report.document import Card, CurvePoint
from xception.report.evaluation import accuracy_card
from xception.report.html import page
from xception.report.plots import training_curves


@dataclass(frozen=True, kw_only=True)
class TrainingPage:
    """What a training run's page shows."""

    bundle: Bundle
    rows: Sequence[Mapping[str, float | int | None]]
    """The log, a row an epoch; columns as in `log.csv`."""
    settings: Mapping[str, object]
    """Of the recipe, by name."""
    environment: Mapping[str, str | int]
    speed: str


def render_training(training: TrainingPage) -> str:
    """The HTML document.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    curves = tuple(_curves(training.rows))
    return page(
        "training.html.j2",
        training=training,
        title=f"Training of {training.bundle.model.name}",
        cards=tuple(_cards(training)),
        curves=training_curves(curves) if curves else "",
        columns=tuple(training.rows[0]) if training.rows else (),
    )


def _curves(rows: Sequence[Mapping[str, float | int | None]]) -> Iterator[CurvePoint]:
    """The epochs whose validation saw an image."""
    for row in rows:
        train_loss, loss, top1 = (row[name] for name in ("train_loss", "validation_loss", "validation_top1"))
        if train_loss is not None and loss is not None and top1 is not None:
            yield CurvePoint(
                epoch=int(row["epoch"] or 0), train_loss=train_loss, validation_loss=loss, validation_top1=top1
            )


def _cards(training: TrainingPage) -> Iterator[Card]:
    for data, score in training.bundle.model.metrics.items():
        yield accuracy_card("Validation accuracy", score.top1)
        yield Card(label="Validation images", value=f"{score.total:,}", note=_counts(data, score))
    if training.rows:
        yield Card(
            label="Training", value=f"{training.rows[-1]['seconds']:,.0f} s", note=f"{len(training.rows)} epochs"
        )
    yield Card(label="Speed", value=training.speed.partition(",")[0], note=training.speed.partition(",")[2].strip())


def _counts(data: str, score: Score) -> str:
    return f"{data}: {score.seen:,} seen + {score.failed:,} failed"
