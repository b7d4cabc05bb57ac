from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.support.samples import drawn_tensors
from xception.arch.spec import Architecture, with_output_stride
from xception.arch.variants import VARIANTS, architecture
from xception.backends.onnxruntime import newest_opset
from xception.errors import UsageError
from xception.export.onnx import OLDEST_OPSET, onnx_files
from xception.export.program import GraphOptions, program
from xception.metrics import softmax
from xception.models.network import build
from xception.preprocess import CenterCrop, Preprocess

TOLERANCE = 2e-5
"""Relative to the largest logit, float32 against float64."""

HALF_TOLERANCE = 2e-2


def preprocess(spec: Architecture, height_px: int = 64, width_px: int = 65) -> Preprocess:
    rows = {"mean": (0.5, 0.4, 0.3)[: spec.in_channels], "std": (0.2, 0.3, 0.25)[: spec.in_channels]}
    crop = CenterCrop(width_px=width_px, height_px=height_px)
    return Preprocess(crop=crop, color="gray" if spec.in_channels == 1 else "rgb", **rows)


def model(spec: Architecture, height_px: int = 64, width_px: int = 65, **options: Any) -> bytes:
    made = program(spec, drawn_tensors(spec), preprocess(spec, height_px, width_px), GraphOptions(**options))
    return onnx_files(made)["model.onnx"]


def outputs(content: bytes, values: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: values}), strict=True))


def logits(content: bytes, pixels: np.ndarray) -> np.ndarray:
    return outputs(content, pixels)["logits"]


def reference(spec: Architecture, pixels: np.ndarray) -> np.ndarray:
    network = build(spec, drawn_tensors(spec)).eval().double()
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(pixels).double()))


def pixels(spec: Architecture, height_px: int = 64, width_px: int = 65) -> np.ndarray:
    shape = (2, spec.in_channels, height_px, width_px)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("name", VARIANTS)
def test_the_graph_computes_the_network(name: str) -> None:
    spec = architecture(name, width=0.05, num_classes=6)
    x = pixels(spec)
    for opset in (17, OLDEST_OPSET):
        assert difference(logits(model(spec, opset=opset), x), reference(spec, x)) <= TOLERANCE


@pytest.mark.parametrize("name", ["keras_xception", "timm_xception65p", "ppcls_xception41_deeplab", "mini_xception"])
def test_one_graph_takes_any_size(name: str) -> None:
    spec = architecture(name, width=0.05, num_classes=6)
    content = model(spec, free_size=True)
    for sides in ((64, 65), (49, 50)):
        x = pixels(spec, *sides)
        assert difference(logits(content, x), reference(spec, x)) <= TOLERANCE


@pytest.mark.parametrize("name", ["keras_xception", "timm_xception65p", "ppcls_xception41_deeplab"])
@pytest.mark.parametrize("opset", [OLDEST_OPSET, 17])
def test_half_precision_keeps_its_inputs_and_outputs_in_float32(name: str, opset: int) -> None:
    spec = architecture(name, width=0.05, num_classes=6)
    content, x = model(spec, precision="float16", opset=opset), pixels(spec)
    assert len(content) < 0.75 * len(model(spec))
    found = logits(content, x)
    assert found.dtype == np.float32
    assert TOLERANCE < difference(found, reference(spec, x)) <= HALF_TOLERANCE


def test_weights_beyond_half_precision_are_refused() -> None:
    spec = architecture("mini_xception", width=0.5)
    tensors = drawn_tensors(spec)
    tensors["head.classifier.bias"][0] = 1e5
    made = program(spec, tensors, preprocess(spec), GraphOptions(precision="float16"))
    with pytest.raises(UsageError, match=r"head\.classifier\.bias has values that float16 cannot hold"):
        onnx_files(made)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", ["timm_xception", "ppcls_xception41_deeplab", "big_xception"])
def test_images_go_in_and_probabilities_ranks_and_maps_come_out(name: str, precision: str) -> None:
    spec = architecture(name, width=0.05, num_classes=6)
    content = model(spec, precision=precision, image_input=True, probabilities=True, top_k=2, class_maps=True, opset=11)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 65, spec.in_channels), np.uint8)
    found = outputs(content, images)
    x = preprocess(spec).normalize(images.transpose(0, 3, 1, 2))
    network = build(spec, drawn_tensors(spec)).eval()
    with torch.inference_mode():
        maps = network.class_maps(torch.from_numpy(x)).numpy()
    limit = 1e-4 if precision == "float32" else 0.1
    assert difference(found["class_maps"], maps) <= limit
    assert np.abs(found["probabilities"] - softmax(maps.mean((2, 3)))).max() <= limit
    order = np.argsort(-found["probabilities"], axis=1)[:, :2]
    assert np.array_equal(found["top_indices"], order)
    assert np.array_equal(found["top_values"], np.take_along_axis(found["probabilities"], order, 1))


def test_an_unknown_opset_is_refused() -> None:
    spec = architecture("mini_xception", width=0.5)
    for opset in (OLDEST_OPSET - 1, newest_opset() + 1):
        with pytest.raises(UsageError, match=f"opset {opset} cannot be written .* expected 11 to {newest_opset()}, "):
            model(spec, opset=opset)


def test_a_fixed_batch_and_other_names_are_announced() -> None:
    spec = architecture("keras_xception", width=0.05, num_classes=6)
    graph = onnx.load_from_string(model(spec, fixed_batch=4, input_name="image", output_name="class")).graph
    shapes = {
        port.name: [axis.dim_param or axis.dim_value for axis in port.type.tensor_type.shape.dim]
        for port in (*graph.input, *graph.output)
    }
    assert shapes == {"image": [4, 3, 64, 65], "class": [4, 6]}
    # Where sizes are known, paddings are numbers.
    assert not any(attribute.name == "auto_pad" for node in graph.node for attribute in node.attribute)


def test_dilated_networks_are_exported_too() -> None:
    spec = with_output_stride(architecture("timm_xception41", width=0.05), 8)
    x = pixels(spec)
    assert difference(logits(model(spec), x), reference(spec, x)) <= TOLERANCE


def test_the_comparison_would_notice_another_epsilon() -> None:
    ours, theirs = (architecture(f"{name}_xception", width=0.05) for name in ("mindcv", "keras"))
    x = pixels(ours)
    assert difference(logits(model(ours), x), reference(theirs, x)) > 10 * TOLERANCE


def test_the_graph_announces_names_shapes_and_versions() -> None:
    spec = architecture("timm_xception", width=0.05, num_classes=6)
    graph = onnx.load_from_string(model(spec, 71, 75))
    assert (graph.opset_import[0].version, graph.ir_version, graph.producer_name) == (17, 8, "xception")
    (given,), (result,) = graph.graph.input, graph.graph.output
    sizes = [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim]
    assert (given.name, sizes) == ("pixels", ["N", 3, 71, 75])
    sizes = [axis.dim_param or axis.dim_value for axis in result.type.tensor_type.shape.dim]
    assert (result.name, sizes) == ("logits", ["N", 6])


def test_the_same_network_gives_the_same_bytes() -> None:
    spec = architecture("ppcls_xception41_deeplab", width=0.05)
    assert model(spec) == model(spec)
