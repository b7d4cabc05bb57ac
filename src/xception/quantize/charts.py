"""Charts of what int8 changes: the accuracy by each method, and the values of each layer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xception.charts import BLUE, INK, WARM, Chart
from xception.tasks.charts import draw_intervals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xception.intervals import Interval

MAX_NAMED = 6
"""Number of layers whose names fit below a chart."""


def method_differences(differences: Mapping[str, "Interval"], tolerance: float) -> Chart:
    """The change of top-1 accuracy by each method that was tried, against none and the largest loss that passes."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        draw_intervals(axes, list(differences.items()))
        axes.axvline(0, color=INK, linewidth=1)
        axes.axvline(
            -100 * tolerance, color=WARM, linestyle=(0, (3, 2)), linewidth=1.2, label="largest loss that passes"
        )
        axes.set(title="int8 less float32, top-1 accuracy in points, with 95 % intervals")
        axes.legend()

    return Chart("methods", (10, 1.3 + 0.3 * len(differences)), draw)


def layer_error_chart(together: Mapping[str, float], single: Mapping[str, float]) -> Chart:
    """Errors by layer, first to last, as shares: of each layer's values, and of the logits with only it in int8."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        names = list(together)
        axes.bar(range(len(names)), [together[name] for name in names], color=BLUE, label="layer, all in int8")
        if single:
            places = [index for index, name in enumerate(names) if name in single]
            axes.plot(
                places,
                [single[names[index]] for index in places],
                "o",
                color=WARM,
                markersize=4,
                label="logits, only this layer in int8",
            )
        named = _far_apart([together[name] for name in names])
        axes.set_xticks(named, [names[index] for index in named], rotation=20, ha="right")
        axes.set(title="Error by layer", xlim=(-1, len(names)))
        axes.legend()

    return Chart("layers", (10, 3.4), draw)


def _far_apart(heights: Sequence[float]) -> list[int]:
    """The highest places that leave room for a name between each two."""
    chosen: list[int] = []
    for index in sorted(range(len(heights)), key=lambda index: -heights[index]):
        if len(chosen) < MAX_NAMED and all(abs(index - other) >= len(heights) / 12 for other in chosen):
            chosen.append(index)
    return sorted(chosen)
