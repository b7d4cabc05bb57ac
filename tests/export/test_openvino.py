import resource
from pathlib import Path

import numpy as np
import openvino
import pytest

from tests.support.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.errors import EnvironmentFault
from xception.export.openvino import openvino_files
from xception.export.program import GraphOptions, program
from xception.preprocess import CenterCrop, Preprocess

PREPROCESS = Preprocess(color="gray", crop=CenterCrop(width_px=33, height_px=32), mean=(0.5,), std=(0.5,))


@pytest.mark.parametrize(("precision", "dtype"), [("float32", openvino.Type.f32), ("float16", openvino.Type.f16)])
def test_the_files_hold_the_graph_with_its_names_and_precision(precision: str, dtype: openvino.Type) -> None:
    spec = architecture("mini_xception", width=0.5)
    made = program(spec, drawn_tensors(spec), PREPROCESS, GraphOptions(precision=precision))
    files = openvino_files(made)
    assert sorted(files) == ["model.bin", "model.xml"]
    model = openvino.Core().read_model(files["model.xml"], files["model.bin"])
    assert model.input("pixels").get_partial_shape() == openvino.PartialShape([-1, 1, 32, 33])
    assert model.output("logits").get_partial_shape() == openvino.PartialShape([-1, 7])
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    weights = [node for node in constants if np.prod(list(node.get_output_shape(0))) > 64]
    assert weights
    assert {node.get_element_type() for node in weights} == {dtype}


@pytest.mark.parametrize("options", [GraphOptions(), GraphOptions(probabilities=True, top_k=2, class_maps=True)])
def test_a_compiled_model_shows_only_the_outputs_own_names(options: GraphOptions) -> None:
    spec = architecture("tiny_xception", width=0.5, num_classes=4)
    made = program(spec, drawn_tensors(spec), PREPROCESS, options)
    files = openvino_files(made)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(files["model.xml"], files["model.bin"]), "CPU")
    assert [output.any_name for output in compiled.outputs] == [output.name for output in made.outputs]
    assert [output.get_names() for output in compiled.outputs] == [{output.name} for output in made.outputs]


def test_no_room_for_temporary_files_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = architecture("mini_xception", width=0.5)
    made = program(spec, drawn_tensors(spec), PREPROCESS)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(EnvironmentFault, match=rf"cannot write its files to {tmp_path} .*make room there"):
            openvino_files(made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
