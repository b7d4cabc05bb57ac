"""The page of an evaluation, and its figures as a table."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from xception.data.classes import SEPARATOR
from xception.intervals import Interval
from xception.report.confusion import shown
from xception.report.heading import Card, Heading, model_names, result_origin
from xception.report.html import LONG_TABLE_ROWS, page, percent_text
from xception.tasks.charts import score_curves
from xception.tasks.evaluation import MAX_CLASSES_DRAWN, ClassAverages, ClassScore, Evaluation, LabelSetFigures
from xception.tasks.provenance import flat

CsvRow = tuple[str | int | float | None, ...]

OVERALL = {
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "matthews_correlation": "Matthews correlation",
    "cohens_kappa": "Cohen's kappa",
    "brier_score": "Brier score",
}
"""Names on the page of the figures that sum up all classes."""

AREAS = ("roc_auc", "roc_auc_weighted", "average_precision", "average_precision_weighted")
"""Figures of the curves of all classes."""

COLUMNS = ("table", "name", "figure", "value", "low", "high")


def render_evaluation(evaluation: Evaluation, pictures: Mapping[str, Image.Image]) -> str:
    """The HTML document.

    Args:
        evaluation: what was measured.
        pictures: images by the path of their mistake; one that is missing is named without its picture.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    (name,) = model_names(evaluation.provenance, (evaluation.bundle,))
    heading = Heading(
        title=f"{name} on {evaluation.data}",
        conclusion=" ".join(conclusion(evaluation)),
        conditions=_conditions(evaluation),
        origin=result_origin(evaluation.provenance),
        cards=tuple(_cards(evaluation)),
    )
    return page(
        "evaluation.html.j2",
        heading=heading,
        provenance=flat(evaluation.provenance) if evaluation.provenance else None,
        name=name,
        reliability=evaluation.plot("reliability") if evaluation.calibration and evaluation.seen else "",
        score_curves=score_curves(evaluation.curves) if evaluation.curves else "",
        failures=evaluation.failures,
        pictures=pictures,
        **judged(evaluation),
    )


def conclusion(evaluation: Evaluation) -> Iterator[str]:
    """Sentences on the accuracy, on whether it may be that of guessing, and on the most frequent confusion."""
    top1, classes = evaluation.top1, len(evaluation.labels)
    if evaluation.label_sets:
        yield from _conclusion_of_sets(evaluation, evaluation.label_sets)
        return
    if top1 is None:
        yield f"None of the {evaluation.total:,} images could be judged."
        return
    bounds = f"between {percent_text(top1.low)} and {percent_text(top1.high)} with 95 % confidence"
    yield f"{percent_text(top1.value)} of {evaluation.seen:,} images get their true class, {bounds}."
    most = max((entry.support for entry in evaluation.classes), default=0)
    if evaluation.rarest and most > evaluation.seen / 2:
        yield from _conclusion_of_skewed(evaluation, evaluation.rarest, top1)
    elif classes > 1 and top1.low <= 1 / classes:
        yield f"Guessing among {classes} classes may reach that, too."
    if evaluation.confused:
        pair = evaluation.confused[0]
        yield f"Most frequent confusion: {pair.label} as {pair.predicted}, {pair.count} of {pair.support} images."
    if evaluation.failed:
        yield f"{evaluation.failed:,} images could not be read and are not among them."


def _conclusion_of_skewed(evaluation: Evaluation, rarest: ClassScore, top1: Interval) -> Iterator[str]:
    """Sentences on data of which most images have one class, so that the accuracy says little of the others."""
    most = max(evaluation.classes, key=lambda entry: entry.support)
    hits = round((rarest.recall or 0) * rarest.support)
    yield (
        f"Balanced accuracy is {percent_text(evaluation.balanced_accuracy)}; {hits} of {rarest.support} images of the "
        f"rarest class, {rarest.label}, get it."
    )
    if top1.low <= most.support / evaluation.seen:
        yield f"The answer {most.label} for every image may reach that accuracy, too."


def _conclusion_of_sets(evaluation: Evaluation, sets: LabelSetFigures) -> Iterator[str]:
    """Sentences on multi-label data, whose images are right class by class."""
    mean, exact = sets.mean_average_precision, sets.exact_match
    if mean:
        bounds = f"between {percent_text(mean.low)} and {percent_text(mean.high)} with 95 % confidence"
        yield f"Mean average precision of {len(evaluation.labels)} classes is {percent_text(mean.value)}, {bounds}."
    if exact:
        yield (
            f"{percent_text(exact.value)} of {evaluation.seen:,} images get all their classes and no other at the "
            f"threshold {sets.threshold:g}."
        )
    if evaluation.failed:
        yield f"{evaluation.failed:,} images could not be read and are not among them."


