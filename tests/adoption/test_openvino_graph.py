from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13

from tests.adoption.graphs import PLAIN, TF2ONNX, weights, write_ir
from xception.adoption.openvino_graph import read_openvino
from xception.errors import InputError


def test_the_outline_says_what_is_in_the_file(tmp_path: Path) -> None:
    outline = read_openvino(write_ir(tmp_path / "model.xml"))
    assert outline.title.startswith("OpenVINO, IR, written by OpenVINO")
    assert [str(port) for port in (*outline.inputs, *outline.outputs)] == [
        "input (float32, any x 3 x 12 x 12)",
        "output (float32, any x 5)",
    ]
    assert {"Convolution", "Relu", "ReduceMean", "MatMul"} <= {row.kind for row in outline.operations}
    kernel = next(name for name, shape in outline.shapes.items() if len(shape) == 4)
    np.testing.assert_array_equal(outline.constants[kernel](), weights(PLAIN)[0])


def test_ports_without_names_are_called_by_their_places(tmp_path: Path) -> None:
    outline = read_openvino(write_ir(tmp_path / "model.xml", TF2ONNX, without_names=True))
    assert (outline.inputs[0].name, outline.outputs[0].name) == ("input_0", "output_0")


def test_a_graph_that_branches_is_refused(tmp_path: Path) -> None:
    source = opset13.parameter([1, 3, 12, 12], np.float32, name="x")
    branch = opset13.if_op(opset13.constant(np.array([True])))
    inner = [opset13.parameter([1, 3, 12, 12], np.float32) for _ in range(2)]
    results = [opset13.result(opset13.relu(parameter)) for parameter in inner]
    branch.set_then_body(openvino.Model([results[0]], [inner[0]]))
    branch.set_else_body(openvino.Model([results[1]], [inner[1]]))
    branch.set_input(source.output(0), *inner)
    model = openvino.Model([branch.set_output(*results)], [source])
    openvino.serialize(model, tmp_path / "model.xml")
    with pytest.raises(InputError, match=r"it branches or loops \(If\)"):
        read_openvino(tmp_path / "model.xml")


def test_operations_of_an_extension_are_refused(tmp_path: Path) -> None:
    path = write_ir(tmp_path / "model.xml")
    path.write_text(path.read_text().replace('type="ReLU" version="opset1"', 'type="Magic" version="acme"'))
    with pytest.raises(InputError, match="OpenVINO cannot read it without extensions"):
        read_openvino(path)
