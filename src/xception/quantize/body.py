"""The part of a graph that is quantized: from its first layer to the one that makes the logits.

What prepares the image before it and what rearranges logits behind it stays in float: eight bits would only round
there. So do the layers of additional outputs, such as class maps.
"""

from collections.abc import Iterator
from typing import Any

from xception.errors import InputError
from xception.extras import require

LAYER_TYPES = ("Conv", "Gemm", "MatMul")
"""Operations with weights."""

DENSE_TYPES = ("Gemm", "MatMul")

BEHIND_LOGITS = ("Identity", "Sigmoid", "Softmax")
"""Operations between the logits and a main output that is made of them."""


def with_names(model: Any) -> Any:
    """A copy in which every node has a name and every constant is an initializer of its own, as ONNX Runtime's
    quantizer wants; torch's exporter lets names of equal constants stand for one of them."""
    onnx = require("onnx", "quantize")
    named = onnx.ModelProto()
    named.CopyFrom(model)
    constants = [node for node in named.graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:
        node.attribute[0].t.name = node.output[0]
        named.graph.initializer.append(node.attribute[0].t)
        named.graph.node.remove(node)
    _copy_aliases(named)
    for index, node in enumerate(named.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return named


def _copy_aliases(model: Any) -> None:
    """Put a constant of its own in the place of every identity of a constant."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type != "Identity" or node.input[0] not in constants:
            continue
        copied = model.graph.initializer.add()
        copied.CopyFrom(constants[node.input[0]])
        copied.name = node.output[0]
        constants[copied.name] = copied
        model.graph.node.remove(node)


def logits_name(model: Any) -> str:
    """Name of the value that holds the logits, of which the graph's first output may be made."""
    makers, name = _makers(model), str(model.graph.output[0].name)
    while name in makers and makers[name].op_type in BEHIND_LOGITS:
        name = makers[name].input[0]
    return name


def result_layer(model: Any) -> Any:
    """The last layer before the logits.

    Raises:
        InputError: there is none.
    """
    found = next((node for node in _backwards(model, logits_name(model)) if node.op_type in LAYER_TYPES), None)
    if found is None:
        raise InputError("the graph has no convolution and no dense layer, so there is nothing to quantize")
    return found


def body(model: Any, *, with_logits: bool = False) -> tuple[str, ...]:
    """Names of the nodes to quantize, in the order of the graph; `with_logits` adds those between the last layer and
    the logits, such as a mean."""
    end = logits_name(model) if with_logits else result_layer(model).output[0]
    inside = {node.output[0] for node in _backwards(model, end)}
    behind_a_layer: set[str] = set()
    for node in model.graph.node:
        if node.op_type in LAYER_TYPES or behind_a_layer.intersection(node.input):
            behind_a_layer.update(node.output)
    return tuple(node.name for node in model.graph.node if node.output[0] in inside & behind_a_layer)


def activations(model: Any) -> tuple[str, ...]:
    """Names of the values that the body and its way to the logits read and write, without constants."""
    names = {*body(model, with_logits=True)}
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.name in names]
    found = dict.fromkeys(name for node in nodes for name in (*node.input, *node.output))
    return tuple(name for name in found if name and name not in constants)


def _makers(model: Any) -> dict[str, Any]:
    return {output: node for node in model.graph.node for output in node.output}


def _backwards(model: Any, name: str) -> Iterator[Any]:
    """The nodes that a value is made of, the nearest first."""
    makers, waiting, seen = _makers(model), [name], {name}
    while waiting:
        node = makers.get(waiting.pop(0))
        if node is not None:
            yield node
            fresh = [name for name in node.input if name not in seen]
            seen.update(fresh)
            waiting += fresh
