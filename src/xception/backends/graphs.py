"""Inputs and outputs of a graph file that is no bundle, as its own runtime tells them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from xception.errors import InputError, MissingExtra
from xception.extras import require
from xception.forms import FORMS, Form, describable


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output. A free size is None, or the name that the file gives it."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


class GraphFacts(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="graph"):
    """The document of `xception info GRAPH --json`; `inputs` and `outputs` are None where the runtime is missing."""

    format: Form
    inputs: tuple[Port, ...] | None
    outputs: tuple[Port, ...] | None


def describe_graph(path: Path) -> GraphFacts:
    """Inputs and outputs of a graph file, whose form is told by the end of its name: the formats have no signature.

    Raises:
        InputError: the runtime refuses the file.
    """
    form = describable()[path.suffix.lower()]
    read_ports = FORMS[form].ports
    try:
        inputs, outputs = FORMS[form].function(read_ports)(path) if read_ports else ((), ())
    except MissingExtra:
        return GraphFacts(format=form, inputs=None, outputs=None)
    # The runtimes raise types of their own, which share no base class but this one.
    except Exception as error:
        raise InputError(f"{path} is no graph that its runtime takes: {error}") from error
    return GraphFacts(format=form, inputs=inputs, outputs=outputs)


Ports = tuple[tuple[Port, ...], tuple[Port, ...]]


def onnx_ports(path: Path) -> Ports:
    """Inputs and outputs as ONNX Runtime names them."""
    onnxruntime = require("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def ports(arguments: Iterable[Any]) -> tuple[Port, ...]:
        return tuple(Port(name=port.name, dtype=port.type, shape=tuple(port.shape)) for port in arguments)

    return ports(session.get_inputs()), ports(session.get_outputs())


def openvino_ports(path: Path) -> Ports:
    """Inputs and outputs as OpenVINO names them."""
    model = require("openvino", "openvino").Core().read_model(path)

    def ports(nodes: Iterable[Any]) -> tuple[Port, ...]:
        return tuple(
            Port(
                name=node.get_any_name(),
                dtype=node.get_element_type().get_type_name(),
                shape=tuple(None if size.is_dynamic else size.get_length() for size in node.get_partial_shape()),
            )
            for node in nodes
        )

    return ports(model.inputs), ports(model.outputs)


def litert_ports(path: Path) -> Ports:
    """Inputs and outputs as LiteRT names them."""
    interpreter = require("ai_edge_litert.interpreter", "litert").Interpreter(str(path))

    def ports(details: Iterable[dict[str, Any]]) -> tuple[Port, ...]:
        return tuple(
            Port(
                name=port["name"],
                dtype=port["dtype"].__name__,
                shape=tuple(None if size < 0 else size for size in port["shape_signature"].tolist()),
            )
            for port in details
        )

    return ports(interpreter.get_input_details()), ports(interpreter.get_output_details())
