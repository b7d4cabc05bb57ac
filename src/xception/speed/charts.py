"""A chart of the rates of a benchmark."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xception.charts import BLUE, GREY, INK, WARM, Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xception.speed.benchmark import Run


def throughput(runs: Sequence[tuple[str, "Run"]]) -> Chart:
    """One panel per run: the rate of every stage and of the whole on one logarithmic axis, with the bound marked."""
    rows = -(-len(runs) // 2)

    def draw(figure: "Figure") -> None:
        panels = list(figure.subplots(rows, 2, sharex=True, squeeze=False).flat)
        for axes, (name, run) in zip(panels, runs, strict=False):
            _stages(axes, name, run)
        for axes in panels[len(runs) :]:
            axes.set_visible(False)
        rates = [rate.images_per_second for _, run in runs for rate in (*run.stages.values(), run.end_to_end)]
        # Room on the right for the figure at the end of the longest bar.
        panels[0].set_xlim(min(rates) / 3, max(rates) * 6)

    return Chart("throughput", (10, 0.3 + 2.15 * rows), draw)


def _stages(axes: "Axes", name: str, run: "Run") -> None:
    rates = {**run.stages, "end to end": run.end_to_end}
    colours = [WARM if stage == run.bottleneck else GREY for stage in run.stages] + [BLUE]
    medians = [rate.images_per_second for rate in rates.values()]
    spread = np.abs([[rate.low, rate.high] for rate in rates.values()] - np.array(medians)[:, None]).T
    axes.barh(list(rates), medians, xerr=spread, color=colours, height=0.62, log=True, ecolor=INK)
    for row, rate in enumerate(rates.values()):
        end = (rate.high, row)
        axes.annotate(f"{rate.images_per_second:,.0f}", end, (5, 0), textcoords="offset points", va="center")
    axes.axvline(run.bound_images_per_second, color=INK, linestyle=(0, (3, 2)), linewidth=1)
    axes.set_title(f"{name}: batch {run.batch}, {run.bottleneck} is the bottleneck")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
