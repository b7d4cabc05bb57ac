from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from xception.backends.base import Pixels
from xception.bundle import Bundle, write_bundle
from xception.errors import CheckFailed, InputError
from xception.export.export import export_bundle
from xception.export.program import GraphOptions, Values
from xception.export.verify import run_session, verify
from xception.tasks.agreement import probe_pixels
from xception.weights import weights_bytes


def test_all_batch_sizes_and_image_sizes_are_compared(weights_bundle: Bundle, onnx_bundle: Bundle) -> None:
    measured = verify(onnx_bundle, weights_bundle, [probe_pixels(weights_bundle, 9)])
    assert (measured.samples, measured.batch_sizes, measured.sizes_px) == (9, (1, 2, 7), ((32, 32),))
    assert measured.relative_diff < 1e-5


def test_every_image_is_run_in_the_largest_batch(weights_bundle: Bundle, onnx_bundle: Bundle) -> None:
    seen: list[int] = []

    def run(batches: Mapping[str, Pixels]) -> Mapping[str, Values]:
        seen.extend(map(len, batches.values()))
        return run_session(onnx_bundle, weights_bundle, batches)

    verify(onnx_bundle, weights_bundle, [probe_pixels(weights_bundle, 9)], run)
    assert seen == [1, 1, 2, 2, 7, 7]


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_a_fault_at_one_batch_size_alone_is_found(batch_size: int, weights_bundle: Bundle, onnx_bundle: Bundle) -> None:
    def faulty(batches: Mapping[str, Pixels]) -> Mapping[str, Values]:
        found = run_session(onnx_bundle, weights_bundle, batches)
        return {
            name: {"logits": values["logits"] + (len(values["logits"]) == batch_size)} for name, values in found.items()
        }

    with pytest.raises(CheckFailed, match="no operation inside it shows where"):
        verify(onnx_bundle, weights_bundle, [probe_pixels(weights_bundle)], faulty)


def test_a_row_for_each_image_is_demanded(weights_bundle: Bundle, onnx_bundle: Bundle) -> None:
    def first_alone(batches: Mapping[str, Pixels]) -> Mapping[str, Values]:
        found = run_session(onnx_bundle, weights_bundle, batches)
        return {name: {"logits": values["logits"][:1]} for name, values in found.items()}

    with pytest.raises(CheckFailed, match=r"the shape \(1, 7\) for 32x32 px, batch of 2, from 0, expected \(2, 7\)"):
        verify(onnx_bundle, weights_bundle, [probe_pixels(weights_bundle, 4)], first_alone)


def test_numbers_that_are_none_do_not_agree(weights_bundle: Bundle, onnx_bundle: Bundle) -> None:
    def broken(batches: Mapping[str, Pixels]) -> Mapping[str, Values]:
        return {name: {"logits": np.full((len(pixels), 7), np.nan)} for name, pixels in batches.items()}

    with pytest.raises(CheckFailed, match=r"differs from the weights of .* by nan"):
        verify(onnx_bundle, weights_bundle, [probe_pixels(weights_bundle)], broken)


@pytest.mark.parametrize(
    ("output", "message"), [("class_maps", "the class maps of .* differ by"), ("top_values", "not the largest")]
)
def test_faults_of_further_outputs_are_found(output: str, message: str, weights_bundle: Bundle, tmp_path: Path) -> None:
    options = GraphOptions(top_k=2, class_maps=True)
    exported = export_bundle(weights_bundle, "onnx", tmp_path / "out", options=options)

    def faulty(batches: Mapping[str, Pixels]) -> Mapping[str, Any]:
        found = run_session(exported, weights_bundle, batches)
        return {name: {**values, output: values[output] + 1} for name, values in found.items()}

    with pytest.raises(CheckFailed, match=message):
        verify(exported, weights_bundle, [probe_pixels(weights_bundle)], faulty)


def test_a_bundle_without_a_graph_cannot_be_compared(weights_bundle: Bundle, onnx_bundle: Bundle) -> None:
    bare = Bundle(
        path=onnx_bundle.path, model=msgspec.structs.replace(onnx_bundle.model, graph=None), labels=onnx_bundle.labels
    )
    with pytest.raises(InputError, match="describes no graph"):
        verify(bare, weights_bundle, [probe_pixels(weights_bundle)])


def test_weights_beyond_half_precision_are_told_to_stay_in_single(weights_bundle: Bundle, tmp_path: Path) -> None:
    tensors = {name: value * 1e3 if value.ndim == 4 else value for name, value in weights_bundle.tensors().items()}
    files = {"weights.safetensors": weights_bytes(tensors)}
    large = write_bundle(tmp_path / "large", weights_bundle.model, weights_bundle.labels, files)
    with pytest.raises(CheckFailed, match="not enough for these weights: export in float32"):
        export_bundle(large, "onnx", tmp_path / "out", options=GraphOptions(precision="float16"))
