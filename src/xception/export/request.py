"""The one request that every export target takes."""

from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from xception.bundle import Bundle, Precision
from xception.data.source import Source
from xception.errors import UsageError
from xception.export.program import GraphOptions
from xception.forms import QUANTIZABLE_FROM, Form
from xception.interchange.vamc import CalibrateMode

ADOPTED = "adopt"
"""First step in the history of a graph that somebody else exported."""

WEIGHTS: Form = "weights"

PACK_INPUTS = 64
"""Images of the data that a pack prepares for the chip, with golden logits, unless another number is asked for."""


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """A bundle, the target that it is written for, and the place."""

    bundle: Bundle
    to: str
    """A key of `targets.EXPORT_TARGETS`."""
    out: Path
    """A folder that does not exist yet, or is replaced."""
    options: GraphOptions = field(default_factory=GraphOptions)
    """Departures of the graph from its plain form."""
    data: Source | None = None
    """Images to compare on; labelled ones for a pack, which takes its inputs from them and evaluates on them."""
    calibration: Source | None = None
    """Images for a pack to calibrate int8 on, none of which may be among `data`."""
    calibrate_mode: CalibrateMode | None = None
    """The way in which VastAI's compiler chooses ranges for int8; by default `max`."""
    inputs: int = PACK_INPUTS
    """Images of `data` that a pack prepares for the chip, balanced over the classes."""
    upstream_python: str | None = None
    """Interpreter of an environment that has the form's framework, where this environment cannot hold it."""
    storage_uri: str | None = None
    """The place of the bundle for a cluster, such as s3://BUCKET/FOLDER."""
    image: str | None = None
    """The container's image for a cluster; None names it by the service and the bundle."""
    prometheus: str | None = None
    """Address at which a cluster's Prometheus is asked; None is that of its own operator."""
    overwrite: bool = False
    """Replace an earlier export at `out`."""

    def __post_init__(self) -> None:
        if self.inputs < 1:
            raise UsageError(f"the pack has {self.inputs} inputs; expected at least 1")


def graph_departures(options: GraphOptions) -> dict[str, str | int | bool]:
    """The options that differ from the plain form."""
    plain = GraphOptions()
    return {name: value for name, value in vars(options).items() if value != getattr(plain, name)}


def check_weights(bundle: Bundle) -> None:
    """Refuse a bundle without weights.

    Raises:
        UsageError: it holds a graph.
    """
    if bundle.model.form == WEIGHTS:
        return
    if bundle.model.lineage and bundle.model.lineage[0].verb == ADOPTED:
        raise UsageError(
            f"{bundle.path} was adopted as a graph, of which there are no weights to export; run it, quantize it, or "
            "adopt it again with --as-weights"
        )
    raise UsageError(
        f"{bundle.path} holds a graph of the form {bundle.model.form!r}; export from the bundle of weights"
    )


def check_exportable(bundle: Bundle, *, graphs: Container[Precision]) -> None:
    """Refuse a bundle that a target cannot be made of: weights always can, ONNX graphs of some precisions.

    Raises:
        UsageError: it holds a graph that the target does not take.
    """
    if not (is_finished_graph(bundle) and bundle.model.precision in graphs):
        check_weights(bundle)


def is_finished_graph(bundle: Bundle) -> bool:
    """Tell whether a bundle holds an ONNX graph that other forms are made of as it is."""
    return bundle.model.form == QUANTIZABLE_FROM and bundle.model.precision != "float16"


def check_taken(to: str, given: set[str], taken: frozenset[str]) -> None:
    """Refuse options that a target has no use for.

    Raises:
        UsageError: naming them, and those that it takes.
    """
    refused, allowed = ([f"--{name.replace('_', '-')}" for name in sorted(names)] for names in (given - taken, taken))
    if refused:
        raise UsageError(f"{to} has no {' or '.join(refused)}; it takes {', '.join(allowed) or 'no options'}")
