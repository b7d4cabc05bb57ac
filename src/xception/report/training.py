"""The page of a training run."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xception.bundle import Bundle, Score
from xception.report.document import Card
from xception.report.evaluation import accuracy_card
from xception.report.html import page
from xception.report.plots import training_curves
from xception.train.logs import Epoch, median_speed

if TYPE_CHECKING:
    from xception.train.manifest import RunManifest


def render_training(bundle: Bundle, history: Sequence[Epoch], manifest: "RunManifest") -> str:
    """The page as an HTML document.

    Args:
        bundle: the result of the run, with its validation scores.
        history: the log of the run.
        manifest: its recipe and surroundings.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    from xception.train.manifest import settings_of

    return page(
        "training.html.j2",
        title=f"Training of {bundle.model.name}",
        bundle=bundle,
        cards=tuple(_cards(bundle, history)),
        curves=training_curves(history),
        history=history,
        columns=Epoch.__struct_fields__,
        settings=settings_of(manifest.recipe),
        environment=manifest.environment,
    )


def _cards(bundle: Bundle, history: Sequence[Epoch]) -> Iterator[Card]:
    for data, score in bundle.model.metrics.items():
        yield accuracy_card("Validation accuracy", score.top1)
        yield Card(label="Validation images", value=f"{score.total:,}", note=_counts(data, score))
    speed = median_speed(history)
    if speed:
        yield Card(label="Training", value=f"{history[-1].seconds:,.0f} s", note=f"{len(history)} epochs")
        yield Card(
            label="Speed",
            value=f"{speed.ms_per_step:.1f} ms/step",
            note=f"{speed.images_per_second_per_device:,.1f} images/s on each of {speed.devices} devices"
            if speed.devices > 1
            else f"{speed.images_per_second_per_device:,.1f} images/s",
        )


def _counts(data: str, score: Score) -> str:
    return f"{data}: {score.seen:,} seen + {score.failed:,} failed"
