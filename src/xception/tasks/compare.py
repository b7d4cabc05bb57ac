"""Two models on the same images: where they differ, and whether the second is worse."""

from bisect import insort
from itertools import product

import msgspec

from xception.backends.base import Logits
from xception.bundle import Score
from xception.charts import Chart
from xception.data.inventory import EMPTY, Inventory, inventory_of
from xception.data.source import Source, require_single_label, require_source
from xception.errors import InputError, UsageError
from xception.extras import is_installed
from xception.intervals import (
    Interval,
    NonInferiority,
    bootstrap_difference,
    mcnemar,
    non_inferiority,
    paired_difference,
    wilson,
)
from xception.labels import Labels
from xception.metrics import Activation, check_probabilities, probabilities
from xception.pipeline.engine import Engine, require_engine, run_side_by_side
from xception.pipeline.lane import Failure, Scored
from xception.pipeline.sessions import Restricted
from xception.tables import ResultTable, TableResult
from xception.tasks.binary import two_classes
from xception.tasks.charts import accuracies
from xception.tasks.evaluation import FailedImage
from xception.tasks.pairs import PairCounts
from xception.tasks.provenance import DataFingerprint, ResultProvenance, provenance_of
from xception.tasks.tally import Tally
from xception.tasks.targets import relabelled

MARGIN = 0.01
"""The loss of accuracy that a user may take for none: one point in a hundred."""

MAX_FLIPS = 24

SOFTMAXES: tuple[Activation, Activation] = ("softmax", "softmax")
"""Activations of two models of the usual kind."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two models, on the images that both could be given."""

    bundle: str
    backend: str
    score: Score


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """An image for which the two models name different classes."""

    path: str
    label: str | None
    """The true class, where it is known."""
    first: str
    first_probability: float
    """Probability of the class that the first model names."""
    second: str
    second_probability: float
    swing: float
    """Rise of the probability of the true class from the first to the second; negative where it falls. Where that class
    is not known, the class that the first model names takes its place."""


class Comparison(TableResult, msgspec.Struct, frozen=True, kw_only=True):
    """Result of a comparison: fractions with 95 % intervals; differences are the second model minus the first.

    `seen + failed = total`; an image that one model cannot process counts as failed for both. The four counts of
    right answers add up to `seen`.
    """

    first: Side
    second: Side
    data: str
    total: int
    seen: int
    failed: int
    inventory: Inventory = EMPTY
    """Files of the data that are not among the images, and images that are among them twice."""
    agreement: Interval | None
    """Share of images for which both models name the same class; the others are `flips`."""
    flips: int
    both_right: int
    first_only: int
    second_only: int
    both_wrong: int
    difference: Interval | None
    """Difference of top-1 with Tango's score interval, by which the verdict is made."""
    bootstrap: Interval | None
    """The same difference with an interval from resampled images."""
    mcnemar_p: float
    """Exact two-sided p-value of McNemar's test."""
    non_inferiority: NonInferiority
    worst_flips: tuple[Flip, ...]
    """At most `MAX_FLIPS` flips; those in which the probability of the true class changes most come first."""
    failures: tuple[FailedImage, ...]
    damaged: tuple[FailedImage, ...] | None = None
    """Images that were seen although their JPEG data are broken, with libjpeg's warning; None if not checked."""
    provenance: ResultProvenance | None = None
    """Models, data, options, versions and machine behind the figures."""

    def __repr__(self) -> str:
        models = f"{self.second.bundle} with {self.first.bundle}"
        return f"Comparison({models} on {self.data}: {self.non_inferiority.sentence()})"

    def displayed(self) -> ResultTable:
        """The accuracy of both models, and the verdict."""
        columns = ("model", "runtime", "top-1", "95 % interval")
        rows = [(side.bundle, side.backend, *_percentages(side.score.top1)) for side in (self.first, self.second)]
        rows.append(("difference", "", *_percentages(self.difference)))
        return ResultTable(columns, rows, f"{self.seen:,} images of {self.data}", self.non_inferiority.sentence())

    def records(self) -> ResultTable:
        """The flips with the largest swing, a row for each."""
        fields = Flip.__struct_fields__
        return ResultTable(fields, [msgspec.structs.astuple(flip) for flip in self.worst_flips])

    def plot(self) -> Chart:
        """The accuracy of both models, and its difference against the margin.

        Raises:
            UsageError: no image was seen.
        """
        first, second = self.first.score.top1, self.second.score.top1
        if not first or not second or not self.difference:
            raise UsageError("no image was seen by both models, so that there is no accuracy to plot; see `failures`")
        return accuracies(first, second, self.difference, self.non_inferiority.margin)


def _percentages(interval: Interval | None) -> tuple[str, str]:
    return (f"{interval.value:.2%}", f"{interval.low:.2%} to {interval.high:.2%}") if interval else ("-", "no images")


