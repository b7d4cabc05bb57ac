import onnx

from xception.backends.base import BACKENDS
from xception.bundle import MAIN_FILE, Bundle
from xception.quantize.qdq import Scheme, quantize_graph
from xception.quantize.targets import TARGETS, onnx_files


def test_a_graph_is_written_as_it_is(reader: Bundle) -> None:
    graph = onnx.load(reader.main_file)
    assert onnx.load_from_string(onnx_files(graph)["model.onnx"]) == graph


def test_every_target_writes_the_file_that_a_backend_opens(reader: Bundle) -> None:
    graph = quantize_graph(onnx.load(reader.main_file), {}, Scheme(), only=["none"])
    for target in TARGETS.values():
        assert MAIN_FILE[target.form] in target.files(graph)
        assert any(target.form in backend.forms for backend in BACKENDS.values())
