"""The page of a training run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from PIL import Image

from xception.bundle import Bundle, Score
from xception.errors import InputError
from xception.report.evaluation import accuracy_card, conclusion, judged, shown_images
from xception.report.heading import Card, Heading, origin
from xception.report.html import page
from xception.report.pictures import as_seen, thumbnails
from xception.tasks.evaluation import Evaluation
from xception.tasks.provenance import CommandRun, run_now
from xception.train.charts import rate_search_curve, training_curves
from xception.train.logs import Epoch, median_speed

if TYPE_CHECKING:
    from xception.train.first_batch import SeenImage
    from xception.train.manifest import RunManifest
    from xception.train.rate_finder import RateSearch
    from xception.train.storage import Storage

PAGE = "report.html"
"""The page's name in the folder of its run."""


@dataclass(frozen=True)
class Pictures:
    """The images that a page of a training shows."""

    first: Sequence[tuple["SeenImage", Image.Image]] = ()
    """The first images of the run, as the network saw them."""
    mistakes: Mapping[str, Image.Image] = field(default_factory=dict)
    """Images by the path of their mistake; one that is missing is named without its picture."""


NO_PICTURES = Pictures()


def render_training(
    bundle: Bundle,
    history: Sequence[Epoch],
    manifest: "RunManifest",
    validation: Evaluation | None = None,
    pictures: Pictures = NO_PICTURES,
    search: "RateSearch | None" = None,
    run: CommandRun | None = None,
) -> str:
    """The page as an HTML document.

    Args:
        bundle: the result of the run, with its validation scores.
        history: the log of the run.
        manifest: its recipe and surroundings.
        validation: the figures of the bundle on the validation part.
        pictures: images of both parts.
        search: the search for the learning rate, if there was one.
        run: the command that trained.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    from xception.train.manifest import settings_of

    heading = Heading(
        title=f"Training of {bundle.model.name}",
        conclusion=" ".join(_conclusion(bundle, history, validation)),
        conditions=f"Bundle {bundle.model.digest[:12]}, made from the recipe below.",
        origin=origin(run, manifest.environment),
        cards=tuple(_cards(bundle, history, validation)),
    )
    return page(
        "training.html.j2",
        heading=heading,
        name=bundle.model.name,
        curves=training_curves(history),
        search=search,
        rates=rate_search_curve(search) if search else "",
        history=history,
        columns=Epoch.__struct_fields__,
        settings={name: _spelled(value) for name, value in settings_of(manifest.recipe).items()},
        environment=manifest.environment,
        first=pictures.first,
        pictures=pictures.mistakes,
        **(judged(validation) if validation and validation.seen else {"result": None}),
    )


def write_page(storage: "Storage", bundle: Bundle, run: CommandRun | None = None) -> str:
    """Write the page of a finished run into its folder; returns its place.

    Pictures come from the run's data, and are left out where these cannot be read any more.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    from xception.train.logs import read_history
    from xception.train.manifest import manifest_at
    from xception.train.rate_finder import read_rate_search
    from xception.train.validation import read_validation

    manifest, validation = manifest_at(storage.place), read_validation(storage)
    pictures = _pictures(manifest, validation)
    search = read_rate_search(storage)
    html = render_training(bundle, read_history(storage), manifest, validation, pictures, search, run or run_now())
    storage.write(PAGE, html.encode())
    return f"{storage.place}/{PAGE}"


def _conclusion(bundle: Bundle, history: Sequence[Epoch], validation: Evaluation | None) -> Iterator[str]:
    """The accuracy on images that were held out; without any, the last training loss, which judges nothing."""
    if validation and validation.seen:
        yield "On images that were held out:"
        yield from conclusion(validation)
    elif history:
        yield f"Training ended with a loss of {history[-1].train_loss:.4f}; no figures of held-out images say how good"
        yield f"{bundle.model.name} is."
    else:
        yield "No epoch was recorded."


def _spelled(value: object) -> str | None:
    """A setting as recipes spell it; None if it is not set."""
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _pictures(manifest: "RunManifest", validation: Evaluation | None) -> Pictures:
    from xception.train.first_batch import first_images
    from xception.train.training_data import open_training_data

    preprocess, places = manifest.recipe.preprocess, manifest.data
    if places.source is None:
        return Pictures()
    data = msgspec.structs.replace(manifest.recipe.data, source=places.source, validation=places.validation)
    try:
        training, held_out = open_training_data(data)
        first = [(image, as_seen(image.pixels, preprocess)) for image in first_images(manifest.recipe, training)]
    except InputError:
        return Pictures()
    return Pictures(first, thumbnails(held_out, shown_images(validation) if validation else ()))


def _cards(bundle: Bundle, history: Sequence[Epoch], validation: Evaluation | None) -> Iterator[Card]:
    sets = validation.label_sets if validation else None
    for data, score in bundle.model.metrics.items():
        if sets:
            yield accuracy_card("Mean average precision", sets.mean_average_precision)
        else:
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