def judged(evaluation: Evaluation) -> dict[str, object]:
    """The facts for the parts of a page that show mistakes, confusions and classes."""
    return {
        "result": evaluation,
        "is_small": len(evaluation.labels) <= MAX_CLASSES_DRAWN,
        "overall": {title: getattr(evaluation, figure) for figure, title in OVERALL.items()},
        "averages": _averages(evaluation),
        "has_long_tables": any(map(_is_long, (evaluation.classes, evaluation.failures, evaluation.damaged or ()))),
        "long_table_rows": LONG_TABLE_ROWS,
        "worst_first": sorted(evaluation.classes, key=_recall),
        **shown(evaluation),
    }


def shown_images(evaluation: Evaluation) -> Iterator[str]:
    """The paths of the images whose pictures are on the page."""
    yield from (mistake.path for mistake in evaluation.mistakes)
    if evaluation.label_sets:
        yield from (mistake.path for mistake in evaluation.label_sets.mistakes)
    yield from (example.path for pair in evaluation.confused for example in pair.examples)
    if evaluation.label_issues:
        yield from (issue.path for issue in evaluation.label_issues.candidates)


def _is_long(rows: Sequence[object]) -> bool:
    return len(rows) > LONG_TABLE_ROWS


def _averages(evaluation: Evaluation) -> dict[str, ClassAverages]:
    """The means over the classes by their names on the page."""
    sets = evaluation.label_sets
    found = {"each class counts the same": evaluation.macro, "weighted by images": evaluation.weighted}
    found |= {"over all decisions": sets.micro} if sets else {}
    return {name: means for name, means in found.items() if means}


