"""The page of a quantization: every method tried, where the error comes from, and the images that changed class."""

from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from xception.bundle import Bundle
from xception.intervals import Interval, points_text
from xception.quantize.record import Quantization, Trial
from xception.quantize.speed import Int8Speed
from xception.report.heading import Card, Heading, origin
from xception.report.html import page, percent_text, strips
from xception.tasks.provenance import CommandRun


def render_quantization(
    result: Quantization,
    parent: Bundle,
    pictures: Mapping[str, Image.Image],
    run: CommandRun | None = None,
) -> str:
    """The HTML document.

    Args:
        result: the methods that were tried, and what came of the chosen one.
        parent: the float bundle.
        pictures: images by the path of their flip; one that is missing is named without its picture.
        run: the command that quantized.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    verdict = result.verdict
    parent_top1 = verdict.parent.top1 if verdict else None
    heading = Heading(
        title=f"{parent.model.name} in int8",
        conclusion=" ".join(_conclusion(result)),
        conditions=f"{result.sentence()}.",
        origin=origin(run, {}),
        cards=tuple(_cards(result, parent)),
    )
    return page(
        "quantization.html.j2",
        heading=heading,
        result=result,
        parent_top1=parent_top1,
        changed=round((1 - verdict.top1_agreement) * verdict.candidate.seen) if verdict else 0,
        outcome=outcome,
        pictures=pictures,
        strips=strips([parent_top1, *map(_top1, result.trials)]),
        ranges=_ranges(result.trials),
        chart=result.layer_chart() if result.layers else "",
    )


def _conclusion(result: Quantization) -> Iterator[str]:
    """The gate's word, how far it is certain, and the verdict on speed."""
    if not result.passed:
        yield "No method kept the accuracy: the gate failed."
        return
    yield f"int8 by {result.chosen} passed the gate."
    test = result.verdict.non_inferiority if result.verdict else None
    if test and test.verdict == "yes":
        yield f"It loses less than {points_text(test.margin)} of top-1 accuracy, with 95 % confidence."
    elif test:
        needed = f", where about {test.images_needed:,} would" if test.images_needed else ""
        yield f"{test.images:,} images do not show that it loses less than {points_text(test.margin)}{needed}."
    if result.speed:
        sentence = result.speed.sentence()
        yield f"{sentence[0].upper()}{sentence[1:]}." if result.speed.verdict == "undecided" else f"{sentence}."


def speed_card(speed: Int8Speed, where: str = "") -> Card:
    """A factor where the interval decides, and no verdict where it does not."""
    low, high = (f"{bound:.2f}" for bound in (speed.ratio.low, speed.ratio.high))
    value = "no verdict" if speed.verdict == "undecided" else f"{speed.ratio.value:.2f} \u00d7"
    note = f"{speed.verdict} here: {low} to {high} times the images per second of float"
    return Card(label="int8 speed", value=value, note=f"{note}{where}")


def outcome(trial: Trial) -> str:
    """The gate's verdict on one method, with its reasons."""
    if trial.verdict is None:
        return f"not tried: {trial.error}"
    return "; ".join(("passed" if trial.verdict.passed else "failed", *trial.verdict.reasons))


def _top1(trial: Trial) -> Interval | None:
    return trial.verdict.candidate.top1 if trial.verdict else None


def _cards(result: Quantization, parent: Bundle) -> Iterator[Card]:
    yield Card(label="Gate", value="passed" if result.passed else "failed", note=f"{len(result.trials)} tried")
    chosen = next((trial for trial in result.trials if trial.method == result.chosen), None)
    if chosen and chosen.size_bytes:
        yield Card(label="Size", value=percent_text(chosen.size_bytes / parent.size_bytes, 0), note="of float32")
    if result.speed:
        yield speed_card(result.speed)


def _ranges(trials: Sequence[Trial]) -> str:
    """Calibration error before and after: with full ranges, and with those of the last method."""
    known = [trial for trial in trials if trial.range_error is not None]
    if len(known) < 2:
        return ""
    first, last = known[0], known[-1]
    return f"{first.range_error:.2e} by {first.method}, {last.range_error:.2e} by {last.method}"
