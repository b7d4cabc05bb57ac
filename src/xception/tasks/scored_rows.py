"""Files of results image by image, scored again, and two of them compared pair by pair."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from xception.data.classes import SEPARATOR
from xception.data.source import Item, Target
from xception.errors import InputError
from xception.intervals import Interval, mcnemar, paired_difference, wilson
from xception.labels import index_classes
from xception.pipeline.lane import Failure, Scored
from xception.screen import without_credentials
from xception.tasks.evaluate import check_kind
from xception.tasks.evaluation import Evaluation
from xception.tasks.image_results import ImageResult
from xception.tasks.kept_logits import KeptLogits
from xception.tasks.label_issues import with_label_issues
from xception.tasks.label_sets import DEFAULT_THRESHOLD, SetTally
from xception.tasks.provenance import provenance_of_answers
from xception.tasks.sharded_rows import name_of, read_rows
from xception.tasks.tally import Tally

BACKEND = "results"
"""Name of the backend of figures that no network was run for."""


class PairedResults(msgspec.Struct, frozen=True, kw_only=True):
    """Two files of results of the same labelled images. `seen + failed = total`; an image that failed in either file
    has failed; the four counts of right answers add up to `seen`."""

    first: str
    second: str
    total: int
    seen: int
    failed: int
    agreement: Interval | None
    both_right: int
    first_only: int
    second_only: int
    both_wrong: int
    difference: Interval | None
    """Difference of top-1, the second less the first, by Tango's score interval."""
    mcnemar_p: float
    flips: tuple[str, ...]
    """Keys of the images for which the two name different classes."""


class OnKind(Protocol):
    """Is told the kind of some data before anything is counted, and may refuse it."""

    def __call__(self, data: str, *, are_sets: bool) -> object:
        """Take their name, and true for multi-label data."""
        ...


def evaluate_rows(
    place: Path | str,
    *,
    top: int = 5,
    find_label_issues: bool = False,
    threshold: float | None = None,
    on_kind: OnKind = lambda data, *, are_sets: None,  # noqa: ARG005 - nobody wants to know
) -> Evaluation:
    """The evaluation of a file of results that holds logits: every figure but those that need the images.

    Args:
        place: path or URL of the file, or of a finished folder of shards.
        top: the largest k of `top_k`.
        find_label_issues: look for images whose labels are likely wrong.
        threshold: of multi-label data, the probability from which on an image is taken to have a class.
        on_kind: is told the kind of the data before anything is counted.

    Raises:
        UsageError: an option that the data's kind knows nothing of.
        InputError: no such file, an image without a label, or answers without logits.
        CheckFailed: logits that are not numbers.
        MissingExtra: labels are to be checked, and cleanlab is not installed.
    """
    rows = list(read_rows(place))
    path, name = without_credentials(str(place)), name_of(place)
    are_sets = any(row.targets is not None for row in rows)
    check_kind(name, threshold, {"label issues": find_label_issues}, are_sets=are_sets)
    on_kind(name, are_sets=are_sets)
    with KeptLogits() as kept:
        names = _names(rows, path)
        tally: Tally | SetTally = Tally(names, kept=kept)
        if are_sets:
            tally = SetTally(names, threshold or DEFAULT_THRESHOLD, scales_temperature=True)
        for row in rows:
            tally.add(_outcome(row, path))
        result = tally.evaluation(path, name, BACKEND, len(rows), top)
        if find_label_issues:
            result = with_label_issues(result, kept, tally.activation, lambda place: rows[place].key)
    options = {"answers": _digest(rows), "classes": tally.names} | ({"threshold": threshold} if threshold else {})
    provenance = provenance_of_answers(name, {row.key: _target(row, path) for row in rows}, options)
    return msgspec.structs.replace(result, provenance=provenance)


def _digest(rows: Iterable[ImageResult]) -> str:
    """The SHA-256 of all answers, whatever their order and the format of their file."""
    lines = sorted(msgspec.json.encode((row.key, row.logits, row.failure)) for row in rows)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _outcome(row: ImageResult, path: str) -> Scored | Failure:
    target = _target(row, path)
    if row.failure is not None:
        return Failure(row.key, row.failure)
    return Scored(Item(row.key, target, bytes), np.array(row.logits, np.float32), row.damage)


def _target(row: ImageResult, path: str) -> Target:
    target = row.target if row.targets is None else row.targets
    if target is None:
        raise InputError(f"{row.key} in {path} has no true class; expected the results of labelled images")
    return target


def _names(rows: Iterable[ImageResult], path: str) -> tuple[str, ...]:
    """The classes in the order of the logits; one that no row names is called by its index."""
    names: list[str] = []
    for row in rows:
        if row.failure is None and row.logits is None:
            raise InputError(f"{row.key} in {path} has no logits; write them with --logits")
        names = names or list(index_classes(len(row.logits or ())))
        true = zip(row.targets, (row.label or "").split(SEPARATOR), strict=False) if row.targets else ()
        for index, label in ((row.target, row.label), *true, *zip(row.indices, row.labels, strict=False)):
            if index is not None and label is not None and index < len(names):
                names[index] = label
    if not names:
        raise InputError(f"{path} holds no answers; expected the logits of at least one image")
    return tuple(names)


def compare_rows(first: Path | str, second: Path | str) -> PairedResults:
    """Compare two files of results, or finished folders of shards, of the same labelled images, image by image.

    Args:
        first: path or URL.
        second: path or URL.

    Raises:
        InputError: no such files, or they are of other images or labels.
    """
    theirs, ours = {row.key: row for row in read_rows(second)}, read_rows(first)
    first, second = (without_credentials(str(place)) for place in (first, second))
    counts = dict.fromkeys(((one, other) for one in (True, False) for other in (True, False)), 0)
    flips: list[str] = []
    total = failed = 0
    for row in ours:
        other = theirs.pop(row.key, None)
        if row.targets is not None:
            raise InputError(
                f"the images of {first} may have several classes each, and a comparison counts those whose only class "
                "is right; expected results of data with one class per image"
            )
        if other is None or row.label is None or other.label != row.label:
            raise InputError(
                f"{row.key} is not in both {first} and {second} with the same true class; expected two files of "
                "results of the same labelled images"
            )
        total += 1
        if row.failure is not None or other.failure is not None:
            failed += 1
            continue
        counts[row.predicted == row.label, other.predicted == row.label] += 1
        flips += [row.key] if row.predicted != other.predicted else []
    if theirs:
        raise InputError(f"{next(iter(theirs))} is in {second} and not in {first}; expected the same images")
    seen, first_only, second_only = total - failed, counts[True, False], counts[False, True]
    return PairedResults(
        first=first,
        second=second,
        total=total,
        seen=seen,
        failed=failed,
        agreement=wilson(seen - len(flips), seen),
        both_right=counts[True, True],
        first_only=first_only,
        second_only=second_only,
        both_wrong=counts[False, False],
        difference=paired_difference(first_only, second_only, seen),
        mcnemar_p=mcnemar(first_only, second_only),
        flips=tuple(flips),
    )
