"""Graphs of other programs become bundles that answer as they do, or are refused with what is open."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.adoption.graphs import (
    LEVELS,
    MINUS_ONE_TO_ONE,
    PLAIN,
    PX,
    STATED,
    TF2ONNX,
    Style,
    logits,
    onnx_model,
    sample_images,
    write_ir,
    write_onnx,
    write_tflite,
)
from tests.convert.checkpoints import write_safetensors
from xception.adoption.adopt import Adoption, adopt
from xception.adoption.statements import GraphStatements
from xception.backends.base import open_session
from xception.bundle import Bundle, open_bundle
from xception.errors import InputError, UsageError
from xception.goldens import read_goldens
from xception.labels import Labels, imagenet1k
from xception.metrics import softmax
from xception.preprocess import Preprocess, Squash
from xception.tasks.agreement import probe_pixels

KERAS = replace(STATED, preprocess=LEVELS)


def answers(bundle: Bundle, images: np.ndarray) -> np.ndarray:
    session = open_session(bundle)
    pixels = bundle.model.preprocess.normalize(images)
    size = session.facts.batch_size
    return session(pixels) if size is None else np.concatenate([session(row[None]) for row in pixels])


def adopted(path: Path, out: Path, statements: GraphStatements = STATED) -> Bundle:
    adopt(path, statements).write(out)
    return open_bundle(out, verify=True)


def test_a_plain_onnx_file_answers_as_its_network(tmp_path: Path) -> None:
    bundle = adopted(write_onnx(tmp_path / "model.onnx"), tmp_path / "out")
    model, images = bundle.model, sample_images()
    np.testing.assert_allclose(answers(bundle, images), logits(PLAIN, model.preprocess.normalize(images)), rtol=1e-5)
    assert (model.form, model.precision, model.name) == ("onnx", "float32", "model")
    assert (model.network.variant, model.network.num_classes, model.network.in_channels) == (None, 5, 3)
    assert (model.activation, model.graph and model.graph.output_values) == ("softmax", "logits")
    assert (model.graph and model.graph.input_shape) == (None, 3, PX, PX)
    assert bundle.main_file.read_bytes() == (tmp_path / "model.onnx").read_bytes()
    for golden in read_goldens(bundle):
        np.testing.assert_allclose(golden.logits, logits(PLAIN, golden.pixels[None])[0], rtol=1e-5)


def test_its_history_says_where_it_came_from(tmp_path: Path) -> None:
    (step,) = adopted(write_onnx(tmp_path / "model.onnx"), tmp_path / "out").model.lineage
    assert (step.verb, step.parent, step.settings["file"]) == ("adopt", None, "model.onnx")
    assert (step.settings["producer"], step.settings["opset"]) == ("some exporter 1.2", "opset 17")
    assert len(str(step.settings["sha256"])) == 64
    assert "onnxruntime" in step.tools


def test_a_file_of_tf2onnx_answers_as_its_network(tmp_path: Path) -> None:
    bundle = adopted(write_onnx(tmp_path / "keras.onnx", TF2ONNX), tmp_path / "out", KERAS)
    graph, images = bundle.graph, sample_images()
    assert (graph.input_layout, graph.output_values) == ("nhwc", "probabilities")
    assert (graph.input_name, graph.output_name) == ("input_image/x:0", "Identity:0")
    assert graph.input_shape == (None, 3, PX, PX)
    np.testing.assert_allclose(softmax(answers(bundle, images)), softmax(logits(TF2ONNX, images)), atol=1e-6)


@pytest.mark.parametrize("compress", [False, True])
def test_an_openvino_file_without_names_answers_as_its_network(tmp_path: Path, compress: bool) -> None:
    path = write_ir(tmp_path / "model.xml", compress=compress, without_names=True)
    bundle = adopted(path, tmp_path / "out")
    images = sample_images()
    expected = logits(PLAIN, bundle.model.preprocess.normalize(images))
    np.testing.assert_allclose(answers(bundle, images), expected, atol=5e-3 if compress else 1e-5)
    assert bundle.model.precision == ("float16" if compress else "float32")
    assert set(bundle.model.files) >= {"model.xml", "model.bin"}


def test_a_litert_file_answers_as_its_network(tmp_path: Path) -> None:
    style = TF2ONNX
    bundle = adopted(write_tflite(tmp_path / "model.tflite", style), tmp_path / "out", KERAS)
    images = sample_images()
    assert (bundle.graph.input_layout, bundle.graph.output_values) == ("nhwc", "probabilities")
    np.testing.assert_allclose(softmax(answers(bundle, images)), softmax(logits(style, images)), atol=1e-6)


@pytest.mark.parametrize("integers", ["uint8", "int8"])
def test_integers_on_a_grid_stand_for_the_pixels_that_were_stated(tmp_path: Path, integers: str) -> None:
    bundle = adopted(write_tflite(tmp_path / "model.tflite", PLAIN, integers=integers), tmp_path / "out")
    images = sample_images()
    expected = logits(PLAIN, bundle.model.preprocess.normalize(images))
    assert bundle.graph.input_values == "pixels"
    # An eighth is two steps of the output's grid.
    np.testing.assert_allclose(answers(bundle, images), expected.clip(-8, 7.94), atol=0.125)


def test_a_graph_of_8_bit_images_is_given_them_as_they_are(tmp_path: Path) -> None:
    style = Style(layout="nhwc", dtype="uint8", arithmetic=(("Div", 127.5), ("Sub", 1.0)))
    bundle = adopted(write_onnx(tmp_path / "model.onnx", style), tmp_path / "out")
    images = sample_images()
    assert bundle.graph.input_values == "image"
    assert bundle.model.preprocess == LEVELS
    np.testing.assert_allclose(answers(bundle, images), logits(style, images), rtol=1e-5)
    np.testing.assert_allclose(open_session(bundle)(images), logits(style, images), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_pixels_take_the_type_of_the_input(tmp_path: Path, dtype: str) -> None:
    style = Style(dtype=dtype)
    bundle = adopted(write_onnx(tmp_path / "model.onnx", style), tmp_path / "out")
    images = sample_images()
    expected = logits(style, bundle.model.preprocess.normalize(images))
    np.testing.assert_allclose(answers(bundle, images), expected, atol=5e-3)


def test_an_onnx_file_answers_the_same_in_openvino(tmp_path: Path) -> None:
    bundle = adopted(write_onnx(tmp_path / "keras.onnx", TF2ONNX), tmp_path / "out", KERAS)
    images = sample_images().astype(np.float32)
    theirs = open_session(bundle, "openvino")(images)
    np.testing.assert_allclose(softmax(theirs), softmax(logits(TF2ONNX, images)), atol=1e-6)


def test_a_batch_that_is_only_said_to_be_free_is_one(tmp_path: Path) -> None:
    style = Style(flattens_for_one=True)
    adoption = adopt(write_onnx(tmp_path / "model.onnx", style), STATED)
    assert adoption.notes["batch"].startswith("1, although the file leaves it open")
    bundle = adoption.write(tmp_path / "out")
    images = sample_images()
    assert bundle.graph.input_shape[0] == 1
    np.testing.assert_allclose(
        answers(bundle, images), logits(style, bundle.model.preprocess.normalize(images)), rtol=1e-5
    )


def test_a_fixed_batch_and_a_free_size_are_described_as_they_are(tmp_path: Path) -> None:
    bundle = adopted(write_onnx(tmp_path / "model.onnx", Style(batch=2, px="side")), tmp_path / "out")
    assert bundle.graph.input_shape == (2, 3, None, None)


@pytest.mark.parametrize(("sizes", "stated"), [([5], [5]), ([-1], ["K"]), ([5, 1], [5, 1]), ([1, 1, 5], [1, 1, 5])])
def test_answers_to_the_only_image_may_lie_along_any_axis(
    tmp_path: Path, sizes: list[int], stated: list[int | str]
) -> None:
    style = Style(batch=1)
    model = onnx_model(style)
    model.graph.node[-1].output[0] = "raw"
    model.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), "sizes"))
    model.graph.node.append(helper.make_node("Reshape", ["raw", "sizes"], [style.output_name]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(style.output_name, TensorProto.FLOAT, stated))
    onnx.save(model, tmp_path / "model.onnx")
    bundle, images = adopted(tmp_path / "model.onnx", tmp_path / "out"), sample_images()
    expected = logits(style, bundle.model.preprocess.normalize(images))
    np.testing.assert_allclose(answers(bundle, images), expected, rtol=1e-4)


@pytest.mark.parametrize("size", [-1, 0])
def test_a_batch_size_below_1_means_any(tmp_path: Path, size: int) -> None:
    adoption = adopt(write_onnx(tmp_path / "model.onnx", Style(batch=size)), STATED)
    bundle, images = adoption.write(tmp_path / "out"), sample_images()
    assert bundle.graph.input_shape[0] is None
    assert adoption.outline.notes == ("sizes below 1, by which its exporter means any, were made free ones",)
    expected = logits(Style(), bundle.model.preprocess.normalize(images))
    np.testing.assert_allclose(answers(bundle, images), expected, rtol=1e-4)


def test_a_single_sigmoid_is_a_class_of_its_own(tmp_path: Path) -> None:
    style = Style(classes=1, ending="sigmoid")
    bundle = adopted(write_onnx(tmp_path / "model.onnx", style), tmp_path / "out")
    assert (bundle.model.activation, bundle.labels.names) == ("sigmoid", ("positive",))
    images = sample_images()
    expected = logits(style, bundle.model.preprocess.normalize(images))
    np.testing.assert_allclose(answers(bundle, images), expected, rtol=1e-4)


def test_a_thousand_classes_are_imagenets_and_the_report_says_so(tmp_path: Path) -> None:
    adoption = adopt(write_onnx(tmp_path / "model.onnx", Style(classes=1000)), STATED)
    assert adoption.labels == imagenet1k()
    assert adoption.notes["classes"] == "ImageNet's, since there are 1,000"


def test_a_config_next_to_the_file_states_images_and_names(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    config = {"pretrained_cfg": {"input_size": [3, PX, PX], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.25] * 3}}
    (tmp_path / "config.json").write_text(json.dumps({**config, "label_names": names}))
    adoption = adopt(write_onnx(tmp_path / "model.onnx"))
    assert adoption.model.preprocess.std == (0.25, 0.25, 0.25)
    assert adoption.labels.names == tuple(names)


def test_a_statement_goes_before_the_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"input_size": [3, PX, PX], "crop_pct": 1.0}))
    assert adopt(write_onnx(tmp_path / "model.onnx"), STATED).model.preprocess == MINUS_ONE_TO_ONE


def refused(path: Path, statements: GraphStatements, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        adopt(path, statements)
    assert "\n" not in str(caught.value)


def test_preprocessing_that_is_not_stated_is_asked_for(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx")
    refused(path, GraphStatements(), UsageError, rf"does not say how .*\(float32, {PX}x{PX} px\); .* --preprocess")


@pytest.mark.parametrize(
    ("preprocess", "words"),
    [
        (Preprocess(resize=Squash(width_px=16, height_px=16)), r"takes 12x12 px and .* makes 16x16 px; add size=12x12"),
        (Preprocess(), r"takes 12x12 px and .* images of any size"),
        (
            Preprocess(color="gray", resize=Squash(width_px=PX, height_px=PX), mean=(0.5,), std=(0.5,)),
            "takes images of 3 channels and the preprocessing makes 1; add color=rgb",
        ),
    ],
)
def test_preprocessing_of_another_shape_is_refused(tmp_path: Path, preprocess: Preprocess, words: str) -> None:
    path = write_onnx(tmp_path / "model.onnx")
    refused(path, GraphStatements(preprocess=preprocess), UsageError, words)


def test_preprocessing_that_the_graph_does_itself_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "keras.onnx", TF2ONNX)
    refused(path, STATED, UsageError, r"first computes value \* 0.00784314 \+ -1, .* add range=0\.\.255")


@pytest.mark.parametrize("count", [4, 6])
def test_another_number_of_labels_is_refused(tmp_path: Path, count: int) -> None:
    labels = Labels(tuple(f"name {index}" for index in range(count)))
    path = write_onnx(tmp_path / "model.onnx")
    words = f"gives 5 answers per image, but --labels names {count} classes"
    refused(path, replace(STATED, labels=labels), UsageError, words)


def test_a_layout_that_makes_no_image_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx")
    refused(path, replace(STATED, layout="nhwc"), UsageError, "--layout nhwc makes 12 channels")


def test_an_activation_that_contradicts_the_graph_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "keras.onnx", TF2ONNX)
    words = "--activation sigmoid contradicts .* it ends in a softmax"
    refused(path, replace(KERAS, activation="sigmoid"), UsageError, words)


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused(tmp_path / "model.onnx", STATED, InputError, "is no graph: it is a Git LFS pointer; run git lfs pull")
    (tmp_path / "model.xml").write_text("<!doctype html><html>login</html>")
    refused(tmp_path / "model.xml", STATED, InputError, "is no graph: it is a web page")
    checkpoint = write_safetensors(tmp_path / "weights.safetensors", {"a": np.zeros(3, np.float32)})
    refused(checkpoint, STATED, InputError, r"but a checkpoint \(safetensors\); run xception convert")
    (tmp_path / "weights.bin").write_bytes(b"\x08\x09nothing of the kind")
    refused(tmp_path / "weights.bin", STATED, InputError, "is no checkpoint: it begins with the bytes 08 09")


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.tflite"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    writers = {".onnx": write_onnx, ".xml": write_ir, ".tflite": write_tflite}
    path = writers[Path(name).suffix](tmp_path / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    refused(path, STATED, InputError, "cannot be adopted")


def test_an_openvino_file_without_its_weights_is_refused(tmp_path: Path) -> None:
    path = write_ir(tmp_path / "model.xml")
    path.with_suffix(".bin").unlink()
    refused(path, STATED, InputError, r"its weights, model\.bin, are not there; put that file next to it")


def test_it_shows_itself(tmp_path: Path) -> None:
    adoption: Adoption = adopt(write_onnx(tmp_path / "model.onnx"), STATED)
    assert repr(adoption).endswith("ONNX, opset 17, written by some exporter 1.2, 5 classes)")


def test_an_exported_file_of_ours_is_adopted_and_recognised(onnx_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "copied.onnx"
    path.write_bytes(onnx_bundle.main_file.read_bytes())
    bundle = adopted(path, tmp_path / "out", GraphStatements(preprocess=onnx_bundle.model.preprocess))
    images = probe_pixels(onnx_bundle, 4)
    np.testing.assert_array_equal(open_session(bundle)(images), open_session(onnx_bundle)(images))
    assert bundle.model.graph == onnx_bundle.model.graph
