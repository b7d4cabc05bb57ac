"""Two result documents of evaluations side by side: the figures that changed, and all that may have changed them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from xception.errors import InputError
from xception.inputs import RESULTS_LIMIT, parse_json, read_bytes
from xception.intervals import Interval
from xception.tasks.evaluation import Evaluation
from xception.tasks.provenance import ResultProvenance, changed_facts

NO_FIGURES = frozenset({"provenance", "inventory", "subset"})
"""Parts of a document that hold no figures."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A fact or figure that two documents state differently."""

    name: str
    first: Any
    second: Any


class DocumentComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two evaluations of the same data: what differs in their conditions and in their figures."""

    first: str
    second: str
    data: str
    conditions: tuple[Difference, ...]
    """Models, options, versions and machine, by their places in the provenance."""
    figures: tuple[Difference, ...]
    """Figures that both documents state, by their places in the document, with `top2`, `top3` and so on."""
    only_in_one: tuple[str, ...] = ()
    """Figures that only one of the documents states."""


def read_evaluation(path: Path) -> Evaluation:
    """An evaluation's document, as `xception evaluate --json` prints it.

    Raises:
        InputError: it cannot be read, is no such document, or says nothing of its origin.
    """
    try:
        document = parse_json(read_bytes(path, RESULTS_LIMIT), Evaluation)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path} holds no evaluation: {error}; expected what evaluate --json prints") from error
    if document.provenance is None:
        raise InputError(f"{path} does not say how it was made, so that it compares with nothing; evaluate again")
    return document


def compare_documents(first: Path, second: Path) -> DocumentComparison:
    """Compare two evaluations of the same data.

    Raises:
        InputError: one cannot be read, or they are of different images or labels.
    """
    ours, theirs = read_evaluation(first), read_evaluation(second)
    found = changed_facts(_provenance(ours), _provenance(theirs))
    if _provenance(ours).data.fingerprint != _provenance(theirs).data.fingerprint:
        raise InputError(
            f"{first} is of {ours.total:,} images of {ours.data} and {second} of {theirs.total:,} of {theirs.data}, "
            "which are not the same images with the same labels; expected two evaluations of the same data"
        )
    one, other = _figures(ours), _figures(theirs)
    changed = {name: (one[name], other[name]) for name in one if name in other and one[name] != other[name]}
    return DocumentComparison(
        first=str(first),
        second=str(second),
        data=ours.data,
        conditions=_rows(found),
        figures=_rows(changed),
        only_in_one=tuple(sorted(one.keys() ^ other.keys())),
    )


def _figures(document: Evaluation) -> dict[str, float]:
    """All figures of a whole document by their names; those of single classes and images are left out."""
    tops = {f"top{k}": interval.value for k, interval in enumerate(document.top_k, 1)}
    return tops | dict(_numbers(document))


def _numbers(part: msgspec.Struct, place: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a part of a document, and of its own parts, by their places; of an interval its value."""
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if name in NO_FIGURES or value is None:
            continue
        if isinstance(value, Interval):
            yield place + name, value.value
        elif isinstance(value, int | float):
            yield place + name, value
        elif isinstance(value, msgspec.Struct):
            yield from _numbers(value, f"{place}{name}.")


def _provenance(document: Evaluation) -> ResultProvenance:
    if document.provenance is None:
        raise InputError(f"the evaluation of {document.data} does not say how it was made; evaluate again")
    return document.provenance


def _rows(found: dict[str, tuple[Any, Any]]) -> tuple[Difference, ...]:
    return tuple(Difference(name=name, first=first, second=second) for name, (first, second) in found.items())
