from xception.bundle import Bundle
from xception.export.regraph import graph_in_form


def test_litert_takes_channels_last_and_the_others_stay(onnx_bundle: Bundle) -> None:
    model = onnx_bundle.model
    assert graph_in_form(model, "openvino") == model.graph
    found = graph_in_form(model, "litert")
    assert found
    assert (found.input_layout, found.input_shape) == ("nhwc", onnx_bundle.graph.input_shape)