def compare(first: Engine, second: Engine, source: Source, *, margin: float = MARGIN) -> Comparison:
    """Run two models over the same labelled images, each with its own preprocessing.

    Args:
        first: the reference model; its batch size and workers are used for both.
        second: the model that is compared with it.
        source: labelled images.
        margin: largest loss of top-1 accuracy that does not matter, as a fraction.

    Raises:
        UsageError: a margin that is no fraction.
        InputError: the models have different classes, or the data have others.
        CheckFailed: logits that are not numbers.
    """
    if not 0 <= margin < 1:
        raise UsageError(f"the margin {margin:g} is no fraction from 0 to 1; for one point in a hundred pass 0.01")
    require_engine(first)
    require_engine(second)
    require_source(source)
    require_single_label(source, "a comparison of two models")
    first, second = two_classes(first, source.classes), two_classes(second, source.classes)
    labels = first.bundle.labels
    order = matched(labels, second.bundle.labels)
    fingerprint = DataFingerprint()
    items = fingerprint.watch(relabelled(source, labels.targets(source.classes)))
    looks = is_installed("simplejpeg")
    # A file's damage is the same for both.
    first = first.with_lane(damage="noted") if looks else first
    sides = (first.judging(), second.judging().with_lane(session=Restricted(second.session, order)))
    activations = first.bundle.model.activation, second.bundle.model.activation
    for activation in activations:
        check_probabilities(activation)
    tally = PairedTally(labels.names, activations)
    for one, other in run_side_by_side(sides, items):
        tally.add(one, other)
    result = tally.comparison(first, second, source.name, len(source), margin)
    provenance = provenance_of(sides, source, fingerprint, {"margin": margin})
    damaged = result.damaged if looks else None
    return msgspec.structs.replace(result, inventory=inventory_of(source), damaged=damaged, provenance=provenance)


def matched(first: Labels, second: Labels) -> tuple[int, ...]:
    """The second model's index of each of the first's classes, found by ids or names.

    Raises:
        InputError: they are not the same classes.
    """
    for ours, theirs in product((first.ids, first.names), (second.ids, second.names)):
        index = {name: place for place, name in enumerate(theirs)}
        if ours and len(ours) == len(theirs) == len(index) and index.keys() == set(ours):
            return tuple(index[name] for name in ours)
    if first.names == second.names:
        return tuple(range(len(first)))
    strange = next((name for name in first.names if name not in second.names), first.names[0])
    raise InputError(
        f"the two models have different classes, {len(first)} and {len(second)}, such as {strange!r}; "
        "expected models of the same classes, in any order"
    )


def flip(
    names: tuple[str, ...],
    path: str,
    target: int | None,
    logits: tuple[Logits, Logits],
    activations: tuple[Activation, Activation] = SOFTMAXES,
) -> Flip:
    """The answers of two models to an image, whose logits (K,) differ in their likeliest class."""
    guess, other = (int(row.argmax()) for row in logits)
    before, after = (probabilities(row[None], kind)[0] for row, kind in zip(logits, activations, strict=True))
    watched = guess if target is None else target
    return Flip(
        path=path,
        label=None if target is None else names[target],
        first=names[guess],
        first_probability=float(before[guess]),
        second=names[other],
        second_probability=float(after[other]),
        swing=float(after[watched] - before[watched]),
    )


def by_swing(row: Flip) -> tuple[float, str]:
    """The key to sort by that puts the largest swing first."""
    return -abs(row.swing), row.path


class PairedTally:
    """Running sums over pairs of outcomes; memory does not grow with their number, failures aside."""

    def __init__(self, names: tuple[str, ...], activations: tuple[Activation, Activation] = SOFTMAXES) -> None:
        self.names, self.activations = names, activations
        self.sides = tuple(Tally(names, activation=activation) for activation in activations)
        self.pairs = PairCounts()
        self.worst: list[Flip] = []

    def add(self, first: Scored | Failure, second: Scored | Failure) -> None:
        """Count one image.

        Raises:
            CheckFailed: logits that are not numbers.
        """
        target = 0 if isinstance(first, Failure) else first.item.class_index or 0
        counted = self.pairs.add(first, second, target)
        for tally, outcome in zip(self.sides, (first, second), strict=True):
            tally.add(counted if isinstance(counted, Failure) else outcome)
        if not isinstance(counted, Failure) and isinstance(first, Scored):
            self._keep_flip(first.item.key, target, counted)

    def _keep_flip(self, path: str, target: int, logits: tuple[Logits, Logits]) -> None:
        first, second = logits
        if first.argmax() != second.argmax():
            insort(self.worst, flip(self.names, path, target, logits, self.activations), key=by_swing)
            del self.worst[MAX_FLIPS:]

    def comparison(self, first: Engine, second: Engine, data: str, total: int, margin: float) -> Comparison:
        """The document for what was counted.

        Raises:
            InputError: the source promised another number of images than it gave.
        """
        sides = [
            tally.evaluation(str(side.bundle.path), data, side.session.facts.name, total)
            for tally, side in zip(self.sides, (first, second), strict=True)
        ]
        seen, same, right = self.pairs.seen, self.pairs.same, self.pairs.right
        counts = (right[True, False], right[False, True], seen)
        return Comparison(
            first=Side(bundle=sides[0].bundle, backend=sides[0].backend, score=sides[0].score()),
            second=Side(bundle=sides[1].bundle, backend=sides[1].backend, score=sides[1].score()),
            data=data,
            total=total,
            seen=seen,
            failed=sides[0].failed,
            agreement=wilson(same, seen),
            flips=seen - same,
            both_right=right[True, True],
            first_only=right[True, False],
            second_only=right[False, True],
            both_wrong=right[False, False],
            difference=paired_difference(*counts),
            bootstrap=bootstrap_difference(*counts),
            mcnemar_p=mcnemar(*counts[:2]),
            non_inferiority=non_inferiority(*counts, margin),
            worst_flips=tuple(self.worst),
            failures=sides[0].failures,
            damaged=sides[0].damaged,
        )
