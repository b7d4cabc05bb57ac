"""Two result documents of evaluations side by side: the figures that changed, and all that may have changed them."""

from pathlib import Path
from typing import Any

import msgspec

from xception.errors import InputError
from xception.inputs import RESULTS_LIMIT, parse_json, read_bytes
from xception.tasks.evaluation import Evaluation
from xception.tasks.provenance import ResultProvenance, changed_facts

FIGURES = ("seen", "failed", "loss", "expected_calibration_error", "roc_auc", "equal_error_rate")
"""Plain figures of a document that are compared, in addition to its accuracies."""


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
    stated = {name: (getattr(ours, name), getattr(theirs, name)) for name in FIGURES}
    tops = {
        f"top{k}": (one.value, other.value)
        for k, (one, other) in enumerate(zip(ours.top_k, theirs.top_k, strict=False), 1)
    }
    return DocumentComparison(
        first=str(first),
        second=str(second),
        data=ours.data,
        conditions=_rows(found),
        figures=_rows({name: pair for name, pair in (tops | stated).items() if pair[0] != pair[1]}),
    )


def _provenance(document: Evaluation) -> ResultProvenance:
    if document.provenance is None:
        raise InputError(f"the evaluation of {document.data} does not say how it was made; evaluate again")
    return document.provenance


def _rows(found: dict[str, tuple[Any, Any]]) -> tuple[Difference, ...]:
    return tuple(Difference(name=name, first=first, second=second) for name, (first, second) in found.items())
