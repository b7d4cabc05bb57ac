"""The part of undivided data that is held out of training: stratified by class, in folds, or by whole groups.

Multi-label data are stratified for all their classes at once, see `stratified_parts`.

The choice depends on nothing but the items' keys, classes and groups: it is the same wherever the data lie.
"""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import ceil
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from xception.data.source import Lazy, Target, indices_of
from xception.data.stratify import stratified_parts
from xception.errors import InputError, UsageError

MAX_SHARE_FOR_MINIMUM = 1 / 5
"""Share of a small class that the minimum per class may take."""

FOLD = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})")

Counts = Mapping[int | None, int]
"""Items of each class, where None counts those without any."""


class HoldOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The choice of the images that training does not see; every class is divided in the same proportion."""

    share: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1
    """Share of each class that is held out."""
    min_per_class: Annotated[int, msgspec.Meta(ge=0)] = 5
    """Images of each class that are held out at least, as far as they are no more than a fifth of it."""
    fold: str | None = None
    """`i/k` holds out the i-th of k parts in place of a share; the k parts together hold every image once."""
    group_pattern: str | None = None
    """Regular expression that finds the name of an item's group in its key, as its first group in parentheses or as
    the whole match; a group, such as a patient's images, is held out as a whole or not at all."""
    group_column: str | None = None
    """Column with the name of each item's group: of a list file, of parquet files, or of `metadata.csv` next to class
    folders."""

    def __post_init__(self) -> None:
        if self.group_pattern is not None and self.group_column is not None:
            raise UsageError("hold_out.group_pattern and hold_out.group_column both name the groups; expected one")
        place, count = self.place_and_count
        if self.fold is not None and not 1 <= place <= count != 1:
            raise UsageError(f"hold_out.fold is {self.fold!r}; expected i/k with i from 1 to k, such as 1/5")
        if self.fold is not None and self.share != 0.1:
            raise UsageError("hold_out.share does nothing where hold_out.fold is given; leave one of them out")
        try:
            re.compile(self.group_pattern or "")
        except re.error as error:
            raise UsageError(
                f"hold_out.group_pattern {self.group_pattern!r} is no regular expression: {error}; expected one such "
                "as ([^/_]+)_[0-9]+"
            ) from error

    @property
    def place_and_count(self) -> tuple[int, int]:
        """The number of the fold, from 1, and the number of folds; zeros where it is none."""
        match = FOLD.fullmatch(self.fold or "")
        return (int(match[1]), int(match[2])) if match else (0, 0)


DEFAULT = HoldOut()


class Halves(NamedTuple):
    """Two parts of a data set without a common item, in the order of the whole."""

    training: Lazy
    held_out: Lazy


def divide(source: Lazy, settings: HoldOut = DEFAULT) -> Halves:
    """Divide undivided data in two.

    Raises:
        InputError: the groups cannot be told or leave nothing to train on, or a class lies in what is held out only.
    """
    keys, targets = [], []
    for item in source:
        keys.append(item.key)
        targets.append(item.target)
    groups = _groups(source, keys, settings)
    if groups:
        held_out = _chosen_groups(targets, groups, settings)
    elif any(isinstance(target, tuple) for target in targets):
        held_out = _chosen_of_sets([indices_of(target) for target in targets], keys, len(source.classes), settings)
    else:
        held_out = _chosen_items(targets, keys, settings)
    _check_classes(source, targets, held_out)
    indices = [array("q"), array("q")]
    for index, is_held_out in zip(source.indices, held_out, strict=True):
        indices[is_held_out].append(index)
    return Halves(
        *(
            replace(source, name=f"{source.name}:{part}", indices=own, whole=source)
            for part, own in zip(("train", "validation"), indices, strict=True)
        )
    )


def _chosen_items(targets: Sequence[Target | None], keys: Sequence[str], settings: HoldOut) -> list[bool]:
    """True for each item that is held out, class by class in the order of the keys' hashes."""
    by_class: dict[Target | None, list[int]] = defaultdict(list)
    for place in _by_hash(keys):
        by_class[targets[place]].append(place)
    chosen = [False] * len(keys)
    fold, folds = settings.place_and_count
    before = 0
    for target in sorted(by_class, key=lambda target: target if isinstance(target, int) else -1):
        places = by_class[target]
        # Each class goes on with the fold after the last class's, so that folds have equal sizes.
        own = places[(fold - 1 - before) % folds :: folds] if fold else places[: _held_out_count(len(places), settings)]
        before += len(places)
        for place in own if len(places) > 1 else ():
            chosen[place] = True
    return chosen


