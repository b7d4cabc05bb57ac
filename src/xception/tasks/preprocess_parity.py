"""The effect of another preprocessing on a model: logits and accuracy on the same files."""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Session
from xception.bundle import Agreement, Bundle
from xception.data.source import Source
from xception.errors import InputError, UsageError
from xception.intervals import Interval, paired_difference, wilson
from xception.pipeline.engine import Engine, run_side_by_side
from xception.pipeline.lane import Failure, Scored
from xception.preprocess import Preprocess
from xception.tasks.binary import two_classes
from xception.tasks.evaluation import FailedImage
from xception.tasks.pairs import PairCounts
from xception.tasks.provenance import DataFingerprint, ResultProvenance, provenance_of


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """One other preprocessing next to the model's own. Fractions, with 95 % intervals.

    `seen + failed = total`; an image that fails for either has failed for both. Accuracies are None for data without
    labels, and over the images that both saw.
    """

    name: str
    preprocess: Preprocess
    total: int
    seen: int
    failed: int
    agreement: Agreement | None
    same_top1: Interval | None
    own_top1: Interval | None
    top1: Interval | None
    difference: Interval | None
    """Difference of top-1, the other less the own, by Tango's score interval."""
    failures: tuple[FailedImage, ...]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the comparison of a preprocessing with others."""

    bundle: str
    data: str
    backend: str
    own: Preprocess
    unlabelled: str | None
    """Why there is no accuracy, or None where there is one."""
    swaps: tuple[Swap, ...]
    provenance: ResultProvenance | None = None
    """Model, data, options, versions and machine behind the figures."""


def parity(engine: Engine, source: Source, others: Mapping[str, Preprocess]) -> Parity:
    """Run a model on the same files prepared in its own way and in others, by name.

    Raises:
        UsageError: no other, or one that makes images which the model cannot take.
        CheckFailed: logits that are not numbers.
    """
    if not others:
        raise UsageError("there is no other preprocessing to compare with; name one")
    _check_sizes(engine.session, others)
    engine = _of_two_classes(engine, source)
    own_engine, bundle = engine.judging(), engine.bundle
    targets, unlabelled = _targets(bundle, source)
    tallies = {name: _Tally() for name in others}
    engines = (own_engine, *(own_engine.with_lane(preprocess=other) for other in others.values()))
    fingerprint = DataFingerprint()
    for own, *rest in run_side_by_side(engines, fingerprint.watch(source)):
        for tally, other in zip(tallies.values(), rest, strict=True):
            tally.add(own, other, targets)
    options = {"alternatives": msgspec.to_builtins(dict(others))}
    return Parity(
        bundle=str(bundle.path),
        data=source.name,
        backend=engine.session.facts.name,
        own=bundle.model.preprocess,
        unlabelled=unlabelled,
        swaps=tuple(tally.swap(name, others[name]) for name, tally in tallies.items()),
        provenance=provenance_of([own_engine], source, fingerprint, options),
    )


def _check_sizes(session: Session, others: Mapping[str, Preprocess]) -> None:
    size = session.facts.input_shape[1:]
    for name, other in others.items():
        if None not in size and other.output_px != size:
            made = "images of any size" if other.output_px is None else "{1}x{0} px".format(*other.output_px)
            raise UsageError(f"{name} makes {made}, and the model takes {size[1]}x{size[0]} px; name one of this size")


def _of_two_classes(engine: Engine, source: Source) -> Engine:
    """The engine of a model of one logit as one of two classes, of the data's names where they have the model's."""
    try:
        return two_classes(engine, source.classes)
    except InputError:
        return two_classes(engine)


def _targets(bundle: Bundle, source: Source) -> tuple[tuple[int, ...] | None, str | None]:
    """The model's index of each class of the data, or why there is none."""
    if not source.classes:
        return None, "the data have no labels"
    try:
        return bundle.labels.targets(source.classes), None
    except InputError as error:
        return None, str(error)


class _Tally:
    """Running sums over images; memory does not grow with their number, failures aside."""

    def __init__(self) -> None:
        self.pairs = PairCounts()
        self.largest_difference = self.sum_of_differences = self.largest_logit = 0.0

    def add(self, own: Scored | Failure, other: Scored | Failure, targets: tuple[int, ...] | None) -> None:
        """Count one image.

        Raises:
            CheckFailed: its logits are not numbers.
        """
        place = own.item.class_index if isinstance(own, Scored) else None
        counted = self.pairs.add(own, other, None if targets is None or place is None else targets[place])
        if not isinstance(counted, Failure):
            mine, yours = (logits.astype(np.float64) for logits in counted)
            self._compare(mine, yours)

    def _compare(self, mine: NDArray[np.float64], yours: NDArray[np.float64]) -> None:
        differences = np.abs(yours - mine)
        self.largest_difference = max(self.largest_difference, float(differences.max()))
        self.sum_of_differences += float(differences.mean())
        self.largest_logit = max(self.largest_logit, float(np.abs(mine).max()))

    def swap(self, name: str, preprocess: Preprocess) -> Swap:
        """The document for what was counted."""
        pairs, right = self.pairs, self.pairs.right
        both, own_only, other_only = (right[key] for key in ((True, True), (True, False), (False, True)))
        labelled = sum(right.values())
        return Swap(
            name=name,
            preprocess=preprocess,
            total=pairs.seen + len(pairs.failures),
            seen=pairs.seen,
            failed=len(pairs.failures),
            agreement=self._agreement() if pairs.seen else None,
            same_top1=wilson(pairs.same, pairs.seen),
            own_top1=wilson(both + own_only, labelled),
            top1=wilson(both + other_only, labelled),
            difference=paired_difference(own_only, other_only, labelled),
            failures=tuple(pairs.failures),
        )

    def _agreement(self) -> Agreement:
        return Agreement(
            samples=self.pairs.seen,
            max_abs_diff=self.largest_difference,
            mean_abs_diff=self.sum_of_differences / self.pairs.seen,
            relative_diff=self.largest_difference / max(self.largest_logit, float(np.finfo(np.float32).tiny)),
            top1_agreement=self.pairs.same / self.pairs.seen,
        )
