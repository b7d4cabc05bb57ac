from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.bundle import Bundle
from xception.data.digits import digits
from xception.export.onnx import onnx_files
from xception.export.program import program
from xception.preprocess import Preprocess, Squash
from xception.quantize.equalize import conv_pairs, equalized
from xception.quantize.observation import observe
from xception.tasks.agreement import data_pixels

SMALL = Preprocess(resize=Squash(width_px=32, height_px=32))


def logits(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"pixels": pixels})[0])


def spread(model: onnx.ModelProto, name: str, pixels: np.ndarray) -> float:
    peaks = observe(model, [pixels]).peaks[name]
    return float(peaks[peaks > 0].max() / peaks[peaks > 0].min())


@pytest.fixture(scope="module")
def pixels(reader: Bundle) -> np.ndarray:
    return data_pixels(digits("train"), reader.model.preprocess, 16)


def test_equalising_keeps_the_function_and_brings_channels_together(blown_up: Bundle, pixels: np.ndarray) -> None:
    model = onnx.load(blown_up.main_file)
    between = "blocks.1.units.0.depthwise"
    result = equalized(model, observe(model, [pixels]))
    expected = logits(model, pixels)
    assert np.abs(logits(result, pixels) - expected).max() < 1e-5 * np.abs(expected).max()
    assert spread(result, between, pixels) < spread(model, between, pixels) / 10


def test_undoing_a_rescaling_leads_to_the_same_network(reader: Bundle, blown_up: Bundle, pixels: np.ndarray) -> None:
    first, second = (onnx.load(bundle.main_file) for bundle in (reader, blown_up))
    results = [equalized(model, observe(model, [pixels])) for model in (first, second)]
    kernels = [
        {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer} for model in results
    ]
    for name, kernel in kernels[0].items():
        np.testing.assert_allclose(kernels[1][name], kernel, rtol=1e-3, atol=1e-5 * np.abs(kernel).max())


def found(variant: str, width: float) -> Iterator[tuple[str, str]]:
    spec = architecture(variant, num_classes=3, width=width)
    model = onnx.load_from_string(onnx_files(program(spec, drawn_tensors(spec), SMALL))["model.onnx"])
    return ((pair.first.name, pair.second.name) for pair in conv_pairs(model))


@pytest.mark.parametrize("variant", ["timm_xception", "timm_xception41", "ppcls_xception41_deeplab"])
def test_pairs_are_found_across_a_relu_a_norm_and_nothing(variant: str) -> None:
    names = set(found(variant, 0.03))
    assert ("blocks.1.units.0.depthwise", "blocks.1.units.0.pointwise") in names
    assert ("blocks.1.units.0.pointwise", "blocks.1.units.1.depthwise") in names


def test_a_tensor_that_two_layers_read_binds_no_pair() -> None:
    names = [second for _, second in found("timm_xception", 0.03)]
    assert "blocks.1.units.0.depthwise" not in names
    assert "blocks.1.shortcut.conv" not in names