def _chosen_of_sets(
    sets: Sequence[tuple[int, ...]], keys: Sequence[str], classes: int, settings: HoldOut
) -> list[bool]:
    """True for each item of multi-label data that is held out, in the order of the keys' hashes."""
    order = _by_hash(keys)
    counts = np.bincount([target for own in sets for target in own], minlength=classes)
    fold, folds = settings.place_and_count
    if fold:
        wanted, parts = np.tile(counts / folds, (folds, 1)), np.full(folds, len(sets) / folds)
    else:
        out = np.array([_held_out_count(int(count), settings) if count else 0 for count in counts])
        size = len(sets) * settings.share
        wanted, parts = np.stack([counts - out, out]), np.array([len(sets) - size, size])
    found = stratified_parts([sets[place] for place in order], parts, wanted)
    chosen = [False] * len(keys)
    for place, part in zip(order, found, strict=True):
        chosen[place] = part == (fold - 1 if fold else 1)
    return chosen


def _held_out_count(images: int, settings: HoldOut) -> int:
    """Images to hold out of a class, of which one at least is left to train on."""
    if not settings.share:
        return 0
    smallest = min(settings.min_per_class, ceil(images * MAX_SHARE_FOR_MINIMUM))
    return min(max(round(images * settings.share), smallest), images - 1)


def _groups(source: Lazy, keys: Sequence[str], settings: HoldOut) -> Sequence[Hashable]:
    """The group of each item; none where items are not grouped.

    Raises:
        InputError: an item has no group, or all have the same.
    """
    if settings.group_column is not None:
        column = source.column(settings.group_column)
        groups: list[Hashable] = [column[index] for index in source.indices]
    elif settings.group_pattern is not None:
        groups = [_matched(settings.group_pattern, key) for key in keys]
    else:
        return ()
    if len(set(groups)) < 2:
        raise InputError(
            f"all {len(keys)} images of {source.name} are of one group, {groups[0] if groups else '-'!r}; expected two "
            "groups at least, of which one can be held out"
        )
    return groups


def _matched(pattern: str, key: str) -> str:
    match = re.search(pattern, key)
    found = match and (match[1] if match.re.groups else match[0])
    if not found:
        raise InputError(f"hold_out.group_pattern {pattern!r} finds no group in {key!r}; expected one in every name")
    return found


def _chosen_groups(targets: Sequence[Target | None], groups: Sequence[Hashable], settings: HoldOut) -> list[bool]:
    """True for each item whose group is held out."""
    fold, folds = settings.place_and_count
    if not fold and not settings.share:
        return [False] * len(groups)
    contents: dict[Hashable, Counter[int | None]] = defaultdict(Counter)
    for target, group in zip(targets, groups, strict=True):
        contents[group].update(indices_of(target) or (None,))
    totals = sum(contents.values(), Counter[int | None]())
    if fold and folds > len(contents):
        raise InputError(
            f"{folds} folds cannot be made of {len(contents)} groups, which stay whole; expected fewer folds"
        )
    count = folds or min(len(contents), max(2, round(1 / settings.share)))
    parts = _balanced_parts(contents, totals, count)
    chosen = parts[fold - 1] if fold else _best_part(parts, contents, totals, settings.share)
    return [group in chosen for group in groups]


def _balanced_parts(
    contents: Mapping[Hashable, Counter[int | None]], totals: Counts, count: int
) -> list[set[Hashable]]:
    """Divide groups into parts: the largest first, each to the part that has least of the group's classes."""
    parts: list[set[Hashable]] = [set() for _ in range(count)]
    loads: list[Counter[int | None]] = [Counter() for _ in range(count)]

    def cost(part: int, own: Counter[int | None]) -> tuple[float, int]:
        shared = sum(loads[part][target] * images / totals[target] ** 2 for target, images in own.items())
        return shared, loads[part].total()

    for group in sorted(contents, key=lambda group: (-contents[group].total(), _order(str(group)))):
        best = min(range(count), key=lambda part: cost(part, contents[group]))
        parts[best].add(group)
        loads[best] += contents[group]
    return parts


def _best_part(
    parts: Sequence[set[Hashable]], contents: Mapping[Hashable, Counter[int | None]], totals: Counts, share: float
) -> set[Hashable]:
    """The part to hold out: it leaves something of every class, has many classes, and is near the share."""

    def merit(part: set[Hashable]) -> tuple[int, int, float]:
        own = sum((contents[group] for group in part), Counter[int | None]())
        exhausted = sum(own[target] == totals[target] for target in totals)
        return -exhausted, len(own), -abs(own.total() / sum(totals.values()) - share)

    return max(parts, key=merit)


def _check_classes(source: Lazy, targets: Sequence[Target | None], held_out: Sequence[bool]) -> None:
    left = {index for target, out in zip(targets, held_out, strict=True) if not out for index in indices_of(target)}
    lost = sorted({index for target in targets for index in indices_of(target)} - left)
    if lost:
        raise InputError(
            f"all images of {source.classes[lost[0]]!r} in {source.name} would be held out, since they are of groups "
            "that stay whole, or rare; expected a class to be in two groups at least: hold out fewer, or add images"
        )


def _by_hash(keys: Sequence[str]) -> list[int]:
    """The places of all keys in the order of the keys' hashes."""
    return sorted(range(len(keys)), key=lambda place: _order(keys[place]))


def _order(name: str) -> bytes:
    return sha256(name.encode()).digest()
