"""The page of a comparison."""

from collections.abc import Iterator, Mapping

from PIL import Image

from xception.intervals import Interval, points_text
from xception.report.evaluation import accuracy_card
from xception.report.heading import Card, Heading, model_names, result_origin
from xception.report.html import page, strips
from xception.tasks.compare import Comparison
from xception.tasks.provenance import flat


def render_comparison(comparison: Comparison, pictures: Mapping[str, Image.Image]) -> str:
    """The HTML document.

    Args:
        comparison: what was measured.
        pictures: images by the path of their flip; one that is missing is named without its picture.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    sides = (comparison.first, comparison.second)
    names = model_names(comparison.provenance, tuple(side.bundle for side in sides))
    heading = Heading(
        title=f"{names[1]} compared with {names[0]} on {comparison.data}",
        conclusion=_conclusion(comparison, *names),
        origin=result_origin(comparison.provenance),
        cards=tuple(_cards(comparison)),
    )
    return page(
        "comparison.html.j2",
        heading=heading,
        names=names,
        result=comparison,
        provenance=flat(comparison.provenance) if comparison.provenance else None,
        sides=sides,
        strips=strips([side.score.top1 for side in sides]),
        difference=points_and_bounds(comparison.difference),
        bootstrap=points_and_bounds(comparison.bootstrap),
        failures=comparison.failures,
        pictures=pictures,
    )


def _conclusion(comparison: Comparison, first: str, second: str) -> str:
    """The verdict on the second model, or the number of images that would decide."""
    test = comparison.non_inferiority
    within, sure = f"within {points_text(test.margin)} of top-1 accuracy", "with 95 % confidence"
    if test.verdict == "yes":
        return f"{second} is as good as {first}, {within}, {sure}."
    if test.verdict == "no":
        return f"{second} is worse than {first} by more than {points_text(test.margin)} of top-1 accuracy, {sure}."
    needed = f"about {test.images_needed:,} would" if test.images_needed else "more images of this kind would hardly"
    return f"Undecided: {test.images:,} images do not tell whether {second} is as good as {first}, {within}; {needed}."


def points_and_bounds(difference: Interval | None) -> tuple[str, str]:
    """A difference of accuracies in percentage points, and its interval."""
    if difference is None:
        return "\u2013", "no images"
    value, low, high = (f"{100 * part:+.2f}" for part in (difference.value, difference.low, difference.high))
    return value, f"{low} to {high} points"


def _cards(comparison: Comparison) -> Iterator[Card]:
    verdict = comparison.non_inferiority
    value, bounds = points_and_bounds(comparison.difference)
    needed = f", about {verdict.images_needed:,} are needed" if verdict.images_needed else ""
    note = f"with 95 % confidence{needed}"
    yield Card(label=f"Within {100 * verdict.margin:g} %", value=verdict.verdict, note=note)
    yield Card(label="Difference", value=value, note=bounds)
    yield accuracy_card("First", comparison.first.score.top1)
    yield accuracy_card("Second", comparison.second.score.top1)
    yield accuracy_card("Same class", comparison.agreement, f", {comparison.flips:,} differ")
