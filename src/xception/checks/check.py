"""The check of a data set before anything is trained or measured on it: broken files, copies, leaks, labels."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from xception.charts import Chart
from xception.checks.charts import class_sizes
from xception.checks.findings import FINDING_KINDS, ORDER, Finding, Severity, finding
from xception.checks.inspection import Inspection, inspect
from xception.data.inventory import EMPTY, Inventory, inventory_of
from xception.data.look_alikes import Fingerprint, image_fingerprint, look_alikes
from xception.data.source import Item, Source, Target, indices_of
from xception.errors import DecodeError, UsageError
from xception.pipeline.cores import Cores
from xception.pipeline.overlap import overlap
from xception.tables import ResultTable, TableResult
from xception.tasks.provenance import DataFingerprint, ResultProvenance, provenance_of

MAX_CLASS_RATIO = 10
"""Largest number of images in a class over that of the smallest class."""

TINY_PX = 16
TINY_SHARE = 0.25
"""Bounds of a tiny image: its shorter side has fewer pixels than this, and is below this share of the median one."""


class Check(TableResult, msgspec.Struct, frozen=True, kw_only=True):
    """The result document. `seen + failed = total`; a failed image has an error of its own and was compared with none.

    `classes`, `formats` and `modes` count images. The findings come worst first.
    """

    data: str
    not_in: tuple[str, ...]
    """The data sets that should have no image in common with it."""
    total: int
    seen: int
    failed: int
    inventory: Inventory = EMPTY
    """Files of the data that are not among the images, and images that are among them twice."""
    classes: dict[str, int]
    formats: dict[str, int]
    modes: dict[str, int]
    counts: dict[str, int]
    """Number of findings by kind."""
    findings: tuple[Finding, ...]
    provenance: ResultProvenance | None = None
    """Data, versions and machine behind the findings."""

    @property
    def errors(self) -> int:
        """Findings that make the check fail."""
        return self.of("error")

    def of(self, severity: Severity) -> int:
        """Findings of a severity."""
        return sum(each.severity == severity for each in self.findings)

    def displayed(self) -> ResultTable:
        """The number of findings of each kind, worst first, with its meaning."""
        found = Counter(each.kind for each in self.findings)
        rows = [
            (FINDING_KINDS[kind].severity, kind, count, FINDING_KINDS[kind].meaning) for kind, count in found.items()
        ]
        caption = f"{self.data}: {self.total:,} images, {self.seen:,} seen, {self.failed:,} failed"
        return ResultTable(
            ("severity", "kind", "findings", "meaning"), rows, caption, "" if rows else "Nothing was found."
        )

    def records(self) -> ResultTable:
        """A row for each path of each finding, which `finding` numbers from 0."""
        rows = [
            (number, each.kind, each.severity, path, each.detail)
            for number, each in enumerate(self.findings)
            for path in each.paths
        ]
        return ResultTable(("finding", "kind", "severity", "path", "detail"), rows)

    def plot(self) -> Chart:
        """The number of images of each class.

        Raises:
            UsageError: no image has a class.
        """
        if not any(self.classes.values()):
            raise UsageError("no image of these data has a class, so that there are no classes to plot; see `counts`")
        return class_sizes(self.classes)


@dataclass(frozen=True, slots=True)
class _ImageFacts:
    """Facts that are kept of an image: some two hundred bytes, and not the image."""

    key: str
    target: Target | None
    digest: bytes
    fingerprint: Fingerprint | None
    findings: tuple[Finding, ...]
    shorter_px: int
    file_format: str
    mode: str

    @property
    def failed(self) -> bool:
        return any(each.severity == "error" for each in self.findings)


def check_source(
    source: Source, not_in: Sequence[Source] = (), known: Iterable[Finding] = (), *, workers: int | None = None
) -> Check:
    """Look at every image, and compare all with each other and with those of other data sets.

    Args:
        source: the data set.
        not_in: other ones, which should have no image in common with it.
        known: findings from before the images were looked at.
        workers: threads that read and decode, by default one more than cores.

    Raises:
        MissingExtra: imagehash is not installed.
    """
    workers = workers or Cores().workers
    fingerprint, apart = DataFingerprint(), [DataFingerprint() for _ in not_in]
    looked = list(_look_at(fingerprint.watch(source), workers))
    others = [
        replace(each, key=f"{other.name}: {each.key}")
        for other, own in zip(not_in, apart, strict=True)
        for each in _look_at(own.watch(other), workers)
    ]
    sound = [each for each in looked if not each.failed]
    found = [
        *known,
        *(each for image in looked for each in image.findings if each.kind != "grayscale"),
        *_grayscale(sound),
        *_tiny(sound),
        *_copies(sound, source.classes),
        *_leaks(sound, others),
        *_look_alikes(sound, others, source.classes),
        *_classes(looked, source.classes),
    ]
    found.sort(key=lambda each: (ORDER[each.kind], each.paths))
    return Check(
        data=source.name,
        not_in=tuple(other.name for other in not_in),
        total=len(looked),
        inventory=inventory_of(source),
        seen=len(sound),
        failed=len(looked) - len(sound),
        classes=_per_class(looked, source.classes),
        formats=dict(Counter(each.file_format for each in sound if each.file_format).most_common()),
        modes=dict(Counter(each.mode for each in sound).most_common()),
        counts=dict(Counter(each.kind for each in found)),
        findings=tuple(found),
        provenance=provenance_of([], source, fingerprint, {"not_in": list(map(str, apart))}),
    )


def _look_at(items: Iterable[Item], workers: int) -> Iterator[_ImageFacts]:
    with closing(overlap(items, _facts_of, workers=workers)) as images:
        yield from images


def _facts_of(item: Item) -> _ImageFacts:
    try:
        loaded = item.load()
    except FileNotFoundError:
        return _failure(item, finding("missing", [item.key]))
    except DecodeError as error:
        return _failure(item, finding("corrupt", [item.key], str(error)))
    except OSError as error:
        return _failure(item, finding("unreadable", [item.key], str(error.strerror or error)))
    if isinstance(loaded, bytes):
        found, digest = inspect(loaded, item.key), hashlib.blake2b(loaded, digest_size=16)
    else:
        found = Inspection(loaded, mode=loaded.mode)
        digest = hashlib.blake2b(f"{loaded.mode} {loaded.size}".encode() + loaded.tobytes(), digest_size=16)
    image = found.image
    return _ImageFacts(
        key=item.key,
        target=item.target,
        digest=digest.digest(),
        fingerprint=image_fingerprint(image) if image else None,
        findings=tuple(finding(kind, [item.key], detail) for kind, detail in (*found.faults, *found.traits)),
        shorter_px=min(image.size) if image else 0,
        file_format=found.file_format,
        mode=found.mode,
    )


def _failure(item: Item, found: Finding) -> _ImageFacts:
    return _ImageFacts(item.key, item.target, b"", None, (found,), 0, "", "")


def _grayscale(images: Sequence[_ImageFacts]) -> Iterator[Finding]:
    """Gray images among coloured ones; a data set that is mostly gray is not worth a note."""
    gray = [each for image in images for each in image.findings if each.kind == "grayscale"]
    if 2 * len(gray) < len(images):
        yield from gray


def _tiny(images: Sequence[_ImageFacts]) -> Iterator[Finding]:
    median = float(np.median([each.shorter_px for each in images])) if images else 0.0
    for each in images:
        if each.shorter_px < min(TINY_PX, TINY_SHARE * median):
            yield finding("tiny", [each.key], f"{each.shorter_px} px on its shorter side; half have {median:g} or more")


def _by_digest(images: Iterable[_ImageFacts]) -> dict[bytes, list[_ImageFacts]]:
    groups: dict[bytes, list[_ImageFacts]] = defaultdict(list)
    for each in images:
        groups[each.digest].append(each)
    return groups


def _copies(images: Iterable[_ImageFacts], classes: Sequence[str]) -> Iterator[Finding]:
    """Groups of equal files; a path that is listed again is no copy, but may have another label."""
    for group in _by_digest(images).values():
        keys = dict.fromkeys(each.key for each in group)
        if len({each.target for each in group}) > 1:
            yield finding("conflicting_labels", keys, _labels(group, classes))
        elif len(keys) > 1:
            yield finding("exact_duplicate", keys)


def _labels(group: Iterable[_ImageFacts], classes: Sequence[str]) -> str:
    names = sorted({_named(each.target, classes) for each in group})
    return f"labelled {' and '.join(names)}"


def _named(target: Target | None, classes: Sequence[str]) -> str:
    if target is None:
        return "no label"
    return " + ".join(classes[index] for index in indices_of(target)) or "no class"


def _leaks(images: Iterable[_ImageFacts], others: Sequence[_ImageFacts]) -> Iterator[Finding]:
    for each in others:
        if each.failed:
            yield finding("not_compared", [each.key], each.findings[0].detail)
    theirs = _by_digest(each for each in others if not each.failed)
    for digest, group in _by_digest(images).items():
        if digest in theirs:
            yield finding("leakage", _paths(group, theirs[digest]))


def _paths(ours: Iterable[_ImageFacts], theirs: Iterable[_ImageFacts]) -> list[str]:
    """The paths of both sets, beginning with one of each, so that a shortened list shows both."""
    mine, foreign = [each.key for each in ours], [each.key for each in theirs]
    return list(dict.fromkeys([*mine[:1], *foreign[:1], *mine[1:], *foreign[1:]]))


def _look_alikes(
    images: Iterable[_ImageFacts], others: Iterable[_ImageFacts], classes: Sequence[str]
) -> Iterator[Finding]:
    """Groups of images that look alike; one stands for all its exact copies, which are reported elsewhere."""
    ours = _by_digest(image for image in images if image.fingerprint is not None)
    theirs = _by_digest(each for each in others if each.fingerprint is not None and each.digest not in ours)
    first = [group[0] for group in (*ours.values(), *theirs.values())]
    if not first:
        return
    for group in look_alikes(np.stack([each.fingerprint for each in first if each.fingerprint is not None])):
        mine = [first[index] for index in group if index < len(ours)]
        foreign = [first[index] for index in group if index >= len(ours)]
        if len(mine) > 1:
            differ = len({each.target for each in mine}) > 1
            yield finding("near_duplicate", (each.key for each in mine), _labels(mine, classes) if differ else "")
        if mine and foreign:
            yield finding("near_leakage", _paths(mine, foreign))


def _classes(images: Iterable[_ImageFacts], classes: Sequence[str]) -> Iterator[Finding]:
    counts = _per_class(images, classes)
    empty = [name for name, count in counts.items() if not count]
    if empty:
        yield finding("empty_class", empty, f"{len(empty)} of {len(classes)} classes have no images")
    held = {name: count for name, count in counts.items() if count}
    if held and max(held.values()) > MAX_CLASS_RATIO * min(held.values()):
        most, least = max(held, key=lambda name: held[name]), min(held, key=lambda name: held[name])
        yield finding("imbalance", [most, least], f"{most} has {held[most]} images, {least} has {held[least]}")


def _per_class(images: Iterable[_ImageFacts], classes: Sequence[str]) -> dict[str, int]:
    counts = Counter(target for each in images for target in indices_of(each.target))
    return {name: counts[target] for target, name in enumerate(classes)}
