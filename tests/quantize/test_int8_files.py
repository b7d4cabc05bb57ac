import onnx

from xception.bundle import Bundle
from xception.quantize.int8_files import int8_onnx_files


def test_a_graph_is_written_as_it_is(reader: Bundle) -> None:
    graph = onnx.load(reader.main_file)
    assert onnx.load_from_string(int8_onnx_files(graph)["model.onnx"]) == graph
