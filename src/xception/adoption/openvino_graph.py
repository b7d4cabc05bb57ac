"""Inspection of an OpenVINO file without compiling it."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xception.adoption.outline import (
    GraphOperation,
    GraphOutline,
    GraphPort,
    check_operations,
    check_size,
    main_precision,
    refuse,
)
from xception.backends.graphs import port_name
from xception.backends.openvino_core import openvino_core

OPENVINO_CONTROL_FLOW = frozenset({"If", "Loop", "TensorIterator"})


def read_openvino(path: Path) -> GraphOutline:
    """The outline of an OpenVINO file, whose weights lie in the `.bin` file of its name.

    Raises:
        InputError: it is damaged, or has something that is not adopted; the sentence says what.
        MissingExtra: openvino is not installed.
    """
    core = openvino_core()
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise refuse(path, f"its weights, {weights.name}, are not there", "put that file next to it")
    try:
        model = core.read_model(path, weights)
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise refuse(path, f"OpenVINO cannot read it without extensions ({last})", "export it again") from error
    nodes = model.get_ordered_ops()
    check_operations(path, Counter(node.get_type_name() for node in nodes), OPENVINO_CONTROL_FLOW)
    constants = {_value(node.output(0)): node for node in nodes if node.get_type_name() == "Constant"}
    for node in nodes:
        for port in node.outputs():
            check_size(path, node.get_friendly_name(), _shape(port) or ())
    types: Counter[np.dtype[Any]] = Counter()
    for node in constants.values():
        types[_dtype(node.output(0))] += int(np.prod(list(node.get_output_shape(0))))
    return GraphOutline(
        path=path,
        form="openvino",
        producer=_producer(model),
        opset="IR",
        inputs=tuple(_port(port, index, "input") for index, port in enumerate(model.inputs)),
        outputs=tuple(_port(port, index, "output") for index, port in enumerate(model.outputs)),
        operations=tuple(map(_operation, nodes)),
        constants={name: partial(_array, node) for name, node in constants.items()},
        shapes={name: tuple(node.get_output_shape(0)) for name, node in constants.items()},
        precision=main_precision(types, is_quantized=any(node.get_type_name() == "FakeQuantize" for node in nodes)),
        files={"model.xml": path, "model.bin": weights},
    )


def _port(port: Any, index: int, kind: str) -> GraphPort:
    inner = port if kind == "input" else port.get_node().input_value(0)
    name, dtype = port_name(port, index, kind), _dtype(port).name
    return GraphPort(name=name, value=_value(inner), dtype=dtype, shape=_shape(port))


def _operation(node: Any) -> GraphOperation:
    return GraphOperation(
        kind=node.get_type_name(),
        inputs=tuple(_value(node.input_value(index)) for index in range(node.get_input_size())),
        outputs=tuple(map(_value, node.outputs())),
        settings=dict(node.get_attributes()),
    )


def _value(port: Any) -> str:
    """A name for a value, whose own names are several or none."""
    return f"{port.get_node().get_name()}:{port.get_index()}"


def _shape(port: Any) -> tuple[int | None, ...] | None:
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return None
    return tuple(None if size.is_dynamic else int(size.get_length()) for size in shape)


def _dtype(port: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(port.get_element_type().to_dtype())
    except RuntimeError:  # types that NumPy has not, such as bfloat16 and four bits
        dtype = np.dtype(np.void)
    return dtype


def _array(node: Any) -> np.ndarray[Any, Any]:
    return np.array(node.get_data())


def _producer(model: Any) -> str:
    version, framework = _said(model, "Runtime_version"), _said(model, "conversion_parameters", "framework")
    return f"OpenVINO{version and ' '}{version}" + f", from {framework}" * bool(framework)


def _said(model: Any, *path: str) -> str:
    """A fact that the file states about its making; nothing if it does not."""
    return str(model.get_rt_info(list(path)).value) if model.has_rt_info(list(path)) else ""
