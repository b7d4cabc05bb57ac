"""Inspection of an ONNX file without a runtime."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xception.adoption.external_data import with_data_inside
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
from xception.inputs import Limit, read_bytes

ONNX_LIMIT = Limit(2**31 - 1, "an ONNX file, whose weights may lie next to it")
"""The size that a protocol buffer can have."""

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Sets of operations that ONNX Runtime brings along."""

ONNX_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})

FREE_SIZE = "any"
"""Name of a size that the file leaves open without naming it."""

QUANTIZED = ("QuantizeLinear", "QLinearConv", "ConvInteger", "DynamicQuantizeLinear")


def read_onnx(path: Path) -> GraphOutline:
    """The outline of an ONNX file, with its weights taken inside where they lie next to it.

    Raises:
        InputError: it is damaged, or has something that is not adopted; the sentence says what.
        MissingExtra: onnx is not installed.
    """
    onnx = require("onnx", "onnx")
    model = _parsed(onnx, path)
    notes = []
    if external := with_data_inside(onnx, model, path):
        notes.append(f"the weights next to it ({', '.join(external)}) were taken into the file")
    if model.functions:
        notes.append(f"its {len(model.functions)} functions were replaced by the operations that they stand for")
        model = require("onnx.inliner", "onnx").inline_local_functions(model)
    if _with_free_sizes(model):
        notes.append("sizes below 1, by which its exporter means any, were made free ones")
    opset = _checked(onnx, model, path)
    constants = {tensor.name: tensor for tensor in (*model.graph.initializer, *_constant_nodes(model))}
    content = bytes(model.SerializeToString(deterministic=True)) if notes else path
    kinds = Counter(node.op_type for node in model.graph.node)
    return GraphOutline(
        path=path,
        form="onnx",
        producer=" ".join(filter(None, (model.producer_name, model.producer_version))) or "an unnamed program",
        opset=f"opset {opset}",
        inputs=tuple(_port(onnx, row) for row in model.graph.input if row.name not in constants),
        outputs=tuple(_port(onnx, row) for row in model.graph.output),
        operations=tuple(_operation(onnx, node) for node in model.graph.node),
        constants={name: partial(onnx.numpy_helper.to_array, tensor) for name, tensor in constants.items()},
        shapes={name: tuple(tensor.dims) for name, tensor in constants.items()},
        precision=main_precision(_types(onnx, constants.values()), is_quantized=any(kinds[kind] for kind in QUANTIZED)),
        files={"model.onnx": content},
        notes=tuple(notes),
    )


def _parsed(onnx: Any, path: Path) -> Any:
    content = read_bytes(path, ONNX_LIMIT)
    try:
        return onnx.load_from_string(content)
    # The parser of protocol buffers is a package of its own, which is no dependency here.
    except Exception as error:
        raise refuse(path, f"it is no whole ONNX file ({error})", "fetch or export it again") from error


def _with_free_sizes(model: Any) -> bool:
    """Make sizes of inputs and outputs that are below 1 free ones, and tell if there were any."""
    axes = [axis for row in (*model.graph.input, *model.graph.output) for axis in row.type.tensor_type.shape.dim]
    found = [axis for axis in axes if axis.HasField("dim_value") and axis.dim_value < 1]
    for axis in found:
        axis.dim_param = FREE_SIZE
    return bool(found)


def _checked(onnx: Any, model: Any, path: Path) -> int:
    """The version of the operations, after the graph was found to be one that a runtime may be given."""
    kinds = Counter(node.op_type for node in model.graph.node)
    check_operations(path, kinds, ONNX_CONTROL_FLOW)
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in DOMAINS})
    if foreign:
        raise refuse(
            path,
            f"its operations {', '.join(foreign[:3])} are none of ONNX: what they do is code in some library",
            "export the network in operations of ONNX",
        )
    if nested := [node.op_type for node in model.graph.node if any(row.HasField("g") for row in node.attribute)]:
        raise refuse(path, f"its operation {nested[0]} holds a graph", "export the network as one graph")
    opset = next((row.version for row in model.opset_import if row.domain in ("", "ai.onnx")), 0)
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        what = f"states opset {opset}" if opset else "does not state its opset"
        raise refuse(path, f"it {what}", f"onnx {onnx.__version__} knows 1 to {newest}: install a newer one")
    try:
        onnx.checker.check_model(model)
        shaped = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise refuse(path, f"onnx's checker finds it wrong ({first})", "export it again") from error
    for row in (*shaped.graph.value_info, *shaped.graph.input, *shaped.graph.output):
        check_size(path, row.name, _shape(row) or ())
    for tensor in model.graph.initializer:
        check_size(path, tensor.name, tuple(tensor.dims))
    return int(opset)


def _constant_nodes(model: Any) -> Iterator[Any]:
    """The tensors of constants that are written as operations, named after their results."""
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            tensor = node.attribute[0].t
            tensor.name = tensor.name or node.output[0]
            named = type(tensor)()
            named.CopyFrom(tensor)
            named.name = node.output[0]
            yield named


def _port(onnx: Any, row: Any) -> GraphPort:
    kind = row.type.tensor_type.elem_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind).name if kind else "no tensor"
    return GraphPort(name=row.name, value=row.name, dtype=dtype, shape=_shape(row))


def _shape(row: Any) -> tuple[int | None, ...] | None:
    if not row.type.tensor_type.HasField("shape"):
        return None
    return tuple(axis.dim_value or None for axis in row.type.tensor_type.shape.dim)


def _operation(onnx: Any, node: Any) -> GraphOperation:
    settings = {row.name: onnx.helper.get_attribute_value(row) for row in node.attribute if not row.HasField("t")}
    return GraphOperation(kind=node.op_type, inputs=tuple(node.input), outputs=tuple(node.output), settings=settings)


def _types(onnx: Any, tensors: Any) -> dict[np.dtype[Any], int]:
    counts: Counter[np.dtype[Any]] = Counter()
    for tensor in tensors:
        counts[np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))] += int(np.prod(tensor.dims))
    return counts
