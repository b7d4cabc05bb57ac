from pathlib import Path

import openvino
import pytest

from tests.adoption.graphs import write_onnx
from tests.support.samples import drawn_tensors
from xception.adoption.adopt import read_graph
from xception.adoption.likeness import layer_shapes, like_variants
from xception.arch.compute import tensors
from xception.arch.variants import architecture
from xception.bundle import Bundle
from xception.export.litert import litert_files
from xception.export.onnx import onnx_files
from xception.export.program import program

TINY = architecture("tiny_xception", num_classes=6, in_channels=1)


@pytest.mark.parametrize("form", ["onnx", "xml", "tflite"])
def test_a_variant_is_recognised_by_its_layers_in_every_form(form: str, tmp_path: Path, onnx_bundle: Bundle) -> None:
    preprocess = onnx_bundle.model.preprocess
    gray = type(preprocess)(color="gray", resize=preprocess.resize, crop=preprocess.crop, mean=(0.5,), std=(0.5,))
    made = program(TINY, drawn_tensors(TINY), gray, layout="nhwc" if form == "tflite" else "nchw")
    path = tmp_path / f"model.{form}"
    if form == "tflite":
        path.write_bytes(litert_files(made)["model.tflite"])
    else:
        content = onnx_files(made)["model.onnx"]
        path.write_bytes(content) if form == "onnx" else openvino.save_model(openvino.Core().read_model(content), path)
    outline = read_graph(path)
    layers = sum(len(shape) > 1 for shape in tensors(TINY).values())
    assert layer_shapes(outline).total() == layers
    assert like_variants(outline, 6, 1) == ("tiny_xception",)
    assert like_variants(outline, 7, 1) == ()


def test_another_network_is_none_of_the_variants(tmp_path: Path) -> None:
    outline = read_graph(write_onnx(tmp_path / "model.onnx"))
    assert layer_shapes(outline) == {(4, 3, 1, 1): 1, (5, 4): 1}
    assert like_variants(outline, 5, 3) == ()
