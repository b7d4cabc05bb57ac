from pathlib import Path

import onnx

from xception.bundle import Bundle
from xception.quantize.targets import TARGETS, onnx_files, openvino_files


def test_both_targets_are_written(reader: Bundle, tmp_path: Path) -> None:
    graph = onnx.load(reader.main_file)
    assert onnx.load_from_string(onnx_files(graph)["model.onnx"]) == graph
    files = openvino_files(graph)
    assert set(files) == {"model.xml", "model.bin"}
    assert [form for form, _ in TARGETS.values()] == ["onnx", "openvino"]
