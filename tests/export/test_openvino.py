import numpy as np
import openvino

from tests.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.export.openvino import openvino_files


def test_the_files_hold_the_graph_with_its_names_in_float32() -> None:
    spec = architecture("mini_xception", width=0.5)
    files = openvino_files(spec, drawn_tensors(spec), 32, 33)
    assert sorted(files) == ["model.bin", "model.xml"]
    model = openvino.Core().read_model(files["model.xml"], files["model.bin"])
    assert model.input("pixels").get_partial_shape() == openvino.PartialShape([-1, 1, 32, 33])
    assert model.output("logits").get_partial_shape() == openvino.PartialShape([-1, 7])
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    weights = [node for node in constants if np.prod(list(node.get_output_shape(0))) > 64]
    assert weights
    assert {node.get_element_type() for node in weights} == {openvino.Type.f32}
