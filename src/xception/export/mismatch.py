"""The first operation in which an export departs from its parent, found by comparing the values inside both."""

from bisect import bisect_left
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

import msgspec
from numpy.typing import NDArray

from xception.arch.graph import INPUT, BatchNorm, unfold
from xception.backends.base import Pixels
from xception.backends.graph_session import graph_input
from xception.bundle import Bundle
from xception.export.fold import folded
from xception.export.program import Values
from xception.extras import require
from xception.forms import FORMS
from xception.tasks.agreement import agreement_of

MAX_REASON_CHARACTERS = 300
"""Characters of a runtime's complaint that are passed on."""


class Taps(Protocol):
    """A graph that shows what it computes inside."""

    names: Sequence[str]
    """Names of all values, in the order in which they are computed."""

    def __call__(self, values: NDArray[Any], count: int) -> Values:
        """The first `count` values for an input of the graph, maps as (N, C, H, W). The runtime's own errors come
        through."""


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """The first operation of a graph that does not do what the network's does."""

    node: str
    block: str
    """The part of the network it belongs to, such as `stem.0` or `blocks.3`."""
    agreeing: int
    """Operations before it whose values agree."""
    max_abs_diff: float | None = None
    relative_diff: float | None = None
    """Largest difference over the largest value; None where there was nothing to compare."""
    reason: str = ""
    """Reason why there was nothing to compare."""

    def sentence(self) -> str:
        if self.max_abs_diff is None:
            what = f"{self.node} fails ({self.reason})"
        else:
            what = (
                f"it first differs at {self.node}, by at most {self.max_abs_diff:.1e} ({self.relative_diff:.1e} of the "
                "largest value there)"
            )
        return f"{what}, in {self.block}; {self.agreeing} values before it agree"


def first_mismatch(exported: Bundle, parent: Bundle, pixels: Pixels, tolerance: float) -> Mismatch | None:
    """Find the first value inside an exported graph that is not the network's.

    Args:
        exported: a bundle with a graph.
        parent: the bundle of weights that it was made from.
        pixels: (N, C, H, W), on which the two differ.
        tolerance: largest difference over the largest value of an operation.

    Returns:
        The mismatch, or None where every value agrees, none bears the name of an operation, or the runtime shows none.
    """
    facts = FORMS[exported.model.form]
    if facts.taps is None:
        return None
    taps: Taps = facts.function(facts.taps)(exported.main_file)
    expected = expected_values(parent, pixels)
    values = graph_input(pixels, exported.graph, exported.model.preprocess)
    try:
        found = taps(values, len(taps.names))
    # The runtimes raise types of their own, which share no base class but this one.
    except Exception as error:
        return _failure(taps, values, expected, tolerance, str(error))
    return _difference(found, expected, tolerance)


def expected_values(parent: Bundle, pixels: Pixels) -> dict[str, NDArray[Any]]:
    """Values that the operations of the folded network have to compute, by the operation's name."""
    require("torch", "torch")
    architecture, tensors = parent.model.network.architecture(), parent.tensors()
    values: dict[str, NDArray[Any]] = import_module("xception.export.torch").network_values(
        architecture, tensors, pixels
    )
    kept = {node.name for node in folded(architecture, tensors)[0]}
    absorbed = {
        node.source: node.name for node in unfold(architecture) if isinstance(node, BatchNorm) and node.name not in kept
    }
    return {name: values[absorbed.get(name, name)] for name in (INPUT, *kept)}


def _difference(found: Values, expected: Values, tolerance: float) -> Mismatch | None:
    names = [name for name in found if name in expected]
    for agreeing, name in enumerate(names):
        ours, theirs = found[name], expected[name]
        if ours.shape != theirs.shape:
            reason = f"its shape is {ours.shape}, expected {theirs.shape}"
            return Mismatch(node=name, block=_block(name), agreeing=agreeing, reason=reason)
        measured = agreement_of(ours, theirs)
        if not measured.relative_diff <= tolerance:
            return Mismatch(
                node=name,
                block=_block(name),
                agreeing=agreeing,
                max_abs_diff=measured.max_abs_diff,
                relative_diff=measured.relative_diff,
            )
    return None


def _failure(taps: Taps, values: NDArray[Any], expected: Values, tolerance: float, reason: str) -> Mismatch:
    """The first value that the runtime cannot compute, or one before it that is wrong."""

    def fails(count: int) -> bool:
        try:
            taps(values, count)
        except Exception:
            return True
        return False

    index = bisect_left(range(1, len(taps.names)), True, key=fails)
    wrong = _difference(taps(values, index), expected, tolerance) if index else None
    name, reason = taps.names[index], " ".join(reason.split())[:MAX_REASON_CHARACTERS]
    return wrong or Mismatch(node=name, block=_block(name), agreeing=index, reason=reason)


def _block(name: str) -> str:
    """The part of the network that a value's name begins with."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in ("stem", "blocks") else parts[0]
