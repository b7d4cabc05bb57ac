"""What a graph file that is no bundle takes and gives, as its own runtime tells."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from xception.errors import InputError, MissingExtra
from xception.extras import require


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output. A free size is None, or the name that the file gives it."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


class GraphFacts(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="graph"):
    """The document of `xception info GRAPH --json`; `inputs` and `outputs` are None where the runtime is missing."""

    format: Literal["onnx", "openvino", "litert"]
    inputs: tuple[Port, ...] | None
    outputs: tuple[Port, ...] | None


def describe_graph(path: Path) -> GraphFacts:
    """Inputs and outputs of an `.onnx` file, of an OpenVINO `.xml` or of a LiteRT `.tflite`.

    Raises:
        InputError: the runtime refuses the file.
    """
    form, ports = READERS[path.suffix.lower()]
    try:
        inputs, outputs = ports(path)
    except MissingExtra:
        return GraphFacts(format=form, inputs=None, outputs=None)
    # The runtimes raise types of their own, which share no base class but this one.
    except Exception as error:
        raise InputError(f"{path} is no graph that its runtime takes: {error}") from error
    return GraphFacts(format=form, inputs=inputs, outputs=outputs)


Ports = tuple[tuple[Port, ...], tuple[Port, ...]]


def _onnx(path: Path) -> Ports:
    onnxruntime = require("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def ports(arguments: Iterable[Any]) -> tuple[Port, ...]:
        return tuple(Port(name=port.name, dtype=port.type, shape=tuple(port.shape)) for port in arguments)

    return ports(session.get_inputs()), ports(session.get_outputs())


def _openvino(path: Path) -> Ports:
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


def _litert(path: Path) -> Ports:
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


READERS: Mapping[str, tuple[Literal["onnx", "openvino", "litert"], Callable[[Path], Ports]]] = {
    ".onnx": ("onnx", _onnx),
    ".xml": ("openvino", _openvino),
    ".tflite": ("litert", _litert),
}
"""Form and reader, by the end of the file's name, since the formats have no signature."""
