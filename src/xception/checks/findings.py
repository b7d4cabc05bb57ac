"""Faults of a data set: their kinds, the severity of each, and one case of one."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

Severity = Literal["error", "warning", "note"]


class FindingKind(NamedTuple):
    """A kind of finding: how bad it is, and in words what it is."""

    severity: Severity
    meaning: str


FINDING_KINDS: Mapping[str, FindingKind] = MappingProxyType(
    {
        "missing": FindingKind("error", "listed, but there is no such file"),
        "unreadable": FindingKind("error", "the file cannot be read"),
        "empty": FindingKind("error", "a file without a byte"),
        "truncated": FindingKind("error", "the file ends early"),
        "corrupt": FindingKind("error", "damaged, or no image"),
        "too_large": FindingKind("error", "more pixels than are decoded"),
        "unknown_kind": FindingKind("error", "a sound image of a kind that is not decoded here"),
        "conflicting_labels": FindingKind("error", "the same file under different labels"),
        "leakage": FindingKind("error", "the same file in both data sets"),
        "bad_line": FindingKind("error", "a line of the list that is not a path and a class"),
        "index_out_of_range": FindingKind("error", "a class index without a class"),
        "damaged": FindingKind("warning", "a JPEG file whose data are broken; decoders fill in what is missing"),
        "blank_end": FindingKind("warning", "perhaps cut off and closed again"),
        "wrong_extension": FindingKind("warning", "the name ends like another format's"),
        "exif_rotated": FindingKind("warning", "stored turned: upright only for models whose preprocessing heeds EXIF"),
        "cmyk": FindingKind("warning", "CMYK, which programs convert to RGB in different ways"),
        "sixteen_bit": FindingKind("warning", "16 bits per channel, which programs reduce to 8 in different ways"),
        "sliver": FindingKind("warning", "so long and narrow that models may refuse it"),
        "tiny": FindingKind("warning", "far smaller than the others"),
        "exact_duplicate": FindingKind("warning", "the same file again"),
        "near_duplicate": FindingKind("warning", "images that look alike"),
        "near_leakage": FindingKind("warning", "images that look alike in both data sets"),
        "not_compared": FindingKind("warning", "an image of the other data set that cannot be read"),
        "empty_class": FindingKind("warning", "a class without images"),
        "imbalance": FindingKind("warning", "the largest class has more than ten times the images of the smallest"),
        "case_clash": FindingKind("warning", "names that differ only in upper and lower case"),
        "listed_twice": FindingKind("warning", "a path that the list has more than once"),
        "unlisted": FindingKind("warning", "an image that the list leaves out"),
        "ignored_image": FindingKind("warning", "an image whose name does not end like one; it is left out"),
        "outside_class": FindingKind("warning", "an image outside the class folders; it is left out"),
        "grayscale": FindingKind("note", "gray among colours"),
        "transparent": FindingKind("note", "transparency, which is dropped"),
        "palette": FindingKind("note", "colours from a palette"),
        "animated": FindingKind("note", "several frames, of which the first is used"),
        "junk": FindingKind("note", "a file that a system or program left behind"),
    }
)
"""Kinds of findings by name, worst first. Errors make the check fail."""

ORDER = {kind: place for place, kind in enumerate(FINDING_KINDS)}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One case of one kind."""

    kind: str
    severity: Severity
    paths: tuple[str, ...]
    """The images, files or classes concerned."""
    detail: str


def finding(kind: str, paths: Iterable[str], detail: str = "") -> Finding:
    """Make a finding with the severity of its kind; by default its detail is the meaning of the kind."""
    return Finding(
        kind=kind,
        severity=FINDING_KINDS[kind].severity,
        paths=tuple(paths),
        detail=detail or FINDING_KINDS[kind].meaning,
    )
