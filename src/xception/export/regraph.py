"""An ONNX graph of a bundle in another form: int8, or adopted from somebody else, without its weights."""

from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np

from xception.backends.base import Logits, Pixels, open_session, run_in_batches
from xception.bundle import Agreement, Bundle, Graph, Model, child
from xception.errors import CheckFailed, UsageError
from xception.export.program import GraphOptions
from xception.export.request import check_taken, graph_departures
from xception.extras import require
from xception.forms import FORMS, NAME_OPTIONS, Form
from xception.tasks.agreement import agreement_of

REGRAPHED_OPTIONS = NAME_OPTIONS | {"fixed_batch"}
"""Options that change a finished graph at its ends only."""

REGRAPHED_BATCH_SIZE = 7

MAX_FLOAT_DIFFERENCE = 1e-5
"""Largest logit difference over the largest logit, where the same numbers are computed."""

MAX_INT8_ERROR = 0.25
"""Root mean square of the differences over that of the logits, where another runtime computes int8: sums that fall
between two integers become either, which a wrong graph exceeds several times."""


def graph_in_form(model: Model, to: Form) -> Graph | None:
    """Names and shapes of a bundle's graph after it was written in a form; 8-bit images keep their order of axes."""
    if model.graph is None or FORMS[to].layout == "nchw":
        return model.graph
    return msgspec.structs.replace(model.graph, input_layout=FORMS[to].layout)


def regraphed(bundle: Bundle, to: Form, options: GraphOptions) -> tuple[Model, dict[str, bytes]]:
    """The description and the files of a bundle's ONNX graph in another form.

    Raises:
        UsageError: options that only a graph made of weights can have, or a batch other than the graph's own.
    """
    given, int8 = graph_departures(options), FORMS[to].int8
    check_taken(f"a finished graph as {to}", {*given}, REGRAPHED_OPTIONS)
    if int8 is None:
        raise UsageError(f"{to} is made of weights only")
    model, graph = require("onnx", "onnx").load_from_string(bundle.content()), bundle.graph
    if options.fixed_batch not in (None, graph.input_shape[0]) and graph.input_shape[0] is not None:
        raise UsageError(f"the graph of {bundle.path} takes {graph.input_shape[0]} images, not {options.fixed_batch}")
    changed = msgspec.structs.replace(
        graph,
        input_name=options.input_name or graph.input_name,
        output_name=options.output_name or graph.output_name,
        input_shape=(options.fixed_batch or graph.input_shape[0], *graph.input_shape[1:]),
    )
    _rename(model, {graph.input_name: changed.input_name, graph.output_name: changed.output_name})
    _fix_batch(model, options.fixed_batch)
    files: dict[str, bytes] = FORMS[to].function(int8.writer)(model)
    described = msgspec.structs.replace(bundle.model, graph=changed)
    tools = {tool: version(tool) for tool in FORMS[to].tools}
    made = child(bundle, "export", tools, to=to, **given)
    return msgspec.structs.replace(made, form=to, graph=graph_in_form(described, to)), files


def compare_graphs(
    exported: Bundle, parent: Bundle, probes: Sequence[Pixels], *, rounds_anew: bool | None = None
) -> Agreement:
    """Compare a graph with the one that it was made of, each in its own runtime.

    Args:
        rounds_anew: the graphs may round to other integers; by default so where int8 is computed by two runtimes.

    Raises:
        CheckFailed: they differ.
    """
    ours, theirs = (_logits(bundle, probes) for bundle in (exported, parent))
    measured = agreement_of(ours, theirs)
    if rounds_anew is None:
        rounds_anew = exported.model.precision == "int8" and exported.model.form != parent.model.form
    error = float(np.sqrt(((ours - theirs) ** 2).mean() / max((theirs**2).mean(), np.finfo(np.float32).tiny)))
    if not (error <= MAX_INT8_ERROR if rounds_anew else measured.relative_diff <= MAX_FLOAT_DIFFERENCE):
        raise CheckFailed(
            f"the {exported.model.form} graph differs from that of {parent.path} by {measured.relative_diff:.1e} of "
            f"the largest logit, and by {error:.1e} on average; report this with the versions in use"
        )
    return measured


def _logits(bundle: Bundle, probes: Sequence[Pixels]) -> Logits:
    with closing(open_session(bundle)) as session:
        return np.concatenate([run_in_batches(session, pixels, REGRAPHED_BATCH_SIZE) for pixels in probes])


def _rename(model: Any, names: dict[str, str]) -> None:
    """Give ports other names, wherever they are read or written."""
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.name = names.get(value.name, value.name)


def _fix_batch(model: Any, size: int | None) -> None:
    if size is None:
        return
    # Shapes inside are inferred again where they are needed.
    del model.graph.value_info[:]
    for port in (*model.graph.input, *model.graph.output):
        port.type.tensor_type.shape.dim[0].dim_value = size
