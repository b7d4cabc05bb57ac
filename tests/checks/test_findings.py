import re
from pathlib import Path
from typing import get_args

from xception.checks.findings import FINDING_KINDS, finding
from xception.checks.inspection import ImageFault, ImageTrait


def test_a_finding_is_as_bad_as_its_kind_and_says_at_least_what_that_means() -> None:
    found = finding("cmyk", ["a.jpg"])
    assert (found.severity, found.detail) == ("warning", FINDING_KINDS["cmyk"].meaning)
    assert finding("empty", iter(["b"]), "nothing in it").detail == "nothing in it"


def test_every_fault_and_trait_of_a_file_is_a_kind() -> None:
    assert {*get_args(ImageFault), *get_args(ImageTrait)} <= set(FINDING_KINDS)


def test_the_kinds_stand_worst_first() -> None:
    severities = [kind.severity for kind in FINDING_KINDS.values()]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_the_page_in_the_documentation_lists_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (error|warning|note) \| (.*) \|$", page, re.MULTILINE)
    assert {kind: (severity, meaning) for kind, severity, meaning in rows} == FINDING_KINDS
