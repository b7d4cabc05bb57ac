"""Charts of evaluations and of comparisons."""

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from xception.charts import BLUE, GREY, INK, MUTED, WARM, Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xception.intervals import Interval
    from xception.tasks.evaluation import ConfidenceBin, ConfusedPair, ScoreCurve

MAX_CLASSES_COUNTED = 20
"""Classes up to which a cell of the confusion matrix has room for its count."""


def reliability(bins: Sequence["ConfidenceBin"], counted: str = "Images") -> Chart:
    """Accuracy by confidence, with the diagonal of a perfectly calibrated model, and what is counted by confidence."""

    def draw(figure: "Figure") -> None:
        accuracy, images = figure.subplots(1, 2)
        filled = [entry for entry in bins if entry.images]
        left = [100 * entry.low for entry in filled]
        width = 100 / max(1, len(bins))
        heights = [100 * (entry.accuracy or 0) for entry in filled]
        accuracy.bar(left, heights, 0.92 * width, align="edge", color=BLUE)
        means = [100 * (entry.confidence or 0) for entry in filled]
        accuracy.plot([0, 100], [0, 100], color=GREY, linestyle=(0, (3, 2)), linewidth=1.2)
        accuracy.plot(means, heights, "o", color=WARM, markersize=4)
        accuracy.set(title="Accuracy (%)", xlabel="confidence (%)", xlim=(0, 100), ylim=(0, 100))
        images.bar(left, [entry.images for entry in filled], 0.92 * width, align="edge", color=GREY)
        images.set(title=counted, xlabel="confidence (%)", xlim=(0, 100))

    return Chart("reliability", (10, 3.3), draw)


def score_curves(curves: Sequence["ScoreCurve"]) -> Chart:
    """ROC curves on the left, precision and recall on the right; of several the first one stands out."""

    def draw(figure: "Figure") -> None:
        roc, precision = figure.subplots(1, 2)
        for place, curve in reversed(list(enumerate(curves))):
            colour, width = (GREY, 0.9) if place else (BLUE, 1.8)
            rates = [0, *(100 * point.false_positive_rate for point in curve.points)]
            recalls = [100 * point.recall for point in curve.points]
            label = None if place else curve.label
            roc.plot(rates, [0, *recalls], color=colour, linewidth=width, label=label)
            precision.plot(recalls, [100 * point.precision for point in curve.points], color=colour, linewidth=width)
        roc.plot([0, 100], [0, 100], color=GREY, linestyle=(0, (3, 2)), linewidth=1.2)
        roc.set(title="Recall (%)", xlabel="false positive rate (%)", xlim=(-1, 101), ylim=(-1, 101))
        precision.set(title="Precision (%)", xlabel="recall (%)", xlim=(-1, 101), ylim=(-1, 101))
        roc.legend(loc="lower right")

    return Chart("scores", (10, 3.3), draw)


def confusion_matrix(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> Chart:
    """Counts by true and predicted class, the colour stronger for a larger share of the true class."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for row, counts in enumerate(confusion):
            for column, count in enumerate(counts):
                if count:
                    # The root lifts single mistakes, which a linear scale would leave white next to the diagonal.
                    strength = 0.6 * sqrt(count / sum(counts))
                    colour = BLUE if row == column else WARM
                    axes.bar(column, 1, 1, row - 0.5, color=colour, alpha=strength)
                    if len(labels) <= MAX_CLASSES_COUNTED:
                        axes.text(column, row, f"{count:,}", ha="center", va="center")
        places = range(len(labels))
        axes.set_xticks(places, labels, rotation=90)
        axes.set_yticks(places, labels)
        axes.set(title="Images by true class (rows) and predicted class (columns)", aspect="equal")
        axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5))
        axes.grid(visible=False)

    side = min(10, 2 + 0.4 * len(labels))
    return Chart("confusion", (max(5, side), side), draw)


def confused_pairs(pairs: Sequence["ConfusedPair"]) -> Chart:
    """The number of images of each pair of a true class and the class that they were taken for."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        places = range(len(pairs))
        axes.barh(places, [pair.count for pair in pairs], color=WARM, height=0.62)
        axes.set_yticks(places, [f"{pair.label}, taken for {pair.predicted}" for pair in pairs])
        axes.set(title="Images of the classes that are confused most")
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)

    return Chart("pairs", (10, 0.8 + 0.25 * len(pairs)), draw)


def accuracies(first: "Interval", second: "Interval", difference: "Interval", margin: float) -> Chart:
    """Top-1 of two models on the left; on the right its difference, against no difference and the margin."""

    def draw(figure: "Figure") -> None:
        models, change = figure.subplots(1, 2)
        draw_intervals(models, [("first", first), ("second", second)])
        models.set(title="Top-1 accuracy (%), with 95 % intervals")
        draw_intervals(change, [("second less first", difference)])
        change.axvline(0, color=INK, linewidth=1)
        change.axvline(-100 * margin, color=WARM, linestyle=(0, (3, 2)), linewidth=1.2, label="margin")
        change.set(title="Difference (points)")
        change.legend()

    return Chart("accuracies", (10, 1.9), draw)


def draw_intervals(axes: "Axes", rows: Sequence[tuple[str, "Interval"]]) -> None:
    """One row for each interval of fractions, in percentages, with its value as a dot."""
    for place, (_, interval) in enumerate(rows):
        axes.plot([100 * interval.low, 100 * interval.high], [place, place], color=BLUE)
        axes.plot([100 * interval.value], [place], "o", color=BLUE)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], color=MUTED)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
