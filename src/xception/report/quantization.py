"""The page of a quantization: every method tried, where the error comes from, and the images that changed class."""

from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from xception.bundle import Bundle
from xception.intervals import Interval
from xception.quantize.record import Quantization, Trial
from xception.report.document import Card
from xception.report.html import page, strips
from xception.report.plots import layer_error_plot


def render_quantization(result: Quantization, parent: Bundle, pictures: Mapping[str, Image.Image]) -> str:
    """The HTML document.

    Args:
        result: the methods that were tried, and what came of the chosen one.
        parent: the float bundle.
        pictures: images by the path of their flip; one that is missing is named without its picture.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    verdict = result.verdict
    parent_top1 = verdict.parent.top1 if verdict else None
    layers, sensitivity = ({row.name: row.error for row in rows} for rows in (result.layers, result.sensitivity))
    return page(
        "quantization.html.j2",
        result=result,
        title=parent.model.name,
        parent_top1=parent_top1,
        changed=round((1 - verdict.top1_agreement) * verdict.candidate.seen) if verdict else 0,
        cards=tuple(_cards(result, parent)),
        outcome=outcome,
        pictures=pictures,
        strips=strips([parent_top1, *map(_top1, result.trials)]),
        ranges=_ranges(result.trials),
        chart=layer_error_plot(layers, sensitivity) if layers else "",
    )


def outcome(trial: Trial) -> str:
    """The gate's word on one method, with its reasons."""
    if trial.verdict is None:
        return f"not tried: {trial.error}"
    return "; ".join(("passed" if trial.verdict.passed else "failed", *trial.verdict.reasons))


def _top1(trial: Trial) -> Interval | None:
    return trial.verdict.candidate.top1 if trial.verdict else None


def _cards(result: Quantization, parent: Bundle) -> Iterator[Card]:
    yield Card(label="Gate", value="passed" if result.passed else "failed", note=f"{len(result.trials)} tried")
    chosen = next((trial for trial in result.trials if trial.method == result.chosen), None)
    if chosen and chosen.size_bytes:
        yield Card(label="Size", value=f"{chosen.size_bytes / parent.size_bytes:.0%}", note="of float32")


def _ranges(trials: Sequence[Trial]) -> str:
    """Calibration error before and after: with full ranges, and with those of the last method."""
    known = [trial for trial in trials if trial.range_error is not None]
    if len(known) < 2:
        return ""
    first, last = known[0], known[-1]
    return f"{first.range_error:.2e} by {first.method}, {last.range_error:.2e} by {last.method}"
