"""Inputs and outputs of a graph file that is no bundle, as its own runtime tells them."""

from collections.abc import Collection, Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from xception.backends.openvino_core import openvino_core
from xception.backends.trial import try_litert
from xception.bundle import Bundle
from xception.errors import InputError, MissingExtra
from xception.extras import require
from xception.forms import FORMS, Form, describable
from xception.inputs import MODEL_LIMIT, read_bytes


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
    except InputError:
        raise
    # The runtimes raise types of their own, which share no base class but this one.
    except Exception as error:
        raise InputError(f"{path} is no graph that its runtime takes: {error}") from error
    return GraphFacts(format=form, inputs=inputs, outputs=outputs)


Ports = tuple[tuple[Port, ...], tuple[Port, ...]]


def onnx_ports(path: Path) -> Ports:
    """Inputs and outputs as ONNX Runtime names them."""
    onnxruntime = require("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnx_session_ports(
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    )


def onnx_session_ports(session: Any) -> Ports:
    """Inputs and outputs of an `InferenceSession`."""

    def ports(arguments: Iterable[Any]) -> tuple[Port, ...]:
        return tuple(Port(name=port.name, dtype=port.type, shape=tuple(port.shape)) for port in arguments)

    return ports(session.get_inputs()), ports(session.get_outputs())


def openvino_ports(path: Path) -> Ports:
    """Inputs and outputs as OpenVINO names them."""
    return openvino_model_ports(openvino_core().read_model(path))


def openvino_model_ports(model: Any, preferred: Collection[str] = ()) -> Ports:
    """Inputs and outputs of a model that was read or compiled; of several names of one, a preferred one."""

    def ports(nodes: Iterable[Any], kind: str) -> tuple[Port, ...]:
        return tuple(
            Port(
                name=port_name(node, index, kind, preferred),
                dtype=node.get_element_type().get_type_name(),
                shape=_openvino_sizes(node.get_partial_shape()),
            )
            for index, node in enumerate(nodes)
        )

    return ports(model.inputs, "input"), ports(model.outputs, "output")


def _openvino_sizes(shape: Any) -> tuple[int | None, ...]:
    """The sizes of a shape; none where not even the number of axes is known."""
    if shape.rank.is_dynamic:
        return ()
    return tuple(None if size.is_dynamic else size.get_length() for size in shape)


def port_name(port: Any, index: int, kind: str, preferred: Collection[str] = ()) -> str:
    """Name of an OpenVINO port, of several a preferred one; it has none in files made of torch modules."""
    names = {*port.get_names(), nameless(index, kind)}
    usual = str(port.get_any_name()) if port.get_names() else nameless(index, kind)
    return min(names & set(preferred), default=usual)


def nameless(index: int, kind: str) -> str:
    """Name that stands for a port without one."""
    return f"{kind}_{index}"


def litert_ports(path: Path) -> Ports:
    """Inputs and outputs as LiteRT names them.

    Raises:
        InputError: LiteRT crashes on the file.
        OSError: it cannot be read.
    """
    litert, content = require("ai_edge_litert.interpreter", "litert"), read_bytes(path, MODEL_LIMIT)
    try_litert(content, path)
    return litert_interpreter_ports(litert.Interpreter(model_content=content))


def litert_interpreter_ports(interpreter: Any) -> Ports:
    """Inputs and outputs of an `Interpreter`."""

    def ports(details: Iterable[dict[str, Any]]) -> tuple[Port, ...]:
        return tuple(
            Port(
                name=port["name"],
                dtype=port["dtype"].__name__ + " on a grid" * _has_grid(*port["quantization"]),
                shape=tuple(None if size < 0 else size for size in port["shape_signature"].tolist()),
            )
            for port in details
        )

    return ports(interpreter.get_input_details()), ports(interpreter.get_output_details())


def _has_grid(scale: float, zero: int) -> bool:
    """Tell whether integers stand for real numbers by a scale."""
    return scale != 0 and (scale, zero) != (1, 0)


BYTES = ("uint8", "uint8)", "u8")
"""The type of 8-bit images in the runtimes' words."""


def check_ports(bundle: Bundle, ports: Ports) -> None:
    """Refuse a graph that is not the one which the bundle's `model.json` describes.

    Raises:
        InputError: names, shapes or types differ; the sentence has both sides.
    """
    graph, (inputs, outputs) = bundle.graph, ports
    if [port.name for port in inputs] != [graph.input_name]:
        raise _unlike(bundle, f"the inputs {_names(inputs)}", f"one called {graph.input_name}")
    batch, channels, height, width = graph.input_shape
    stated = (batch, channels, height, width) if graph.input_layout == "nchw" else (batch, height, width, channels)
    (given,) = inputs
    if (graph.input_values == "image") != given.dtype.endswith(BYTES):
        raise _unlike(bundle, f"an input of the type {given.dtype}", f"one of {graph.input_values}")
    if not _may_be(_sizes(given), stated):
        raise _unlike(bundle, f"an input of the shape {_sizes(given)}", f"{stated}")
    by_name = {port.name: port for port in outputs}
    if missing := [name for name in graph.outputs if name not in by_name]:
        raise _unlike(bundle, f"the outputs {_names(outputs)}", f"one called {missing[0]}")
    # A bundle in memory is made of the file, and may not know yet how many answers that gives.
    made, expected = _sizes(by_name[graph.output_name]), bundle.model.network.num_outputs
    if bundle.is_stored and answers_per_image(made, batch) not in (None, expected):
        raise _unlike(bundle, f"the output {graph.output_name} of the shape {made}", f"(N, {expected})")


def answers_per_image(shape: Sequence[int | None], batch_size: int | None) -> int | None:
    """The number of answers to an image by the shape of an output, which may lack the axis of the images, or keep axes
    of one position; None where the shape leaves it open."""
    if not shape or None in shape[1:] or (batch_size is None and len(shape) == 1):
        return None
    rest = prod(size or 1 for size in shape[1:])
    if batch_size is None or shape[0] is None:
        return rest if len(shape) > 1 else None
    numbers = shape[0] * rest
    return numbers // batch_size if numbers % batch_size == 0 else rest


def _may_be(found: tuple[int | None, ...], stated: tuple[int | None, ...]) -> bool:
    """Tell whether a file's sizes are those that are stated; what a file leaves open may be stated."""
    return not found or (
        len(found) == len(stated) and all(size in (None, said) for size, said in zip(found, stated, strict=True))
    )


def _unlike(bundle: Bundle, found: str, stated: str) -> InputError:
    return InputError(
        f"{bundle.main_file} has {found}, and the bundle's model.json states {stated}; get the bundle again"
    )


def _names(ports: Iterable[Port]) -> str:
    return ", ".join(port.name for port in ports) or "none"


def _sizes(port: Port) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in port.shape)
