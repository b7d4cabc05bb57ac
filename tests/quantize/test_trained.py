from dataclasses import replace
from pathlib import Path

import pytest

from xception.arch.variants import architecture
from xception.bundle import INT8_RANGES, Bundle, write_bundle
from xception.errors import InputError
from xception.export.export import export_bundle
from xception.outputs import json_document
from xception.preprocess import Preprocess, Squash
from xception.quantize.qdq import Scheme
from xception.quantize.trained import TrainedRanges, rounded, trained_ranges

RANGES = TrainedRanges(per_channel=True, is_signed=False, weight_bits=7, ranges={"pixels": (-1.0, 1.5)})


def with_ranges(bundle: Bundle, folder: Path, content: bytes) -> Bundle:
    files = {"weights.safetensors": bundle.content(), INT8_RANGES: content}
    return write_bundle(folder, bundle.model, bundle.labels, files)


def test_exports_of_a_bundle_keep_its_ranges(weights_bundle: Bundle, tmp_path: Path) -> None:
    trained = with_ranges(weights_bundle, tmp_path / "trained", json_document(RANGES))
    assert trained_ranges(trained) == RANGES
    assert trained_ranges(export_bundle(trained, "onnx", tmp_path / "onnx")) == RANGES
    assert trained_ranges(weights_bundle) is None


def test_a_file_that_holds_something_else_is_refused(weights_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"int8_ranges\.json holds no ranges"):
        trained_ranges(with_ranges(weights_bundle, tmp_path / "odd", b'{"ranges": 3}'))


@pytest.mark.parametrize("is_signed", [False, True])
def test_values_on_the_grid_of_another_are_not_rounded_twice(is_signed: bool) -> None:
    spec = replace(architecture("mini_xception", width=0.1))
    found = rounded(spec, Preprocess(resize=Squash(width_px=40, height_px=40)), Scheme(is_signed=is_signed))
    kinds = {name.rpartition(".")[2] for name in found.activations}
    assert kinds == {"pixels", "act", "add", "depthwise", "pointwise", "conv", "classifier"}
    assert "stem.0.after.act" in found.activations
    assert "stem.0.conv" not in found.activations  # a ReLU reads it
    assert "blocks.0.pool" not in found.activations
    assert "blocks.0.shortcut.conv" in found.activations
    assert "head.classifier.weight" in found.kernels