def evaluation_csv(evaluation: Evaluation) -> str:
    """All figures in one table, one per line, fractions as they are: `table,name,figure,value,low,high`.

    The tables are summary, class, slice, calibration (named by the bin), confusion (true and predicted class, counts
    above zero), mistake and failure (path and reason).
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(evaluation))
    return file.getvalue()


def _recall(entry: ClassScore) -> tuple[float, int]:
    """The key to sort by that puts the worst class first, and those without images last."""
    return (2.0 if entry.recall is None else entry.recall, -entry.support)


def _conditions(evaluation: Evaluation) -> str:
    """The conditions under which the figures hold."""
    conditions = [evaluation.bundle, evaluation.backend]
    if evaluation.subset:
        conditions.append(f"choosing among the {len(evaluation.labels)} classes of the data")
    if evaluation.tta:
        conditions.append(f"test-time augmentation {evaluation.tta!r}")
    return ", ".join(conditions)


def _cards(evaluation: Evaluation) -> Iterator[Card]:
    counts = f"{evaluation.seen:,} seen + {evaluation.failed:,} failed"
    yield Card(label="Images", value=f"{evaluation.total:,}", note=counts)
    sets = evaluation.label_sets
    if sets:
        yield accuracy_card("Mean average precision", sets.mean_average_precision)
        yield accuracy_card("Exact match", sets.exact_match)
    else:
        yield accuracy_card("Top-1 accuracy", evaluation.top1)
    if evaluation.top5:
        yield accuracy_card("Top-5 accuracy", evaluation.top5)
    if evaluation.real:
        yield accuracy_card("Any right answer", evaluation.real.top1, f", without {evaluation.real.uncounted:,} images")
    if evaluation.loss is not None:
        note = f"mean {'binary ' if sets else ''}cross-entropy in nats"
        yield Card(label="Loss", value=f"{evaluation.loss:.4f}", note=note)
    if evaluation.expected_calibration_error is not None:
        note = f"in {len(evaluation.calibration)} bins of confidence"
        yield Card(label="Calibration error", value=percent_text(evaluation.expected_calibration_error), note=note)
    if evaluation.roc_auc is not None:
        note = "mean of each class against the others"
        if evaluation.equal_error_rate is not None:
            note = f"equal error rate {percent_text(evaluation.equal_error_rate)}"
        yield Card(label="ROC-AUC", value=f"{evaluation.roc_auc:.4f}", note=note)


def accuracy_card(label: str, interval: Interval | None, note: str = "") -> Card:
    """An accuracy with its interval."""
    if interval is None:
        return Card(label=label, value="\u2013", note="no images")
    bounds = f"{100 * interval.low:.2f}\u2013{percent_text(interval.high)}"
    return Card(label=label, value=percent_text(interval.value), note=bounds + note)


def _rows(evaluation: Evaluation) -> Iterator[CsvRow]:
    yield from _summary(evaluation)
    for entry in evaluation.classes:
        for figure in ("support", "precision", "recall", "f1", "roc_auc", "average_precision"):
            interval = getattr(entry, f"{figure}_interval", None)
            yield "class", entry.label, figure, getattr(entry, figure), *_bounds(interval)
    for part in evaluation.slices:
        yield "slice", part.property, part.value, part.images, None, None
        for figure in ("top1", "exact_match"):
            if interval := getattr(part, figure):
                yield "slice", part.property, f"{part.value}, {figure}", interval.value, *_bounds(interval)
        if part.micro_f1 is not None:
            yield "slice", part.property, f"{part.value}, micro_f1", part.micro_f1, None, None
    for row in evaluation.calibration:
        for figure in ("images", "confidence", "accuracy"):
            yield "calibration", f"{row.low:.4f}-{row.high:.4f}", figure, getattr(row, figure), None, None
    for label, counts in zip(evaluation.labels, evaluation.confusion, strict=bool(evaluation.confusion)):
        for predicted, count in zip(evaluation.labels, counts, strict=True):
            if count:
                yield "confusion", label, predicted, count, None, None
    for mistake in evaluation.mistakes:
        yield "mistake", mistake.path, f"{mistake.label} as {mistake.predicted}", mistake.probability, None, None
    for wrong in evaluation.label_sets.mistakes if evaluation.label_sets else ():
        yield "mistake", wrong.path, f"{_set(wrong.labels)} as {_set(wrong.predicted)}", wrong.loss, None, None
    for failure in evaluation.failures:
        yield "failure", failure.path, failure.reason, None, None, None


def _bounds(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def _summary(evaluation: Evaluation) -> Iterator[CsvRow]:
    for figure in ("bundle", "data", "backend", "tta", "subset", "total", "seen", "failed"):
        yield "summary", None, figure, getattr(evaluation, figure), None, None
    for k, interval in enumerate(evaluation.top_k, 1):
        yield "summary", None, f"top{k}", interval.value, interval.low, interval.high
    for figure in ("loss", "expected_calibration_error", *OVERALL, *AREAS, "equal_error_rate"):
        yield "summary", None, figure, getattr(evaluation, figure), None, None
    for kind, means in (("macro", evaluation.macro), ("weighted", evaluation.weighted)):
        for figure in means.__struct_fields__ if means else ():
            interval = getattr(means, figure)
            yield "summary", None, f"{kind}.{figure}", interval.value, *_bounds(interval)
    yield from _of_sets(evaluation.label_sets) if evaluation.label_sets else ()
    if evaluation.temperature:
        for figure in ("temperature", "loss", "expected_calibration_error", "brier_score"):
            name = f"temperature.{figure}"
            yield "summary", None, name, getattr(evaluation.temperature, figure), None, None
    if evaluation.real:
        top1 = evaluation.real.top1
        yield "summary", None, "real", *((top1.value, top1.low, top1.high) if top1 else (None,) * 3)
        yield "summary", None, "real_counted", evaluation.real.counted, None, None


def _of_sets(sets: LabelSetFigures) -> Iterator[CsvRow]:
    for figure in ("threshold", "hamming_loss", "micro_average_precision", "micro_roc_auc"):
        yield "summary", None, figure, getattr(sets, figure), None, None
    for figure in ("exact_match", "mean_average_precision", "mean_roc_auc"):
        interval = getattr(sets, figure)
        yield "summary", None, figure, interval.value if interval else None, *_bounds(interval)
    for figure in sets.micro.__struct_fields__:
        interval = getattr(sets.micro, figure)
        yield "summary", None, f"micro.{figure}", interval.value, *_bounds(interval)
    for best in sets.best_thresholds:
        yield "class", best.label, "best_threshold", best.threshold, None, None
        yield "class", best.label, "best_f1", best.f1, None, None


def _set(names: Sequence[str]) -> str:
    return SEPARATOR.join(names) or "no class"
