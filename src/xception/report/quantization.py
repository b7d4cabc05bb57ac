"""The page of a quantization: every method tried, where the error comes from, and how fast the result is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from xception.intervals import Interval
from xception.report.document import Card
from xception.report.html import page, rate, strips
from xception.report.plots import layer_errors
from xception.tasks.compare import Flip


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """One method; what was not measured is None."""

    name: str
    top1: Interval | None = None
    difference: Interval | None = None
    """Of top-1, the candidate's less the parent's."""
    agreement: float | None = None
    logit_error: float | None = None
    range_error: float | None = None
    size_bytes: int | None = None
    seconds: float
    outcome: str


@dataclass(frozen=True, kw_only=True)
class RateRow:
    """Images a second in the runtime, at batch 1."""

    name: str
    images_per_second: float
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class QuantizationPage:
    """All that the page shows."""

    title: str
    sentence: str
    passed: bool
    parent: Interval | None
    methods: tuple[MethodRow, ...]
    layers: Mapping[str, float]
    """Error of each layer's result in the chosen graph, in graph order."""
    sensitivity: Mapping[str, float]
    """Error of the logits with one layer alone in int8."""
    rates: tuple[RateRow, ...]
    calibration: str
    changed: int
    """Images that the chosen method gives another class."""
    flips: tuple[Flip, ...]
    """Some of those; first is float32, second int8."""
    pictures: Mapping[str, Image.Image]
    """By the path of a flip; one that is missing is named without its picture."""


def render_quantization(document: QuantizationPage) -> str:
    """The HTML document.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    return page(
        "quantization.html.j2",
        document=document,
        cards=tuple(_cards(document)),
        strips=strips([document.parent, *(row.top1 for row in document.methods)]),
        ranges=_ranges(document.methods),
        picture=layer_errors(document.layers, document.sensitivity) if document.layers else "",
    )


def _cards(document: QuantizationPage) -> Iterator[Card]:
    yield Card(label="Gate", value="passed" if document.passed else "failed", note=f"{len(document.methods)} tried")
    if document.rates:
        first, last = document.rates[0], document.rates[-1]
        gain = last.images_per_second / first.images_per_second
        note = f"{rate(first.images_per_second)} to {rate(last.images_per_second)} images/s, {last.name}"
        yield Card(label="Speed", value=f"x {gain:.2f}", note=note)
        yield Card(label="Size", value=f"{last.size_bytes / first.size_bytes:.0%}", note="of float32")


def _ranges(methods: Sequence[MethodRow]) -> str:
    """Calibration error before and after: with full ranges, and with those of the last method."""
    known = [row for row in methods if row.range_error is not None]
    if len(known) < 2:
        return ""
    first, last = known[0], known[-1]
    return f"{first.range_error:.2e} by {first.name}, {last.range_error:.2e} by {last.name}"
