"""Graphs of other programs are quantized as ours are, behind the same gate."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.lanes import slow_unless
from tests.support.reader import PREPROCESS
from xception.adoption.adopt import adopt, without_arithmetic
from xception.adoption.statements import GraphStatements
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.labels import Labels
from xception.pipeline.engine import Engine
from xception.quantize.quantize import quantize_bundle
from xception.tasks.compare import compare

LABELS = Labels(tuple("0123456789"))


def fixed(model: onnx.ModelProto) -> None:
    """A batch of one, as exporters write it by default, and no names of nodes."""
    for port in (*model.graph.input, *model.graph.output):
        port.type.tensor_type.shape.dim[0].dim_value = 1
    for node in model.graph.node:
        node.name = ""


def dressed(model: onnx.ModelProto) -> None:
    """8-bit images (N, H, W, C) in, arithmetic inside, probabilities out, as for a telephone."""
    graph = model.graph
    source, result = graph.input[0].name, graph.output[0].name
    front = [
        helper.make_node("Cast", ["image:0"], ["real"], "a/Cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["first"], "a/Transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["first", "half"], ["centred"], "a/Sub"),
        helper.make_node("Div", ["centred", "half"], [source], "a/Div"),
    ]
    for node in reversed(front):
        graph.node.insert(0, node)
    graph.initializer.append(numpy_helper.from_array(np.float32(127.5), "half"))
    graph.node.append(helper.make_node("Softmax", [result], ["prob:0"], "a/Softmax", axis=-1))
    size = graph.input[0].type.tensor_type.shape.dim[2].dim_value
    graph.input[0].CopyFrom(helper.make_tensor_value_info("image:0", TensorProto.UINT8, ["n", size, size, 1]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("prob:0", TensorProto.FLOAT, ["n", 10]))


@pytest.mark.parametrize(
    ("change", "to"),
    slow_unless(lambda case: case == (dressed, "onnx"), [(fixed, "onnx"), (dressed, "onnx"), (dressed, "openvino")]),
)
def test_a_graph_of_others_is_quantized_and_compared(
    change: Callable[[onnx.ModelProto], None], to: str, reader: Bundle, tmp_path: Path
) -> None:
    model = onnx.load(reader.main_file)
    change(model)
    onnx.save(model, tmp_path / "theirs.onnx")
    preprocess = without_arithmetic(PREPROCESS) if change is dressed else PREPROCESS
    parent = adopt(tmp_path / "theirs.onnx", GraphStatements(preprocess=preprocess, labels=LABELS)).write(
        tmp_path / "float"
    )
    int8, result = quantize_bundle(
        parent, digits("train"), tmp_path / "int8", validation=digits("validation"), method="max", to=to, tolerance=0.05
    )
    assert result.passed
    assert (int8.model.precision, [step.verb for step in int8.model.lineage]) == ("int8", ["adopt", "quantize"])
    with Engine.open(parent) as first, Engine.open(int8) as second:
        comparison = compare(first, second, digits("test"), margin=0.05)
    assert comparison.first.score.top1 is not None
    assert comparison.first.score.top1.value > 0.9
    assert comparison.agreement is not None
    assert comparison.agreement.value > 0.9
