"""The page of a data set's check."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from PIL import Image

from xception.checks.check import Check
from xception.checks.findings import FINDING_KINDS, Finding, Severity
from xception.report.heading import Card, Heading, result_origin
from xception.report.html import page
from xception.tasks.provenance import flat

MAX_SHOWN = 24
"""Findings of one kind that have pictures."""

MAX_PICTURES = 4
"""Number of pictures per finding."""

MAX_CLASSES_LISTED = 100
"""Findings of one kind that a page shows; the others are only counted."""

COLOURS: Mapping[Severity, str] = {"error": "bad", "warning": "slowest", "note": ""}
"""Class of the style sheet for each severity."""

REASONS: Mapping[Severity, str] = {"error": "make the check fail", "warning": "to look at", "note": "good to know"}


class Group(NamedTuple):
    """The findings of one kind."""

    kind: str
    severity: Severity
    meaning: str
    colour: str
    findings: tuple[Finding, ...]
    """The findings that are shown."""
    total: int

    @property
    def title(self) -> str:
        """The kind in words."""
        return self.kind.replace("_", " ").replace("cmyk", "CMYK").replace("exif", "EXIF")


def render_check(check: Check, pictures: Mapping[str, Image.Image]) -> str:
    """The HTML document.

    Args:
        check: what was found.
        pictures: images by the path that a finding has for them; one that is missing is named without its picture.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    heading = Heading(
        title=f"Check of {check.data}",
        conclusion=_conclusion(check),
        conditions=f"Every file was read, decoded and compared with {_others(check)}.",
        origin=result_origin(check.provenance),
        cards=tuple(_cards(check)),
    )
    return page(
        "check.html.j2",
        heading=heading,
        check=check,
        groups=groups(check),
        most_pictures=MAX_PICTURES,
        classes=check.classes if len(check.classes) <= MAX_CLASSES_LISTED else {},
        largest=max(check.classes.values(), default=0),
        pictures=pictures,
        provenance=flat(check.provenance) if check.provenance else None,
    )


def _conclusion(check: Check) -> str:
    """The outcome, and the kinds of findings that decided it."""
    if not check.findings:
        return "Nothing is wrong with this data set."
    worst: Severity = "error" if check.errors else "warning" if check.of("warning") else "note"
    kinds = dict.fromkeys(group.title for group in groups(check) if group.severity == worst)
    found = f"{check.of(worst):,} {worst}{'s' if check.of(worst) > 1 else ''}: {', '.join(kinds)}."
    return found if check.errors else f"No errors. {found}"


def _others(check: Check) -> str:
    return "all others" + (f" and with those of {' and '.join(check.not_in)}" if check.not_in else "")


def groups(check: Check) -> tuple[Group, ...]:
    """The findings by kind, worst first, each kind with as many as a page can show."""
    return tuple(
        Group(kind, *FINDING_KINDS[kind], COLOURS[FINDING_KINDS[kind].severity], tuple(found[:MAX_SHOWN]), len(found))
        for kind, found in ((kind, list(group)) for kind, group in groupby(check.findings, lambda each: each.kind))
    )


def shown_paths(check: Check) -> Iterator[str]:
    """The paths whose pictures the page shows."""
    return (path for group in groups(check) for each in group.findings for path in each.paths[:MAX_PICTURES])


def _cards(check: Check) -> Iterator[Card]:
    yield Card(label="Images", value=f"{check.total:,}", note=f"{check.seen:,} sound + {check.failed:,} failed")
    for severity, reason in REASONS.items():
        yield Card(label=f"{severity.capitalize()}s", value=f"{check.of(severity):,}", note=reason)
