import numpy as np
import onnx
import pytest
from onnx import helper

from tests.support.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.errors import InputError
from xception.export.onnx import onnx_files
from xception.export.program import GraphOptions, program
from xception.preprocess import CenterCrop, Preprocess
from xception.quantize.body import activations, body, logits_name, result_layer, with_names


def model_of(variant: str, **options: object) -> onnx.ModelProto:
    spec = architecture(variant, width=0.05, num_classes=5)
    preprocess = Preprocess(crop=CenterCrop(width_px=40, height_px=40))
    content = onnx_files(program(spec, drawn_tensors(spec), preprocess, GraphOptions(**options)))
    return onnx.load_from_string(content["model.onnx"])


def test_the_body_reaches_from_the_first_layer_to_the_one_that_makes_the_logits() -> None:
    plain = model_of("timm_xception")
    dressed = model_of("timm_xception", image_input=True, probabilities=True, top_k=2, class_maps=True)
    assert body(dressed) == body(plain)
    left = {node.op_type for node in dressed.graph.node if node.name not in body(dressed)}
    assert left == {"Cast", "Mul", "Add", "Transpose", "Softmax", "TopK", "Identity", "Conv"}
    assert (result_layer(dressed).name, logits_name(dressed)) == ("head.classifier", "head.classifier")
    assert activations(dressed) == activations(plain)


def test_a_mean_behind_the_last_layer_belongs_to_it_where_logits_are_integers() -> None:
    model = model_of("mini_xception")
    more = {*body(model, with_logits=True)} - {*body(model)}
    kinds = [node.op_type for node in model.graph.node if node.name in more]
    assert kinds == ["GlobalAveragePool", "Flatten"]
    assert result_layer(model).op_type == "Conv"


def test_nodes_without_names_get_some_and_constants_become_initializers() -> None:
    kernel = onnx.numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["kernel"], value=kernel),
        helper.make_node("Conv", ["x", "kernel"], ["y"]),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    ports = [helper.make_tensor_value_info(name, 1, [1, size, 4, 4]) for name, size in (("x", 3), ("z", 2))]
    model = helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:]))
    named = with_names(model)
    assert [node.op_type for node in named.graph.node] == ["Conv", "Relu"]
    assert len({node.name for node in named.graph.node} - {""}) == 2
    assert [tensor.name for tensor in named.graph.initializer] == ["kernel"]
    assert len(model.graph.node) == 3
    onnx.checker.check_model(named, full_check=True)


def test_a_graph_without_layers_is_refused() -> None:
    ports = [helper.make_tensor_value_info(name, 1, [1, 3]) for name in ("x", "y")]
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:]))
    with pytest.raises(InputError, match="no convolution and no dense layer"):
        body(model)


def test_a_name_that_stands_for_an_equal_constant_becomes_one() -> None:
    kernel = onnx.numpy_helper.from_array(np.ones((3, 1, 1, 1), np.float32), "kernel")
    nodes = [
        helper.make_node("Identity", ["kernel"], ["same"]),
        helper.make_node("Identity", ["same"], ["again"]),
        helper.make_node("Conv", ["x", "again"], ["y"], group=3),
    ]
    ports = [helper.make_tensor_value_info(name, 1, [1, 3, 4, 4]) for name in ("x", "y")]
    model = helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:], [kernel]))
    named = with_names(model)
    assert [node.op_type for node in named.graph.node] == ["Conv"]
    assert {tensor.name for tensor in named.graph.initializer} == {"kernel", "same", "again"}
