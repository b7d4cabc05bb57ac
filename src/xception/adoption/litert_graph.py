"""Inspection of a LiteRT (TensorFlow Lite) file without an interpreter."""

from collections import Counter
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.adoption.outline import (
    GraphOperation,
    GraphOutline,
    GraphPort,
    check_operations,
    check_size,
    main_precision,
    refuse,
)
from xception.extras import require
from xception.flatbuffer import IDENTIFIER, SCHEMA_VERSION
from xception.inputs import MODEL_LIMIT, read_bytes

LITERT_CONTROL_FLOW = frozenset({"CALL", "CALL_ONCE", "IF", "WHILE"})

RUNTIME_VERSION = "min_runtime_version"
"""Entry of the file that names the oldest runtime for it."""


def read_litert(path: Path) -> GraphOutline:
    """The outline of a LiteRT file.

    Raises:
        InputError: it is damaged, or has something that is not adopted; the sentence says what.
        MissingExtra: ai-edge-litert is not installed.
    """
    schema = require("ai_edge_litert.schema_py_generated", "litert")
    model = _parsed(schema, path)
    if model.version != SCHEMA_VERSION or len(model.subgraphs or ()) != 1:
        found = f"schema {model.version} and {len(model.subgraphs or ())} graphs"
        raise refuse(path, f"it has {found}", f"expected schema {SCHEMA_VERSION} and one graph")
    try:
        return _outline(schema, path, model)
    # Offsets and indices of a damaged file point anywhere.
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise refuse(path, f"it is damaged ({error})", "fetch or export it again") from error


def _parsed(schema: Any, path: Path) -> Any:
    content = read_bytes(path, MODEL_LIMIT)
    if content[4:8] != IDENTIFIER:
        raise refuse(path, "it lacks the mark of a LiteRT file", "fetch or export it again")
    try:
        return schema.ModelT.InitFromPackedBuf(content, 0)
    except Exception as error:  # the reader of flatbuffers checks nothing, and fails as it happens
        raise refuse(path, f"it is no whole LiteRT file ({error})", "fetch or export it again") from error


def _outline(schema: Any, path: Path, model: Any) -> GraphOutline:
    graph, codes = model.subgraphs[0], _kinds(schema, model, path)
    values = [_value(index, tensor) for index, tensor in enumerate(graph.tensors)]
    types = {getattr(schema.TensorType, name): name.lower() for name in dir(schema.TensorType) if name.isupper()}
    operations = tuple(_operation(row, codes, values) for row in graph.operators)
    check_operations(path, Counter(row.kind for row in operations), LITERT_CONTROL_FLOW)
    stored = {
        index: data for index, tensor in enumerate(graph.tensors) if (data := _content(model, tensor)) is not None
    }
    for index, tensor in enumerate(graph.tensors):
        check_size(path, values[index], _shape(tensor))
    numbers: Counter[np.dtype[Any]] = Counter()
    for index in stored:
        numbers[_numpy(types, graph.tensors[index])] += prod(_fixed(graph.tensors[index]))
    return GraphOutline(
        path=path,
        form="litert",
        producer=_producer(model),
        opset=f"schema {model.version}",
        inputs=tuple(_port(types, graph.tensors[index], values[index]) for index in graph.inputs),
        outputs=tuple(_port(types, graph.tensors[index], values[index]) for index in graph.outputs),
        operations=operations,
        constants={
            values[index]: partial(_array, data, _numpy(types, graph.tensors[index]), _shape(graph.tensors[index]))
            for index, data in stored.items()
        },
        shapes={values[index]: _fixed(graph.tensors[index]) for index in stored},
        precision=main_precision(numbers, is_quantized=_is_quantized(schema, graph, operations, values)),
        files={"model.tflite": path},
    )


def _kinds(schema: Any, model: Any, path: Path) -> list[str]:
    """The name of each operator code; operations of others are refused."""
    names = {
        getattr(schema.BuiltinOperator, name): name for name in dir(schema.BuiltinOperator) if not name.startswith("_")
    }
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes or ()]
    custom = [row.customCode for row, code in zip(model.operatorCodes or (), codes, strict=True) if code == 32]
    if custom:
        shown = ", ".join((name or b"").decode(errors="replace") for name in custom[:3])
        raise refuse(
            path,
            f"its operations {shown} are none of LiteRT: what they do is code in some library",
            "convert the network with nothing but built-in operations",
        )
    return [names[code] for code in codes]


def _operation(row: Any, codes: list[str], values: list[str]) -> GraphOperation:
    inputs, outputs = (row.inputs if row.inputs is not None else ()), (row.outputs if row.outputs is not None else ())
    return GraphOperation(
        kind=codes[row.opcodeIndex],
        inputs=tuple(values[index] for index in inputs if index >= 0),
        outputs=tuple(values[index] for index in outputs),
        settings=vars(row.builtinOptions) if row.builtinOptions else {},
    )


def _value(index: int, tensor: Any) -> str:
    """A name for a tensor: those in the file need not differ."""
    return f"{(tensor.name or b'').decode(errors='replace')}#{index}"


def _port(types: dict[int, str], tensor: Any, value: str) -> GraphPort:
    grid = tensor.quantization
    return GraphPort(
        name=(tensor.name or b"").decode(errors="replace"),
        value=value,
        dtype=types[tensor.type],
        shape=_shape(tensor),
        is_quantized=grid is not None and grid.scale is not None and len(grid.scale) > 0,
    )


def _shape(tensor: Any) -> tuple[int | None, ...]:
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return tuple(None if size < 0 else int(size) for size in (signature if signature is not None else ()))


def _fixed(tensor: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))


def _content(model: Any, tensor: Any) -> NDArray[np.uint8] | None:
    """The bytes of a constant; None for a value that is computed."""
    data = model.buffers[tensor.buffer].data
    return None if data is None or not len(data) else np.asarray(data, np.uint8)


def _numpy(types: dict[int, str], tensor: Any) -> np.dtype[Any]:
    try:
        return np.dtype(types[tensor.type])
    except TypeError:  # texts, and integers of four bits
        return np.dtype(np.void)


def _array(data: NDArray[np.uint8], dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> NDArray[Any]:
    return data.view(dtype).reshape([size or 0 for size in shape])


def _is_quantized(schema: Any, graph: Any, operations: tuple[GraphOperation, ...], values: list[str]) -> bool:
    """Tell whether layers compute on integers, or on real numbers of integer weights."""
    layers = {name for row in operations if row.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") for name in row.inputs}
    return any(
        tensor.type in (schema.TensorType.INT8, schema.TensorType.UINT8) and name in layers
        for tensor, name in zip(graph.tensors, values, strict=True)
    )


def _producer(model: Any) -> str:
    entries = {(row.name or b"").decode(errors="replace"): row.buffer for row in model.metadata or ()}
    told = (model.description or b"").decode(errors="replace").strip(" .")
    oldest = model.buffers[entries[RUNTIME_VERSION]].data if RUNTIME_VERSION in entries else None
    version = bytes(() if oldest is None else oldest).partition(b"\0")[0].decode(errors="replace")
    return (told or "an unnamed program") + f", for TensorFlow Lite {version} and later" * bool(version)
