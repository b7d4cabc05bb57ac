"""A checkpoint's diagnosis: the source whose names it bears, the variant that it matches, and all that differs."""

from collections import Counter

import msgspec
import numpy as np

from xception.convert.catalog import identify
from xception.convert.known_extras import needed_extra, stranger
from xception.convert.match import Match, best_matches, is_same_quality, twins
from xception.convert.readers import Checkpoint, CheckpointContents
from xception.convert.readers.checkpoint import MODEL_FOLDER
from xception.convert.remedies import remedy
from xception.convert.stated import NOTHING_STATED, StatedFacts
from xception.convert.statements import check_match, stated_facts
from xception.convert.weight_groups import WeightGroup, choose_groups, weight_groups
from xception.convert.weights_entry import WeightsEntry
from xception.errors import InputError

MIN_LIKENESS = 0.05
"""A network that shares fewer of its tensors with every variant is none of the family."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="checkpoint"):
    """The document of `xception info FILE --json`.

    Attributes:
        groups: names of all sets of weights in the file; `group` is the one that was examined.
        prefixes: what wrappers put before its names.
        ema: whether a running average of the weights is among the groups.
        source: the source whose names it has, None for unknown names.
        variant: the one variant that this source publishes under these names and shapes; None if there are several,
            or none fits fully.
        candidates: all variants that the tensors match. Some differ from `variant` only in what no file states; of a
            file that nothing fits fully, the nearest.
        why: the reasons, in sentences.
        num_classes: None for a file without a classifier.
        width: channels in relation to the published network.
        misshapen: sentences that name the tensor and both shapes.
        refused: the reason why it cannot be converted whatever its tensors are: what it states and is not supported.
        classifier: the layer that was taken as the classifier though its name is not the source's.
        dropped: what was passed over because no logit depends on it.
        remedy: the options with which it can be converted, "" if it needs none or nothing helps.
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
    refused: str = ""
    classifier: str | None = None
    dropped: tuple[str, ...] = ()
    remedy: str = ""


def diagnose(checkpoint: CheckpointContents, *, group: str | None = None, average: bool = False) -> Diagnosis:
    """Tell what a checkpoint is by the names and shapes of its tensors; no tensor is read.

    Raises:
        InputError: two tensors of a set have one name, or no set is an average and one is asked for.
        UnknownName: no set is called `group`.
    """
    stated, refused = _stated(checkpoint)
    groups = weight_groups(checkpoint, stated)
    matches = best_matches(choose_groups(groups, name=group, average=average))
    best = matches[0]
    full = [found for found in matches if is_same_quality(found, best)] if is_usable(best) else []
    known = best.score >= MIN_LIKENESS
    return Diagnosis(
        container=checkpoint.container,
        groups=tuple(found.name for found in groups),
        group=best.group.name,
        prefixes=(best.group.prefix,) if best.group.prefix else (),
        ema=any(found.is_average for found in groups),
        source=best.source if known else None,
        variant=best.spec.name if len({found.spec.name for found in full}) == 1 else None,
        candidates=_candidates(full) if full else (best.spec.name,) if known else (),
        why=why(matches),
        num_classes=best.num_classes if known else None,
        in_channels=best.spec.in_channels if known else None,
        width=best.width if known else None,
        dtype=_dtype(best.group),
        matched=best.matched if known else 0,
        missing=best.missing if known else (),
        unexpected=best.unexpected if known else tuple(best.group.tensors),
        misshapen=best.misshapen if known else (),
        refused=refused or (_contradiction(checkpoint, best, stated) if full else ""),
        classifier=best.classifier.layer if best.classifier else None,
        dropped=dropped_sentences(best),
        remedy=remedy(best) if known else "",
    )


def _stated(checkpoint: CheckpointContents) -> tuple[StatedFacts, str]:
    """The facts that a checkpoint states, or none and the reason why they are refused."""
    try:
        return stated_facts(checkpoint), ""
    except InputError as error:
        return NOTHING_STATED, str(error)


def _contradiction(checkpoint: CheckpointContents, match: Match, stated: StatedFacts) -> str:
    try:
        check_match(checkpoint, match, stated)
    except InputError as error:
        return str(error)
    return ""


