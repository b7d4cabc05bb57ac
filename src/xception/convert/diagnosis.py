"""What a checkpoint is: which source's names it bears, which variant it fits, and what differs."""

from collections import Counter

import msgspec
import numpy as np

from xception.convert.match import CLASSIFIER, Fit, best_fits, twins
from xception.convert.readers import Checkpoint
from xception.convert.weight_sets import WeightSet, choose_sets, upstream_names, weight_sets

MIN_LIKENESS = 0.05
"""A network that shares fewer of its tensors with every variant is none of the family."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="checkpoint"):
    """The document of `xception info FILE --json`.

    Attributes:
        groups: names of all sets of weights in the file; `group` is the one that was examined.
        prefixes: what wrappers put before its names.
        ema: whether a running average of the weights is among the groups.
        source: the source whose names it bears, None if they are nobody's.
        variant: the one variant that this source publishes under these names and shapes; None if there are several,
            or none fits fully.
        candidates: all variants that the tensors fit. Some differ from `variant` only in what no file states; of a
            file that nothing fits fully, the nearest.
        why: the reasons, in sentences.
        num_classes: None for a file without a classifier.
        width: channels in relation to the published network.
        misshapen: sentences that name the tensor and both shapes.
    """

    container: str
    groups: tuple[str, ...]
    group: str
    prefixes: tuple[str, ...]
    ema: bool
    source: str | None
    variant: str | None
    candidates: tuple[str, ...]
    why: str
    num_classes: int | None
    in_channels: int | None
    width: float | None
    dtype: str
    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]


def diagnose(checkpoint: Checkpoint, *, group: str | None = None, average: bool = False) -> Diagnosis:
    """Tell what a checkpoint is by the names and shapes of its tensors; no tensor is read.

    Raises:
        InputError: two tensors of a set have one name, or no set is an average and one is asked for.
        UnknownName: no set is called `group`.
    """
    sets = weight_sets(checkpoint)
    fits = best_fits_of(choose_sets(sets, name=group, average=average))
    best = fits[0]
    full = [found for found in fits if is_same_quality(found, best)] if is_usable(best) else []
    known = best.score >= MIN_LIKENESS
    return Diagnosis(
        container=checkpoint.container,
        groups=tuple(found.name for found in sets),
        group=best.weights.name,
        prefixes=(best.weights.prefix,) if best.weights.prefix else (),
        ema=any(found.is_average for found in sets),
        source=best.source if known else None,
        variant=best.spec.name if len(full) == 1 else None,
        candidates=_candidates(full) if full else (best.spec.name,) if known else (),
        why=why(fits),
        num_classes=num_classes_of(best) if known else None,
        in_channels=best.spec.in_channels if known else None,
        width=best.width if known else None,
        dtype=_dtype(best.weights),
        matched=best.matched if known else 0,
        missing=best.missing if known else (),
        unexpected=best.unexpected if known else tuple(best.weights.tensors),
        misshapen=best.misshapen if known else (),
    )


def best_fits_of(sets: list[WeightSet]) -> list[Fit]:
    """All variants held against the set of weights that fits any of them best, the best first."""
    return max((best_fits(weights) for weights in sets), key=lambda fits: fits[0].score)


def is_usable(fit: Fit) -> bool:
    """Whether nothing but the classifier may be missing."""
    return fit.is_full or fit.is_headless


def is_same_quality(fit: Fit, best: Fit) -> bool:
    """Whether two fits cannot be told apart: as many tensors match, and both or none at the published width."""
    return fit.score == best.score and (fit.width == 1.0) == (best.width == 1.0)


def num_classes_of(fit: Fit) -> int | None:
    """The classes that the file's classifier has, None if it has none."""
    classifier = upstream_names(fit.source, fit.spec.name)[CLASSIFIER].name
    return None if classifier in fit.missing else fit.spec.num_classes


def why(fits: list[Fit]) -> str:
    """The reasons for what `diagnose` says of these fits, the best of which is first."""
    best = fits[0]
    if best.score < MIN_LIKENESS:
        return best.problem or f"no tensor of {_some(best.weights.tensors)} has a name that a known source gives"
    if not is_usable(best):
        return f"nothing fits fully; nearest is {best.spec.name} under the names of {best.source}: {differences(best)}"
    equal = [found for found in fits if is_same_quality(found, best)]
    if len(equal) > 1:
        return f"names and shapes fit {' and '.join(found.spec.name for found in equal)} alike"
    sentences = (_names_sentence(best), _head_sentence(best), _twins_sentence(best))
    return "; ".join(filter(None, sentences))


def differences(fit: Fit) -> str:
    """What a file and a network do not share, in short."""
    return (
        f"missing {_some(fit.missing)}; not part of it {_some(fit.unexpected)}; of another shape {_some(fit.misshapen)}"
    )


def _names_sentence(fit: Fit) -> str:
    return f"the names are those of {fit.source}, and all {fit.matched} tensors under them fit {fit.spec.name}"


def _head_sentence(fit: Fit) -> str:
    if fit.is_headless:
        return "the classifier is missing"
    if fit.drops_background:
        return "its first class is the background, which is dropped"
    return ""


def _twins_sentence(fit: Fit) -> str:
    others = twins(fit.spec.name)
    if not others:
        return ""
    return (
        f"they would fit {', '.join(others)}, too: that differs in what no file states, such as epsilon or the padding "
        "of pools, and is to be named as the variant if the weights were ported from there"
    )


def _candidates(full: list[Fit]) -> tuple[str, ...]:
    names = [found.spec.name for found in full]
    return tuple(dict.fromkeys((*names, *(other for name in names for other in twins(name)))))


def _dtype(weights: WeightSet) -> str:
    """The type of most tensors that are not counters."""
    counts = Counter(str(value.dtype) for value in weights.tensors.values() if np.issubdtype(value.dtype, np.floating))
    return counts.most_common(1)[0][0] if counts else "none"


def _some(items: object, most: int = 3) -> str:
    names = list(items)  # type: ignore[call-overload]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}" if names else "none"
