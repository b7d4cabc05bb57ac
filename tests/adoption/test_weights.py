"""Weights come out of graphs exactly, or are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

from tests.adoption.graphs import STATED, Style, write_onnx
from tests.support.samples import drawn_tensors
from xception.adoption.adopt import Adoption, adopt
from xception.adoption.statements import GraphStatements
from xception.adoption.weights import composed, with_weights
from xception.arch.graph import INPUT, Add, BatchNorm, Conv, MaxPool, Relu, unfold
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.backends.base import open_session
from xception.backends.probes import probe_images
from xception.convert.stated import Normalization
from xception.errors import InputError, UsageError
from xception.export.litert import litert_files
from xception.export.onnx import onnx_files
from xception.export.program import GraphOptions, program
from xception.preprocess import Preprocess, Squash
from xception.tasks.agreement import agreement
from xception.weights import read_weights

TINY = architecture("tiny_xception", num_classes=6, in_channels=1)
GRAY = Preprocess(color="gray", resize=Squash(width_px=33, height_px=33), mean=(0.5,), std=(0.5,))
STATED_GRAY = GraphStatements(preprocess=GRAY)


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return drawn_tensors(TINY)


def adopted(folder: Path, form: str, tensors: dict[str, np.ndarray], options: GraphOptions | None = None) -> Adoption:
    """The tiny network as our writers fold it, in a form."""
    layout = "nhwc" if form == "tflite" else "nchw"
    made = program(TINY, tensors, GRAY, options or GraphOptions(), layout=layout)
    path = folder / f"model.{form}"
    if form == "tflite":
        path.write_bytes(litert_files(made)["model.tflite"])
    elif form == "onnx":
        path.write_bytes(onnx_files(made)["model.onnx"])
    else:
        model = openvino.Core().read_model(onnx_files(made)["model.onnx"])
        openvino.save_model(model, path, compress_to_fp16=False)
    return adopt(path, STATED_GRAY)


@pytest.mark.parametrize("form", ["onnx", "xml", "tflite"])
def test_folded_weights_answer_as_the_graph_in_every_form(
    form: str, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    adoption = adopted(tmp_path, form, tensors)
    graph = adoption.write(tmp_path / "graph")
    weights = with_weights(adoption).write(tmp_path / "weights")
    assert (weights.model.form, weights.model.network.variant) == ("weights", "tiny_xception")
    assert weights.model.lineage[0].settings["weights_in"] == "tiny_xception"
    pixels = GRAY.normalize(probe_images(7, 1, 33, 33))
    measured = agreement(open_session(weights), open_session(graph), pixels)
    assert measured.relative_diff < 1e-5


def test_arithmetic_and_a_softmax_inside_of_the_graph_are_taken_along(
    tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    adoption = adopted(tmp_path, "onnx", tensors, GraphOptions(image_input=True, probabilities=True))
    taken = with_weights(adoption)
    assert taken.model.preprocess.mean == pytest.approx((127.5,))
    assert taken.model.activation == "softmax"


def write_unfolded(path: Path, spec: Architecture, tensors: dict[str, np.ndarray]) -> Path:
    """The network with its norms, as exporters write it in training mode; names say nothing."""
    ids = {name: f"onnx::{index}" for index, name in enumerate(tensors)}
    nodes, last = [], INPUT
    for node in unfold(spec):
        own = [ids[name] for name in tensors if name.startswith(f"{node.name}.")]
        inputs, settings = [node.source, *own], {}
        match node:
            case Conv():
                kind = "Conv"
                settings = {"strides": [node.stride] * 2, "group": node.groups, "pads": [node.padding] * 4}
            case BatchNorm():
                kind, settings = "BatchNormalization", {"epsilon": node.epsilon}
            case MaxPool():
                kind = "MaxPool"
                settings = {"kernel_shape": [3, 3], "strides": [node.stride] * 2, "auto_pad": "SAME_UPPER"}
            case Add():
                kind, inputs = "Add", [node.source, node.other]
            case _:
                kind = "Relu" if isinstance(node, Relu) else "GlobalAveragePool"
        nodes.append(onnx.helper.make_node(kind, inputs, [node.name], **settings))
        last = node.name
    nodes.append(onnx.helper.make_node("Flatten", [last], ["scores"]))
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in ((INPUT, ["N", 1, 33, 33]), ("scores", ["N", 6]))
    ]
    values = [onnx.numpy_helper.from_array(value, ids[name]) for name, value in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "torch", ports[:1], ports[1:], values)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_norms_that_are_there_are_taken_exactly(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    adoption = adopt(write_unfolded(tmp_path / "unfolded.onnx", TINY, tensors), STATED_GRAY)
    assert "BatchNormalization" in {row.kind for row in adoption.outline.operations}
    bundle = with_weights(adoption).write(tmp_path / "weights")
    found = read_weights(bundle.main_file)
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_graph_that_departs_from_the_variant_is_refused(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    adoption = adopted(tmp_path, "onnx", tensors)
    model = onnx.load(tmp_path / "model.onnx")
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Sigmoid"
    onnx.save(model, tmp_path / "other.onnx")
    changed = adopt(tmp_path / "other.onnx", STATED_GRAY)
    assert changed.variants == adoption.variants == ("tiny_xception",)
    with pytest.raises(InputError, match=r"give answers that differ by .*, so it departs from the variant"):
        with_weights(changed)


def test_variants_that_answer_alike_are_asked_for(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    adoption = replace(adopted(tmp_path, "onnx", tensors), variants=("tiny_xception", "tiny_xception"))
    with pytest.raises(UsageError, match=r"tiny_xception and tiny_xception all give the answers .* with --variant"):
        with_weights(adoption)


def test_a_graph_that_is_none_of_the_variants_has_no_weights_to_take(tmp_path: Path) -> None:
    adoption = adopt(write_onnx(tmp_path / "model.onnx", Style()), STATED)
    with pytest.raises(InputError, match="its layers are those of no variant"):
        with_weights(adoption)


def test_rounded_weights_are_refused(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    adoption = adopted(tmp_path, "onnx", tensors)
    rounded = replace(adoption, outline=replace(adoption.outline, precision="float16"))
    with pytest.raises(InputError, match="its weights were rounded to float16"):
        with_weights(rounded)


def test_arithmetic_behind_a_preprocessing_is_one_preprocessing() -> None:
    images = probe_images(4, 1, 5, 5)
    inside = Normalization(factor=(3.0,), shift=(-0.5,))
    np.testing.assert_allclose(
        composed(inside, GRAY).normalize(images), GRAY.normalize(images) * 3 - 0.5, rtol=1e-5, atol=1e-5
    )
