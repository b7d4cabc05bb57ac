"""Charts of a training: its curves, and the search for its learning rate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xception.charts import BLUE, GREY, WARM, Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xception.train.logs import Epoch
    from xception.train.rate_finder import RateSearch


def training_curves(history: Sequence["Epoch"]) -> Chart | None:
    """Losses on the left, validation accuracy on the right, both by epoch; None if no epoch was validated."""
    rows = [row for row in history if row.validation_loss is not None]
    by_epoch = {row.epoch: row.headline[1] for row in rows if row.headline[1] is not None}
    if not by_epoch:
        return None
    title = f"Validation {rows[-1].headline[0]} (%)"

    def draw(figure: "Figure") -> None:
        losses, accuracy = figure.subplots(1, 2)
        epochs = [row.epoch for row in rows]
        marker = "o" if len(rows) < 3 else None
        losses.plot(epochs, [row.train_loss for row in rows], color=GREY, marker=marker, label="training")
        losses.plot(epochs, [row.validation_loss for row in rows], color=BLUE, marker=marker, label="validation")
        losses.set(title="Loss (nats)", xlabel="epoch", ylim=(0, None))
        losses.legend()
        accuracy.plot(list(by_epoch), [100 * value for value in by_epoch.values()], color=BLUE, marker=marker)
        accuracy.set(title=title, xlabel="epoch")
        _mark_best(accuracy, by_epoch)
        for axes in (losses, accuracy):
            axes.xaxis.get_major_locator().set_params(integer=True)

    return Chart("curves", (10, 3.1), draw)


def rate_search_curve(search: "RateSearch") -> Chart:
    """The smoothed loss by the rate on a logarithmic axis, with the chosen rate marked."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.semilogx(search.rates, search.losses, color=BLUE)
        nearest = min(range(len(search.rates)), key=lambda index: abs(np.log(search.rates[index] / search.chosen)))
        axes.plot([search.chosen], [search.losses[nearest]], "o", color=WARM)
        axes.set(title="Loss (nats)", xlabel="learning rate")

    return Chart("rates", (10, 2.8), draw)


def _mark_best(axes: "Axes", by_epoch: dict[int, float]) -> None:
    best, value = max(by_epoch.items(), key=lambda entry: entry[1])
    axes.plot([best], [100 * value], "o", color=WARM)
    # In the corner below the curve, which would run through a name next to the dot.
    label = f"{value:.2%} at epoch {best}"
    axes.text(0.98, 0.05, label, transform=axes.transAxes, ha="right")
