"""A bundle's network as an ONNX graph, written node by node from its specification; torch takes no part."""

from typing import Any

import numpy as np

from xception.arch.graph import INPUT, Add, BatchNorm, Conv, Dense, GlobalAveragePool, MaxPool, Node, Relu, Scale
from xception.arch.spec import Architecture
from xception.export.fold import Tensors, folded
from xception.extras import require

OPSET = 17
IR_VERSION = 8
"""Of the ONNX release that brought opset 17 (1.12), so that runtimes since then read the file."""

INPUT_NAME = INPUT
OUTPUT_NAME = "logits"


def onnx_files(architecture: Architecture, tensors: Tensors, height_px: int, width_px: int) -> dict[str, bytes]:
    """`model.onnx`: input `pixels` (N, C, H, W) float32, output `logits` (N, K) float32, N free.

    Raises:
        MissingExtra: onnx is not installed.
    """
    onnx = require("onnx", "onnx")
    helper = onnx.helper
    nodes, values = folded(architecture, tensors)
    body = [made for node in nodes for made in _operations(helper, node, values)]
    body.append(helper.make_node("Identity", [nodes[-1].name], [OUTPUT_NAME], OUTPUT_NAME))
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        body,
        architecture.name,
        [helper.make_tensor_value_info(INPUT_NAME, float32, ["N", architecture.in_channels, height_px, width_px])],
        [helper.make_tensor_value_info(OUTPUT_NAME, float32, ["N", architecture.num_classes])],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="xception")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return {"model.onnx": bytes(model.SerializeToString(deterministic=True))}


def _operations(helper: Any, node: Node, values: Tensors) -> list[Any]:
    """ONNX nodes whose last output bears the node's name."""
    name, source = node.name, node.source
    match node:
        case Conv():
            inputs = [source, f"{name}.weight", *([f"{name}.bias"] if node.bias else [])]
            return [
                helper.make_node(
                    "Conv",
                    inputs,
                    [name],
                    name,
                    kernel_shape=[node.kernel] * 2,
                    strides=[node.stride] * 2,
                    pads=[node.padding] * 4,
                    dilations=[node.dilation] * 2,
                    group=node.groups,
                )
            ]
        case BatchNorm():
            leaves = [f"{name}.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")]
            return [helper.make_node("BatchNormalization", [source, *leaves], [name], name, epsilon=node.epsilon)]
        case Relu():
            return [helper.make_node("Relu", [source], [name], name)]
        case MaxPool():
            padding = {"auto_pad": "SAME_UPPER"} if node.padding == "same" else {"pads": [1] * 4}
            return [
                helper.make_node(
                    "MaxPool", [source], [name], name, kernel_shape=[3, 3], strides=[node.stride] * 2, **padding
                )
            ]
        case Add():
            return [helper.make_node("Add", [source, node.other], [name], name)]
        case Scale():
            values[f"{name}.factor"] = np.array(node.factor, np.float32)
            return [helper.make_node("Mul", [source, f"{name}.factor"], [name], name)]
        case GlobalAveragePool():
            return [
                helper.make_node("GlobalAveragePool", [source], [f"{name}.map"], f"{name}.map"),
                helper.make_node("Flatten", [f"{name}.map"], [name], name, axis=1),
            ]
        case Dense():
            leaves = [f"{name}.weight", f"{name}.bias"]
            return [helper.make_node("Gemm", [source, *leaves], [name], name, transB=1)]
