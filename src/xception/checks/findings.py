"""Faults of a data set: their kinds, the severity of each, and one case of one."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

Severity = Literal["error", "warning", "note"]


class Kind(NamedTuple):
    """A kind of finding: how bad it is, and in words what it is."""

    severity: Severity
    meaning: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "missing": Kind("error", "listed, but there is no such file"),
        "unreadable": Kind("error", "the file cannot be read"),
        "empty": Kind("error", "a file without a byte"),
        "truncated": Kind("error", "the file ends early"),
        "corrupt": Kind("error", "damaged, or no image"),
        "conflicting_labels": Kind("error", "the same file under different labels"),
        "leakage": Kind("error", "the same file in both data sets"),
        "bad_line": Kind("error", "a line of the list that is not a path and a class index"),
        "index_out_of_range": Kind("error", "a class index without a class"),
        "blank_end": Kind("warning", "perhaps cut off and closed again"),
        "wrong_extension": Kind("warning", "the name ends like another format's"),
        "exif_rotated": Kind("warning", "upright only to programs that heed EXIF, as this one does"),
        "cmyk": Kind("warning", "CMYK, which programs convert to RGB in different ways"),
        "sixteen_bit": Kind("warning", "16 bits per channel, which programs reduce to 8 in different ways"),
        "tiny": Kind("warning", "far smaller than the others"),
        "exact_duplicate": Kind("warning", "the same file again"),
        "near_duplicate": Kind("warning", "images that look alike"),
        "near_leakage": Kind("warning", "images that look alike in both data sets"),
        "not_compared": Kind("warning", "an image of the other data set that cannot be read"),
        "empty_class": Kind("warning", "a class without images"),
        "imbalance": Kind("warning", "the largest class has more than ten times the images of the smallest"),
        "case_clash": Kind("warning", "names that are one where upper and lower case are the same"),
        "listed_twice": Kind("warning", "a path that the list has more than once"),
        "unlisted": Kind("warning", "an image that the list leaves out"),
        "ignored_image": Kind("warning", "an image whose name does not end like one; it is left out"),
        "outside_class": Kind("warning", "an image outside the class folders; it is left out"),
        "grayscale": Kind("note", "gray among colours"),
        "transparent": Kind("note", "transparency, which is dropped"),
        "palette": Kind("note", "colours from a palette"),
        "animated": Kind("note", "several frames, of which the first is used"),
        "junk": Kind("note", "a file that a system or program left behind"),
    }
)
"""Kinds of findings by name, worst first. Errors make the check fail."""

ORDER = {kind: place for place, kind in enumerate(KINDS)}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One case of one kind."""

    kind: str
    severity: Severity
    paths: tuple[str, ...]
    """The images, files or classes concerned."""
    detail: str


def finding(kind: str, paths: Iterable[str], detail: str = "") -> Finding:
    """Make a finding with the severity of its kind; by default its detail is the meaning of the kind."""
    return Finding(kind=kind, severity=KINDS[kind].severity, paths=tuple(paths), detail=detail or KINDS[kind].meaning)
