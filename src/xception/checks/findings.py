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
        "empty": FindingKind("error", "the file has no content"),
        "truncated": FindingKind("error", "the file ends early"),
        "corrupt": FindingKind("error", "the file is damaged, or is not an image"),
        "too_large": FindingKind("error", "the image has more pixels than are decoded"),
        "unknown_kind": FindingKind("error", "an intact image in a format that is not decoded here"),
        "conflicting_labels": FindingKind("error", "the same file under different labels"),
        "leakage": FindingKind("error", "the same file in both data sets"),
        "bad_line": FindingKind("error", "a line of the list that is not a path and a class"),
        "index_out_of_range": FindingKind("error", "a class index without a class"),
        "damaged": FindingKind("warning", "a JPEG file whose data are broken; decoders fill in what is missing"),
        "blank_end": FindingKind("warning", "image data are missing at the end, as in a file that was cut off"),
        "wrong_extension": FindingKind("warning", "the name has the ending of another format"),
        "exif_rotated": FindingKind("warning", "stored rotated; upright only for preprocessing that follows EXIF"),
        "cmyk": FindingKind("warning", "CMYK, which programs convert to RGB in different ways"),
        "sixteen_bit": FindingKind("warning", "16 bits per channel, which programs reduce to 8 in different ways"),
        "sliver": FindingKind("warning", "so long and narrow that models may refuse it"),
        "tiny": FindingKind("warning", "far smaller than the others"),
        "exact_duplicate": FindingKind("warning", "the same file more than once"),
        "near_duplicate": FindingKind("warning", "images that look alike"),
        "near_leakage": FindingKind("warning", "images that look alike in both data sets"),
        "not_compared": FindingKind("warning", "an image of the other data set cannot be read"),
        "empty_class": FindingKind("warning", "a class without images"),
        "imbalance": FindingKind("warning", "the largest class has more than ten times the images of the smallest"),
        "case_clash": FindingKind("warning", "names that differ only in upper and lower case"),
        "listed_twice": FindingKind("warning", "the list names a path more than once"),
        "unlisted": FindingKind("warning", "an image is not in the list"),
        "ignored_image": FindingKind("warning", "an image is left out, since its name does not have the ending of one"),
        "outside_class": FindingKind("warning", "an image is left out, since it lies outside of the class folders"),
        "grayscale": FindingKind("note", "a gray image among coloured ones"),
        "transparent": FindingKind("note", "the image has transparency, which is dropped"),
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
