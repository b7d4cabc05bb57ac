"""An int8 graph in the form that Ascend's AMCT adapts to its chips, and the place of the grids that it leaves out.

By the guide "QAT Model Adaptation to CANN Format", `amct_onnx convert` reads pairs of QuantizeLinear and
DequantizeLinear in front of layers, on their input and their weights: per channel for convolutions, with one scale for
dense layers. It puts integer layers in their place, and rounds between two layers once. So grids elsewhere are taken
out here, where the values then stay as they were before rounding; so are those of a layer with weights that it does
not adapt. Grids are signed, and biases in float, since the tool rounds them itself.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.extras import require

ADAPTED_TYPES = ("Conv", "Gemm", "MatMul")

Constants = dict[str, NDArray[Any]]


def adaptable(model: Any) -> Any:
    """A copy of an int8 graph in QDQ form that AMCT converts.

    Args:
        model: an `onnx.ModelProto`, as `xception quantize` writes it.
    """
    onnx = require("onnx", "onnx")
    made = onnx.ModelProto()
    made.CopyFrom(model)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    layers = {node.output[0] for node in made.graph.node if _is_adapted(node, _makers(made), constants)}
    _keep_rectifiers(made, constants)
    _sign_grids(made, constants)
    _bypass_grids(made, constants, layers)
    _spell_out_constants(made, constants, layers)
    _replace_initializers(made, constants)
    # Inferred again where they are needed.
    del made.graph.value_info[:]
    return made


def _is_adapted(node: Any, makers: dict[str, Any], constants: Constants) -> bool:
    """Tell whether AMCT makes an integer layer of a node."""
    if node.op_type not in ADAPTED_TYPES or not all(_is_on_grid(name, makers) for name in node.input[:2]):
        return False
    weights = makers[node.input[1]]
    is_constant = weights.input[0] in constants
    return is_constant and (node.op_type == "Conv" or constants[weights.input[1]].size == 1)


def _is_on_grid(name: str, makers: dict[str, Any]) -> bool:
    return name in makers and makers[name].op_type == "DequantizeLinear"


def _makers(model: Any) -> dict[str, Any]:
    return {output: node for node in model.graph.node for output in node.output}


def _quantizers(model: Any, constants: Constants) -> Iterator[Any]:
    """The nodes that put activations on a grid."""
    return (node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in constants)


def _keep_rectifiers(model: Any, constants: Constants) -> None:
    """Write a ReLU wherever a grid that starts at zero stands for it, so that it stays where the grid goes."""
    helper, makers = require("onnx", "onnx").helper, _makers(model)
    for node in list(_quantizers(model, constants)):
        zero, source = constants[node.input[2]], node.input[0]
        starts_at_zero = zero == np.iinfo(zero.dtype).min
        if starts_at_zero and source in makers and makers[source].op_type in (*ADAPTED_TYPES, "Add"):
            name = f"{source}_rectified"
            node.input[0] = name
            place = list(model.graph.node).index(node)
            model.graph.node.insert(place, helper.make_node("Relu", [source], [name], name=name))


def _sign_grids(model: Any, constants: Constants) -> None:
    """Move unsigned integers down by 128, which changes no value that they stand for."""
    for name in {node.input[2] for node in _quantizers(model, constants)}:
        if constants[name].dtype == np.uint8:
            constants[name] = (constants[name].astype(np.int16) - 128).astype(np.int8)


def _bypass_grids(model: Any, constants: Constants, layers: set[str]) -> None:
    """Let all but the adapted layers read what was rounded before it was."""
    makers = _makers(model)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if not _is_on_grid(name, makers) or makers[name].input[0] in constants:
                continue
            if not (index == 0 and node.output[0] in layers):
                node.input[index] = makers[makers[name].input[0]].input[0]
    read = {name for node in model.graph.node for name in node.input} | {port.name for port in model.graph.output}
    for kind in ("DequantizeLinear", "QuantizeLinear"):
        for node in [node for node in model.graph.node if node.op_type == kind and node.output[0] not in read]:
            model.graph.node.remove(node)
        read = {name for node in model.graph.node for name in node.input}


def _spell_out_constants(model: Any, constants: Constants, layers: set[str]) -> None:
    """Write weights as floats, in front of their grids where a layer is adapted, and everything else without."""
    helper = require("onnx", "onnx").helper
    readers: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            readers[name].append((node.output[0], index))
    for node in [node for node in model.graph.node if node.op_type == "DequantizeLinear"]:
        source = node.input[0]
        if source not in constants:
            continue
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        values = _values(constants, node, axis)
        place = list(model.graph.node).index(node)
        if any(reader in layers and index == 1 for reader, index in readers[node.output[0]]):
            constants[f"{source}_float"] = values
            integers = f"{source}_QuantizeLinear_Output"
            ports = [f"{source}_float", *node.input[1:]]
            quantizer = helper.make_node("QuantizeLinear", ports, [integers], name=integers, axis=axis)
            node.input[0] = integers
            model.graph.node.insert(place, quantizer)
        else:
            constants[node.output[0]] = values
            model.graph.node.remove(node)


def _values(constants: Constants, node: Any, axis: int) -> NDArray[np.float32]:
    """The floats that a constant's integers stand for."""
    integers, scale = constants[node.input[0]], constants[node.input[1]]
    zero = constants[node.input[2]] if len(node.input) > 2 else np.zeros((), np.int8)
    shape = [1] * integers.ndim
    if scale.size > 1:
        shape[axis] = scale.size
    offset = integers.astype(np.int64) - zero.astype(np.int64).reshape(shape if zero.size > 1 else ())
    return np.asarray(offset * scale.reshape(shape if scale.size > 1 else ()), np.float32)


def _replace_initializers(model: Any, constants: Constants) -> None:
    """Write the constants that are read."""
    from_array = require("onnx", "onnx").numpy_helper.from_array
    read = {name for node in model.graph.node for name in node.input}
    del model.graph.initializer[:]
    model.graph.initializer.extend(from_array(values, name) for name, values in constants.items() if name in read)
