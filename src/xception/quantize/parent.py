"""The float graph that int8 is made of: an ONNX bundle as it is, or one that is made of weights first."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xception.bundle import Bundle
from xception.errors import UsageError
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.export.request import WEIGHTS, check_taken, graph_departures
from xception.extras import require
from xception.forms import FORMS, OLDEST_INT8_OPSET, QUANTIZABLE_FROM, Form
from xception.tasks.binary import check_classes


def refusal(bundle: Bundle) -> str | None:
    """The reason why no int8 can be made of a bundle, as the end of a sentence about it; None where it can."""
    model = bundle.model
    if model.form not in (WEIGHTS, QUANTIZABLE_FROM) or model.precision != "float32":
        return (
            f"is {model.precision} in the form {model.form!r}; int8 is made of weights or of a float32 ONNX graph: "
            "pass the bundle that it was made from"
        )
    if model.form == QUANTIZABLE_FROM and (opset := _opset(bundle)) < OLDEST_INT8_OPSET:
        return (
            f"has the opset {opset}, and int8 with a scale for each channel needs {OLDEST_INT8_OPSET} or later; export "
            "it again without --opset, or quantize the weights"
        )
    return None


def holds_int8_parent(bundle: Bundle) -> bool:
    """Tell whether a bundle holds a graph that int8 can be made of."""
    return bundle.model.form == QUANTIZABLE_FROM and refusal(bundle) is None


@contextmanager
def float_graph(bundle: Bundle, to: Form, options: GraphOptions, *, has_integer_ports: bool) -> Iterator[Bundle]:
    """An ONNX bundle, made of weights with these options where the bundle holds no graph yet.

    Raises:
        UsageError: a bundle that int8 cannot be made of, such as one without classes, or options that do not fit it,
            the form, or one another.
    """
    check_classes(bundle)
    if reason := refusal(bundle):
        raise UsageError(f"{bundle.path} {reason}")
    _check_options(bundle, to, options)
    if bundle.model.form == QUANTIZABLE_FROM:
        _check_ports(bundle, to, has_integer_ports=has_integer_ports)
        yield bundle
        return
    with tempfile.TemporaryDirectory() as folder:
        exported = export_bundle(bundle, QUANTIZABLE_FROM, Path(folder) / "float", options=options)
        _check_ports(exported, to, has_integer_ports=has_integer_ports)
        yield exported


def _check_options(bundle: Bundle, to: Form, options: GraphOptions) -> None:
    given, int8 = {*graph_departures(options)}, FORMS[to].int8
    check_taken(f"int8 in the form {to}", given, int8.options if int8 else frozenset())
    if given and bundle.model.form != WEIGHTS:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise UsageError(
            f"{bundle.path} holds a graph, which stays as it is; {names} are for weights: quantize those, or export "
            "them with these options first"
        )
    if options.opset < OLDEST_INT8_OPSET:
        raise UsageError(
            f"int8 with a scale for each channel needs the opset {OLDEST_INT8_OPSET} or later, not {options.opset}"
        )


def _check_ports(bundle: Bundle, to: Form, *, has_integer_ports: bool) -> None:
    graph, int8 = bundle.graph, FORMS[to].int8
    if has_integer_ports and not (int8 and int8.integer_ports):
        takers = [form for form, facts in FORMS.items() if facts.int8 and facts.int8.integer_ports]
        raise UsageError(f"{to} has no --integer-ports; it is for {', '.join(takers)}")
    if has_integer_ports and (graph.output_values != "logits" or len(graph.outputs) > 1):
        raise UsageError(
            "--integer-ports gives out the logits as integers; it goes with no --probabilities, --top-k or --class-maps"
        )


def _opset(bundle: Bundle) -> int:
    """Version of the standard operators in an ONNX graph."""
    model = require("onnx", "quantize").load_from_string(bundle.content())
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
