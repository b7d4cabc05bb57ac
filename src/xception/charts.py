"""Charts as SVG: within a page in its style sheet's colours, or as a document of their own."""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xception.errors import UsageError
from xception.extras import require
from xception.outputs import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, LINE, BLUE, WARM, GREY = "#101010", "#202020", "#303030", "#404040", "#505050", "#606060"
"""Stand-ins that a chart is drawn in."""

PAGE_COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    BLUE: "var(--blue)",
    WARM: "var(--warm)",
    GREY: "var(--grey)",
}
"""The style sheet's variables that replace the stand-ins in a page: one SVG, light and dark."""

LIGHT_COLOURS = {
    INK: "#1a2027",
    MUTED: "#56616d",
    LINE: "#dce1e6",
    BLUE: "#1d5fa9",
    WARM: "#b9540b",
    GREY: "#a3adb8",
}
"""The colours of a light page, for a chart by itself on white paper."""

STYLE: dict[str, Any] = {
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


@dataclass(frozen=True)
class Chart:
    """A chart that a notebook displays, that a page embeds, and that can be written to a file.

    Each of these raises `MissingExtra` if matplotlib is not installed.
    """

    name: str
    """Prefix of the ids in the SVG, which no other chart of a page has."""
    inches: tuple[float, float]
    """Width and height."""
    draw: Callable[["Figure"], None]
    """Draws on an empty figure, in the stand-in colours."""

    def write(self, path: Path | str) -> Path:
        """Write an SVG file; returns its path.

        Raises:
            UsageError: a path that does not end with `.svg`.
            EnvironmentFault: the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise UsageError(f"a chart is written as SVG, and {path.name!r} does not end with .svg; pass such a path")
        write_file(path, self._repr_svg_().encode())
        return path

    def _repr_svg_(self) -> str:
        """The SVG document that a notebook displays, on white paper whatever the notebook's theme."""
        return _coloured(self._drawn(facecolor="white"), LIGHT_COLOURS)

    def __html__(self) -> str:
        """The scalable `<svg>` element that a template of a page inserts, with ids that no other chart of it has."""
        document = self._drawn(transparent=True)
        svg = document[document.index("<svg") :]
        svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg, count=1)
        svg = re.sub(r'( id="|href="#|url\(#)', rf"\1{self.name}-", svg).replace("xlink:href", "href")
        return _coloured(svg, PAGE_COLOURS)

    def _drawn(self, **paper: Any) -> str:
        file = io.StringIO()
        # From the defaults, so that a reader's own matplotlibrc does not change the chart.
        with require("matplotlib.style", "report").context(["default", {**STYLE, "svg.hashsalt": self.name}]):
            figure = require("matplotlib.figure", "report").Figure(figsize=self.inches)
            self.draw(figure)
            figure.savefig(file, format="svg", metadata=NO_METADATA, **paper)
        return file.getvalue()


def _coloured(svg: str, colours: Mapping[str, str]) -> str:
    return re.sub("|".join(colours), lambda match: colours[match.group()], svg)