def dropped_sentences(match: Match) -> tuple[str, ...]:
    """The kinds of tensors that were passed over, each with some names."""
    kinds = dict.fromkeys(match.dropped.values())
    return tuple(f"{what} ({_some([n for n, kind in match.dropped.items() if kind == what])})" for what in kinds)


def published_as(checkpoint: Checkpoint) -> WeightsEntry | None:
    """The published weights that a file is by its checksum. A model folder describes itself."""
    return None if checkpoint.container == MODEL_FOLDER else identify(checkpoint.file.checksums)


def is_usable(match: Match) -> bool:
    """True if nothing is missing, or nothing but the classifier."""
    return match.is_full or match.is_headless


def why(matches: list[Match]) -> str:
    """The reasons for what `diagnose` says of these matches, the best of which is first."""
    best = matches[0]
    others = stranger(best.group.tensors)
    if others and not is_usable(best):
        return f"it is {others}, whose network is none of the published ones"
    if best.score < MIN_LIKENESS:
        return best.problem or f"no tensor of {_some(best.group.tensors)} has a name that a known source gives"
    if best.lacks_only_classifier and best.unexpected:
        return f"it is {best.spec.name} without a classifier that is known by its name{_besides(best)}"
    if not is_usable(best):
        nearest = f"{best.spec.name} under the names of {best.source}"
        return f"nothing fits fully; nearest is {nearest}: {differences(best)}{_needed(best)}"
    equal = [found for found in matches if is_same_quality(found, best)]
    variants = dict.fromkeys(found.spec.name for found in equal)
    if len(variants) > 1:
        return f"names and shapes fit {' and '.join(variants)} alike"
    sentences = (
        _names_sentence(best),
        _classifier_sentence(best),
        *_dropped_clause(best),
        _head_sentence(best),
        _twins_sentence(best),
    )
    return "; ".join(filter(None, sentences))


def differences(match: Match) -> str:
    """The differences between a file and a network, in short."""
    missing, unexpected, misshapen = map(_some, (match.missing, match.unexpected, match.misshapen))
    return f"missing {missing}; not part of it {unexpected}; of another shape {misshapen}"


def _names_sentence(match: Match) -> str:
    return f"the names are those of {match.source}, and all {match.matched} tensors under them fit {match.spec.name}"


def _classifier_sentence(match: Match) -> str:
    return f"the classifier is its layer {match.classifier.layer}" if match.classifier else ""


def _dropped_clause(match: Match) -> tuple[str, ...]:
    kinds = dropped_sentences(match)
    return (f"dropped, since no logit depends on them, are {', '.join(kinds)}",) if kinds else ()


def _besides(match: Match) -> str:
    """The reason why nothing of what is left is its classifier."""
    if match.hidden_layers:
        return f": there are several layers in its place, {_some(match.hidden_layers)}"
    return f", but with {_some(match.unexpected)}{_needed(match)}"


def _needed(match: Match) -> str:
    found = needed_extra(match.unexpected)
    return f"; {found[0]} belongs to {found[1].what}: {found[1].needed}" if found else ""


def _head_sentence(match: Match) -> str:
    if match.is_headless:
        return (
            "there is no classifier, so that its bundle answers with embeddings; for a new classifier of K classes, "
            "pass --new-head K"
        )
    if match.drops_background:
        return "its first class is the background, which is dropped"
    return ""


def _twins_sentence(match: Match) -> str:
    others = twins(match.spec.name)
    if not others:
        return ""
    return (
        f"they would fit {_some(others, most=2)}, too: that differs in what no file states, such as epsilon or the "
        "padding of pools, and is to be named as the variant if the weights were ported from there"
    )


def _candidates(full: list[Match]) -> tuple[str, ...]:
    names = [found.spec.name for found in full]
    return tuple(dict.fromkeys((*names, *(other for name in names for other in twins(name)))))


def _dtype(group: WeightGroup) -> str:
    """The type of most tensors that are not counters."""
    counts = Counter(str(value.dtype) for value in group.tensors.values() if np.issubdtype(value.dtype, np.floating))
    return counts.most_common(1)[0][0] if counts else "none"


def _some(items: object, most: int = 3) -> str:
    names = list(items)  # type: ignore[call-overload]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}" if names else "none"
