"""`xception data check`"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from xception.checks.check import Check, check_source
from xception.checks.findings import FINDING_KINDS, Finding
from xception.checks.survey import survey
from xception.cli.options import Data, Html, Json, NotIn, Readers, Unlabelled, check_at_least_one, page_packages
from xception.cli.origin import made_here
from xception.cli.output import Watched, command, print_facts, print_json, print_line, propose
from xception.cli.progress import progress_bar
from xception.data.folder import image_files
from xception.data.source import Source
from xception.data.sources import named_split, open_source, packages_for
from xception.errors import CheckFailed
from xception.extras import require_all
from xception.outputs import write_file

MAX_LINES = 10
"""Findings of a kind that the terminal shows."""

MAX_PATHS = 6
"""Paths of a finding that the terminal shows."""


def data_check(
    data: Data,
    /,
    *,
    not_in: NotIn = (),
    unlabelled: Unlabelled = False,
    html: Html = None,
    readers: Readers = None,
    json: Json = False,
) -> None:
    r"""Find what is wrong with a data set: broken files, copies, leaks between two sets, labels.

    ```
    xception data check photos
    xception data check photos:train --not-in photos:validation \
        --html check.html
    ```

    Exit code 1 if there is an error among the findings; warnings and notes leave it at 0.

    Args:
    """
    check_at_least_one(readers=readers)
    require_all(*packages_for(data, *not_in), "imagehash", "simplejpeg", *page_packages(html))
    source, known = (image_files([data]), []) if unlabelled else survey(data)
    others = [_opened(other, unlabelled=unlabelled) for other in not_in]
    with progress_bar() as progress:
        result = check_source(
            Watched(source, progress, "checking"),
            [Watched(other, progress, f"checking {other.name}") for other in others],
            known,
            workers=readers,
        )
    result = msgspec.structs.replace(result, provenance=result.provenance and made_here(result.provenance))
    if html:
        _write(html, result, source, others)
    if json:
        print_json(result)
    else:
        _print(result)
    if result.errors:
        raise CheckFailed(
            f"errors found in {result.data}: {result.errors}; correct or remove the listed files, and check again"
        )
    if not json:
        propose(_following(data, unlabelled=unlabelled))


def _following(data: str, *, unlabelled: bool) -> str:
    """The command that uses such data: part of a division to judge by, or all to train on."""
    if unlabelled:
        return command("predict", "MODEL", data)
    whole, split = named_split(data, None)
    return command("evaluate", "MODEL", data) if split in ("validation", "test") else command("train", whole)


def _opened(data: str, *, unlabelled: bool) -> Source:
    return image_files([data]) if unlabelled else open_source(data)


def _write(html: Path, result: Check, source: Source, others: Sequence[Source]) -> None:
    from xception.report.check import render_check, shown_paths
    from xception.report.pictures import thumbnails

    paths = set(shown_paths(result))
    pictures = thumbnails(source, paths)
    for other in others:
        named = {path.removeprefix(f"{other.name}: ") for path in paths}
        pictures |= {f"{other.name}: {key}": image for key, image in thumbnails(other, named).items()}
    write_file(html, render_check(result, pictures).encode())


def _print(result: Check) -> None:
    print_facts(
        {
            "images": f"{result.total} = {result.seen} sound + {result.failed} failed",
            "classes": str(len(result.classes)),
            "formats": _counted(result.formats),
            "modes": _counted(result.modes),
            "findings": ", ".join(f"{result.of(severity)} {severity}s" for severity in ("error", "warning", "note")),
        }
    )
    for kind, group in groupby(result.findings, key=lambda each: each.kind):
        _print_kind(kind, list(group))


def _print_kind(kind: str, found: Sequence[Finding]) -> None:
    severity, meaning = FINDING_KINDS[kind]
    print_line()
    print_line(f"{severity}: {kind}, {len(found)}: {meaning}")
    for each in found[:MAX_LINES]:
        detail = "" if each.detail == meaning else f": {each.detail}"
        more = f" and {len(each.paths) - MAX_PATHS} more" if len(each.paths) > MAX_PATHS else ""
        print_line(f"  {', '.join(each.paths[:MAX_PATHS])}{more}{detail}")
    if len(found) > MAX_LINES:
        print_line(f"  and {len(found) - MAX_LINES} more; --json lists them all")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "-"
