import onnx

from xception.bundle import Bundle
from xception.quantize.int8_files import onnx_files


def test_a_graph_is_written_as_it_is(reader: Bundle) -> None:
    graph = onnx.load(reader.main_file)
    assert onnx.load_from_string(onnx_files(graph)["model.onnx"]) == graph
