"""Validity of graph files by the rules of their own formats, which a runtime that forgives does not show."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from xception.backends.openvino_core import openvino_core
from xception.backends.trial import mark_as_tried
from xception.errors import CheckFailed
from xception.extras import require
from xception.forms import FORMS, Form


def check_files(form: Form, files: Mapping[str, bytes]) -> None:
    """Refuse the files of a form, by name, that break the rules of its format; some formats have no such rules.

    Raises:
        CheckFailed: saying which rule.
        MissingExtra: the package that knows them is not installed.
    """
    facts = FORMS[form]
    if facts.validator is None:
        return
    check: Callable[[Mapping[str, bytes]], None] = facts.function(facts.validator)
    try:
        check(files)
    # Each format's validator raises types of its own, which share no base class but this one.
    except Exception as error:
        raise CheckFailed(
            f"{facts.files[0]} is no valid {facts.title} file, though it was just made: {error}; report this with the "
            "versions in use"
        ) from error


def check_onnx(files: Mapping[str, bytes]) -> None:
    """ONNX's own checker, among others of the order of the nodes, and inference of every shape."""
    onnx = require("onnx", "onnx")
    model = onnx.load_from_string(files["model.onnx"])
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


def check_openvino(files: Mapping[str, bytes]) -> None:
    """OpenVINO's reader, and inference of every type and shape."""
    model = openvino_core().read_model(files["model.xml"], files["model.bin"])
    model.validate_nodes_and_infer_types()


def check_litert(files: Mapping[str, bytes]) -> None:
    """The order of the operations, the sizes of constants and their grids, and what LiteRT's reference kernels say of
    the shapes."""
    litert, content = require("ai_edge_litert.interpreter", "litert"), files["model.tflite"]
    faults = [*_litert_faults(content)]
    if faults:
        raise ValueError("; ".join(faults))
    reference = litert.OpResolverType.BUILTIN_REF
    litert.Interpreter(model_content=content, experimental_op_resolver_type=reference).allocate_tensors()
    mark_as_tried(content)


def _litert_faults(content: bytes) -> Iterator[str]:
    schema = require("ai_edge_litert.schema_py_generated", "litert")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    for graph in model.subgraphs:
        tensors = graph.tensors
        known = {*graph.inputs, *(index for index, tensor in enumerate(tensors) if _size(model, tensor))}
        for operator in graph.operators:
            early = [tensors[index].name.decode() for index in operator.inputs if index >= 0 and index not in known]
            if early:
                yield f"an operation reads {early[0]} before it is computed"
            known |= set(operator.outputs)
        yield from (f"the output {tensors[index].name.decode()} is not computed" for index in {*graph.outputs} - known)
        for tensor in tensors:
            yield from _tensor_faults(schema, model, tensor)


def _size(model: Any, tensor: Any) -> int:
    """Bytes of a tensor's content; none of one that is computed."""
    data = model.buffers[tensor.buffer].data
    return 0 if data is None else len(data)


def _tensor_faults(schema: Any, model: Any, tensor: Any) -> Iterator[str]:
    name, size, grid = tensor.name.decode(), _size(model, tensor), tensor.quantization
    types = {getattr(schema.TensorType, kind.upper()): np.dtype(kind) for kind in ("float32", "float16", "int32")}
    types |= {schema.TensorType.INT8: np.dtype("int8"), schema.TensorType.UINT8: np.dtype("uint8")}
    expected = int(np.prod(tensor.shape)) * types[tensor.type].itemsize
    if size not in (0, expected):
        yield f"{name} has {size} bytes, expected {expected}"
    if grid is not None and grid.scale is not None:
        if len(grid.scale) not in (1, tensor.shape[grid.quantizedDimension]) or len(grid.zeroPoint) != len(grid.scale):
            yield f"{name} has {len(grid.scale)} scales, expected one or one for each channel"
        bounds = np.iinfo(types[tensor.type])
        if not all(bounds.min <= zero <= bounds.max for zero in grid.zeroPoint) or not np.all(np.array(grid.scale) > 0):
            yield f"{name} has a grid beyond the numbers of {bounds.dtype}"
