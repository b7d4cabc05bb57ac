"""Pictures for a page: charts as inline SVG in the page's own colours and font, images as PNG data URIs."""

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from xception.extras import require
from xception.speed.benchmark import Run
from xception.tasks.evaluation import ConfidenceBin, ScoreCurve
from xception.train.logs import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xception.train.rate_finder import RateSearch

THUMBNAIL_PX = 168

MAX_NAMED = 6
"""Number of layers whose names fit below a chart."""

INK, MUTED, LINE, BLUE, WARM, GREY = "#101010", "#202020", "#303030", "#404040", "#505050", "#606060"
THEME = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    BLUE: "var(--blue)",
    WARM: "var(--warm)",
    GREY: "var(--grey)",
}
"""Stand-ins that a chart is drawn in, and the style sheet's variables that replace them: one SVG, light and dark."""

PLOT_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.unicode_minus": False,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "ytick.left": False,
}

NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def training_curves(history: Sequence[Epoch]) -> str:
    """Losses on the left, validation accuracy on the right, both by epoch; nothing if no epoch was validated."""
    rows = [row for row in history if row.validation_loss is not None]
    by_epoch = {row.epoch: row.headline[1] for row in rows if row.headline[1] is not None}
    if not by_epoch:
        return ""
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

    return _svg("curves", (10, 3.1), draw)


def rate_search_curve(search: "RateSearch") -> str:
    """The smoothed loss by the rate on a logarithmic axis, with the chosen rate marked."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.semilogx(search.rates, search.losses, color=BLUE)
        nearest = min(range(len(search.rates)), key=lambda index: abs(np.log(search.rates[index] / search.chosen)))
        axes.plot([search.chosen], [search.losses[nearest]], "o", color=WARM)
        axes.set(title="Loss (nats)", xlabel="learning rate")

    return _svg("rates", (10, 2.8), draw)


def throughput(runs: Sequence[tuple[str, Run]]) -> str:
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

    return _svg("throughput", (10, 0.3 + 2.15 * rows), draw)


def reliability(bins: Sequence[ConfidenceBin]) -> str:
    """Accuracy by confidence, with the diagonal of a perfectly calibrated model, and images by confidence."""

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
        images.set(title="Images", xlabel="confidence (%)", xlim=(0, 100))

    return _svg("reliability", (10, 3.3), draw)


def score_curves(curves: Sequence[ScoreCurve]) -> str:
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

    return _svg("scores", (10, 3.3), draw)


def layer_error_plot(together: Mapping[str, float], single: Mapping[str, float]) -> str:
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

    return _svg("layers", (10, 3.4), draw)


def png_uri(image: Image.Image) -> str:
    """The image, thumbnail size, as a data URI. Small images keep their hard pixels."""
    file = io.BytesIO()
    thumbnail(image).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def thumbnail(image: Image.Image) -> Image.Image:
    """The image with its longer side of `THUMBNAIL_PX`, RGB."""
    scale = THUMBNAIL_PX / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def overlay(image: Image.Image, class_map: npt.NDArray[np.floating]) -> Image.Image:
    """The image in grey with the (H, W) class map in colour over it, stronger where there is more evidence."""
    small = thumbnail(image)
    span = float(np.ptp(class_map))
    scaled = (class_map - class_map.min()) / span if span else np.zeros_like(class_map)
    evidence = Image.fromarray(np.uint8(np.round(255 * scaled))).resize(small.size, Image.Resampling.BICUBIC)
    colours = require("matplotlib", "report").colormaps["inferno"](np.asarray(evidence))[..., :3]
    strength = 0.85 * np.asarray(evidence)[..., None] / 255
    grey = np.asarray(small.convert("L"))[..., None] / 255
    return Image.fromarray(np.uint8(np.round(255 * (grey * (1 - strength) + colours * strength))))


def _far_apart(heights: Sequence[float]) -> list[int]:
    """The highest places that leave room for a name between each two."""
    chosen: list[int] = []
    for index in sorted(range(len(heights)), key=lambda index: -heights[index]):
        if len(chosen) < MAX_NAMED and all(abs(index - other) >= len(heights) / 12 for other in chosen):
            chosen.append(index)
    return sorted(chosen)


def _mark_best(axes: "Axes", by_epoch: dict[int, float]) -> None:
    best, value = max(by_epoch.items(), key=lambda entry: entry[1])
    axes.plot([best], [100 * value], "o", color=WARM)
    # In the corner below the curve, which would run through a name next to the dot.
    label = f"{value:.2%} at epoch {best}"
    axes.text(0.98, 0.05, label, transform=axes.transAxes, ha="right")


def _stages(axes: "Axes", name: str, run: Run) -> None:
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


def _svg(name: str, inches: tuple[float, float], draw: Callable[["Figure"], None]) -> str:
    file = io.StringIO()
    # From the defaults, so that a reader's own matplotlibrc does not change the page.
    with require("matplotlib.style", "report").context(["default", {**PLOT_STYLE, "svg.hashsalt": name}]):
        figure = require("matplotlib.figure", "report").Figure(figsize=inches)
        draw(figure)
        figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    return _embeddable(name, file.getvalue())


def _embeddable(name: str, document: str) -> str:
    """A scalable `<svg>` element in the theme's colours, with ids that no other picture of the page has."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg, count=1)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\1{name}-", svg).replace("xlink:href", "href")
    return re.sub("|".join(THEME), lambda match: THEME[match.group()], svg)
