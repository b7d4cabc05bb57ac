"""The page of a comparison."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image

from xception.intervals import Interval
from xception.report.document import Card
from xception.report.evaluation import accuracy_card
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
    return page(
        "comparison.html.j2",
        result=comparison,
        provenance=flat(comparison.provenance) if comparison.provenance else None,
        title=" and ".join(Path(side.bundle).name for side in sides),
        cards=tuple(_cards(comparison)),
        sides=sides,
        strips=strips([side.score.top1 for side in sides]),
        difference=points_and_bounds(comparison.difference),
        bootstrap=points_and_bounds(comparison.bootstrap),
        failures=comparison.failures,
        pictures=pictures,
    )


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
