"""HTML pages: one self-contained file each, without network. The only script sorts and searches long tables; without it
they are whole and in their order."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from xception.extras import require
from xception.intervals import Interval
from xception.report.confusion import shown
from xception.report.document import Report
from xception.report.pictures import overlay, png_uri
from xception.speed.charts import throughput
from xception.train.charts import training_curves

MAX_FAILURES = 20

LONG_TABLE_ROWS = 20
"""Rows of a table above which it can be sorted and searched."""


@dataclass(frozen=True)
class Script:
    """A script in a page, and its name in the page's policy, which allows no other one."""

    text: str

    @property
    def source(self) -> str:
        """The script's SHA-256 as the policy states it."""
        return f"sha256-{base64.b64encode(hashlib.sha256(self.text.encode()).digest()).decode()}"


@dataclass(frozen=True)
class Strip:
    """An interval on an axis that several share, in percentages of the axis."""

    left: float
    width: float
    centre: float


def render(report: Report) -> str:
    """The HTML document; the same report always gives the same text.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    evaluation = report.forms[0].evaluation
    return page(
        "report.html.j2",
        heading=report.heading,
        report=report,
        result=evaluation,
        name=report.forms[0].name,
        curves=training_curves(report.history),
        throughput=throughput([(form.name, form.run) for form in report.forms]),
        strips=strips([form.evaluation.top1 for form in report.forms]),
        failures=evaluation.failures[:MAX_FAILURES],
        overlay=overlay,
        **shown(evaluation),
    )


def page(template: str, **facts: object) -> str:
    """A template of this package with its facts filled in.

    Where `has_long_tables` is one of them and true, tables that are marked with `data-searched` can be sorted and
    searched.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    jinja2 = require("jinja2", "report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xception.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent_text, megabytes=megabytes, rate=rate_text, png_uri=png_uri)
    script = Script(environment.loader.get_source(environment, "tables.js")[0])
    html: str = environment.get_template(template).render(
        facts, script=script if facts.get("has_long_tables") else None
    )
    return html


def strips(intervals: Sequence[Interval | None]) -> tuple[Strip | None, ...]:
    """The place of each interval between the lowest and the highest bound of all; None for a missing one."""
    bounds = [bound for interval in intervals if interval for bound in (interval.low, interval.high)]
    lowest, span = min(bounds, default=0.0), max(bounds, default=0.0) - min(bounds, default=0.0)
    if not span:
        return (None,) * len(intervals)
    return tuple(
        Strip(
            left=100 * (interval.low - lowest) / span,
            width=100 * (interval.high - interval.low) / span,
            centre=100 * (interval.value - lowest) / span,
        )
        if interval
        else None
        for interval in intervals
    )


def percent_text(fraction: float | None, digits: int = 2) -> str:
    """The text of a fraction, such as `98.44 %` for 0.98441; a dash for None."""
    return "\u2013" if fraction is None else f"{100 * fraction:.{digits}f}\u00a0%"


def megabytes(size_bytes: int) -> str:
    """The text of a size in decimal megabytes, as disks and networks count."""
    return f"{size_bytes / 1e6:.2f}\u00a0MB"


def rate_text(images_per_second: float) -> str:
    """The text of a rate: whole numbers from 100 on, three significant digits below."""
    return f"{images_per_second:,.0f}" if images_per_second >= 100 else f"{images_per_second:.3g}"
