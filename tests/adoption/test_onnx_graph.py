from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.adoption.graphs import PLAIN, STATED, Style, logits, looping, onnx_model, sample_images, weights, write_onnx
from xception.adoption.adopt import adopt
from xception.adoption.onnx_graph import read_onnx
from xception.backends.base import open_session
from xception.errors import InputError


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_the_outline_says_what_is_in_the_file(tmp_path: Path) -> None:
    outline = read_onnx(write_onnx(tmp_path / "model.onnx"))
    assert outline.title == "ONNX, opset 17, written by some exporter 1.2"
    assert [str(port) for port in (*outline.inputs, *outline.outputs)] == [
        "input (float32, any x 3 x 12 x 12)",
        "output (float32, any x 5)",
    ]
    assert [row.kind for row in outline.operations][:3] == ["Conv", "Relu", "GlobalAveragePool"]
    np.testing.assert_array_equal(outline.constants["model/conv/kernel:0"](), weights(PLAIN)[0])
    assert (outline.precision, outline.notes) == ("float32", ())


def test_constants_that_old_exporters_list_as_inputs_are_none(tmp_path: Path) -> None:
    model = onnx_model()
    kernel = model.graph.initializer[0]
    model.graph.input.append(helper.make_tensor_value_info(kernel.name, TensorProto.FLOAT, kernel.dims))
    assert [port.name for port in read_onnx(saved(model, tmp_path)).inputs] == ["input"]


def test_constants_that_are_operations_are_read(tmp_path: Path) -> None:
    model = onnx_model()
    kernel = model.graph.initializer[0]
    model.graph.node.insert(0, helper.make_node("Constant", [], [kernel.name], value=kernel))
    del model.graph.initializer[0]
    np.testing.assert_array_equal(read_onnx(saved(model, tmp_path)).constants[kernel.name](), weights(PLAIN)[0])


def test_functions_are_replaced_by_their_operations(tmp_path: Path) -> None:
    model = onnx_model()
    twice = helper.make_function(
        "pkg.torch", "Same", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    model.functions.append(twice)
    model.opset_import.append(helper.make_opsetid("pkg.torch", 1))
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Same", "pkg.torch"
    adoption = adopt(saved(model, tmp_path), STATED)
    assert adoption.outline.notes == ("its 1 functions were replaced by the operations that they stand for",)
    bundle = adoption.write(tmp_path / "out")
    images = bundle.model.preprocess.normalize(sample_images())
    np.testing.assert_allclose(open_session(bundle)(images), logits(PLAIN, images), rtol=1e-5)


def test_integers_are_int8(tmp_path: Path) -> None:
    model = onnx_model()
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.float32(0.1), "scale"), numpy_helper.from_array(np.uint8(3), "zero")]
    )
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    pair = [
        helper.make_node("QuantizeLinear", [relu.output[0], "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["real"]),
    ]
    place = list(model.graph.node).index(relu) + 1
    model.graph.node[place].input[0] = "real"
    for node in reversed(pair):
        model.graph.node.insert(place, node)
    assert read_onnx(saved(model, tmp_path)).precision == "int8"


def custom(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Magic", "acme"
    model.opset_import.append(helper.make_opsetid("acme", 1))


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def without_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[0]


def unknown(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Identitty"


def unconnected(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


def enormous(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.full(3, 50_000, np.int64), "sizes"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["sizes"], ["huge"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (looping, r"it branches or loops \(If\)"),
        (custom, r"its operations acme\.Magic are none of ONNX"),
        (newer, "it states opset 999; onnx .* knows 1 to"),
        (without_opset, "it does not state its opset"),
        (unknown, r"onnx's checker finds it wrong \(.*Identitty"),
        (unconnected, "onnx's checker finds it wrong"),
        (enormous, "its value huge has 125,000,000,000,000 numbers"),
    ],
)
def test_what_is_not_adopted_is_refused_with_its_reason(tmp_path: Path, change: object, words: str) -> None:
    model = onnx_model()
    change(model)
    with pytest.raises(InputError, match=words):
        read_onnx(saved(model, tmp_path))


def test_no_operation_runs_before_the_graph_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr("xception.adoption.tryout.open_session", lambda *_, **__: opened.append(1))
    model = onnx_model()
    custom(model)
    with pytest.raises(InputError, match="none of ONNX"):
        adopt(saved(model, tmp_path), STATED)
    assert opened == []


def test_half_precision_is_recognised(tmp_path: Path) -> None:
    model = onnx_model(Style())
    for tensor in model.graph.initializer:
        if tensor.name.endswith("kernel:0"):
            half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.half")
            model.graph.node.insert(0, helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
            tensor.CopyFrom(half)
    assert read_onnx(saved(model, tmp_path)).precision == "float16"
