import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.samples import drawn_tensors
from xception.arch.spec import Architecture, with_output_stride
from xception.arch.variants import VARIANTS, architecture
from xception.export.onnx import INPUT_NAME, IR_VERSION, OPSET, OUTPUT_NAME, onnx_files
from xception.models.network import build

TOLERANCE = 2e-5
"""Relative to the largest logit, float32 against float64."""


def model(spec: Architecture, height_px: int = 64, width_px: int = 65) -> bytes:
    return onnx_files(spec, drawn_tensors(spec), height_px, width_px)["model.onnx"]


def logits(content: bytes, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (out,) = session.run([OUTPUT_NAME], {INPUT_NAME: pixels})
    return np.asarray(out)


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
    assert difference(logits(model(spec), x), reference(spec, x)) <= TOLERANCE


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
    assert (graph.opset_import[0].version, graph.ir_version, graph.producer_name) == (OPSET, IR_VERSION, "xception")
    (given,), (result,) = graph.graph.input, graph.graph.output
    sizes = [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim]
    assert (given.name, sizes) == (INPUT_NAME, ["N", 3, 71, 75])
    sizes = [axis.dim_param or axis.dim_value for axis in result.type.tensor_type.shape.dim]
    assert (result.name, sizes) == (OUTPUT_NAME, ["N", 6])


def test_the_same_network_gives_the_same_bytes() -> None:
    spec = architecture("ppcls_xception41_deeplab", width=0.05)
    assert model(spec) == model(spec)
