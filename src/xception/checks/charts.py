"""A chart of the classes of a data set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xception.charts import BLUE, GREY, Chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CLASSES_NAMED = 40
"""Classes up to which each has a bar with its name."""


def class_sizes(images: Mapping[str, int]) -> Chart:
    """Images of each class: by name, or of many classes from the largest to the smallest, with the median."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        counts = list(images.values())
        if len(counts) > MAX_CLASSES_NAMED:
            axes.bar(range(len(counts)), sorted(counts, reverse=True), 1, color=BLUE)
            median = sorted(counts)[len(counts) // 2]
            axes.axhline(median, color=GREY, linestyle=(0, (3, 2)), linewidth=1.2, label=f"median, {median:,}")
            axes.set(title="Images of each class, the largest class first", xlim=(-0.5, len(counts) - 0.5))
            axes.legend()
            return
        axes.barh(range(len(counts)), counts, color=BLUE, height=0.62)
        axes.set_yticks(range(len(counts)), list(images))
        for row, count in enumerate(counts):
            axes.annotate(f"{count:,}", (count, row), (5, 0), textcoords="offset points", va="center")
        axes.set(title="Images of each class", xlim=(0, 1.1 * max(counts)))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)

    rows = len(images) if len(images) <= MAX_CLASSES_NAMED else 10
    return Chart("classes", (10, 0.8 + 0.25 * rows), draw)
