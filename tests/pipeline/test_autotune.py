from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.support.samples import labelled
from xception.backends.base import BACKENDS, Compute, installed, open_session
from xception.bundle import Bundle
from xception.errors import EnvironmentFault, InputError, UsageError
from xception.forms import Form
from xception.machine import cores
from xception.pipeline import autotune as module
from xception.pipeline.autotune import Choice, Way, autotune


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMAGES_PER_TRIAL", 4)
    monkeypatch.setattr(module, "ROUNDS", 1)
    monkeypatch.setattr(module, "BATCH_SIZES", (1, 4))


def opened(monkeypatch: pytest.MonkeyPatch) -> list[Compute]:
    """What sessions are opened with from now on."""
    seen: list[Compute] = []
    original = open_session

    def spy(bundle: Bundle, backend: str, compute: Compute) -> object:
        seen.append(compute)
        return original(bundle, backend, compute)

    monkeypatch.setattr(module, "open_session", spy)
    return seen


def test_the_choice_is_one_of_the_ways_that_are_there(onnx_bundle: Bundle, tmp_path: Path) -> None:
    choice = autotune(onnx_bundle, labelled(6), cache=tmp_path)
    assert choice.way.backend in installed("onnx")
    assert choice.way.batch in module.BATCH_SIZES
    assert choice.images_per_second > 0
    assert choice.way.backend in choice.sentence()


def test_it_is_measured_once_and_remembered(
    onnx_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = opened(monkeypatch)
    first = autotune(onnx_bundle, labelled(6), cache=tmp_path)
    assert seen
    seen.clear()
    assert autotune(onnx_bundle, labelled(6), cache=tmp_path) == first
    assert not seen


@pytest.mark.parametrize("change", ["damage", "mode", "bundle", "machine"])
def test_it_is_measured_anew_when_anything_it_rests_on_is_another(
    change: str, onnx_bundle: Bundle, forms: dict[Form, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    autotune(onnx_bundle, labelled(6), cache=tmp_path)
    seen = opened(monkeypatch)
    if change == "damage":
        (file,) = tmp_path.rglob("*.json")
        file.write_bytes(file.read_bytes()[:-9])
    if change == "machine":
        monkeypatch.setattr(module, "fingerprint", lambda *_: {"cpu": "another"})
    bundle = forms["openvino"] if change == "bundle" else onnx_bundle
    autotune(bundle, labelled(6), "reference" if change == "mode" else "exact", cache=tmp_path)
    assert seen


def test_where_nothing_can_be_kept_it_is_measured_all_the_same(onnx_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert autotune(onnx_bundle, labelled(6), cache=tmp_path / "file").images_per_second > 0


def test_a_fixed_batch_size_stays(onnx_bundle: Bundle, tmp_path: Path) -> None:
    graph = onnx_bundle.model.graph
    assert graph is not None
    fixed = msgspec.structs.replace(graph, input_shape=(2, *graph.input_shape[1:]))
    bundle = replace(onnx_bundle, model=msgspec.structs.replace(onnx_bundle.model, graph=fixed))
    assert autotune(bundle, labelled(6), cache=tmp_path).way.batch == 2


def test_images_that_cannot_be_read_are_not_tried_and_without_any_others_it_is_refused(
    onnx_bundle: Bundle, tmp_path: Path
) -> None:
    assert autotune(onnx_bundle, labelled(3, broken=(0, 2)), cache=tmp_path).images_per_second > 0
    with pytest.raises(InputError, match="none of the first 2 images"):
        autotune(onnx_bundle, labelled(2, broken=(0, 1)), cache=tmp_path / "other")


def test_a_form_that_nothing_here_runs_is_refused(onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed", lambda _: [])
    with pytest.raises(UsageError, match="expected onnxruntime or openvino"):
        autotune(onnx_bundle, labelled(2))


@pytest.mark.parametrize(
    ("logits", "change"),
    [
        ([[1.0, 0.0], [0.0, 2.0]], 0.0),
        ([[1.01, 0.0], [0.0, 2.0]], 0.005),
        ([[1.1, 0.0], [0.0, 2.0]], None),
        ([[0.999, 1.0], [0.0, 2.0]], None),
    ],
)
def test_a_precision_that_changes_answers_is_not_taken(logits: Sequence[Sequence[float]], change: float | None) -> None:
    found = module._change(np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), np.array(logits, np.float32))
    assert found == (change if change is None else pytest.approx(change, abs=1e-6))


def test_float32_files_are_tried_in_every_precision_and_others_as_they_are(onnx_bundle: Bundle) -> None:
    ways = list(module._ways(onnx_bundle, dict.fromkeys(("onnxruntime", "openvino"), "cpu")))
    assert {(way.backend, way.compute.precision) for way in ways} == {
        ("onnxruntime", None),
        ("openvino", None),
        ("openvino", "bfloat16"),
    }
    assert {way.compute.instances for way in ways} == {1, cores()}
    assert set(BACKENDS["openvino"].precisions) == {"float32", "bfloat16"}


def test_a_gpu_is_tried_in_all_its_precisions_with_larger_batches(forms: dict[Form, Bundle]) -> None:
    ways = list(module._ways(forms["weights"], {"torch": "cuda:0"}))
    assert [way.compute.precision for way in ways] == [None, "tf32", "bfloat16", "float16"]
    assert {(way.compute.device, way.compute.instances, way.batch) for way in ways} == {("cuda:0", 3, 64)}
    assert len(module._repeated(tuple(labelled(4)), ways[0])) == 8 * 64
    sentence = Choice(way=ways[2], images_per_second=3000.0, largest_change=0.004).sentence()
    assert sentence.startswith(
        "torch at batch 64, 3 at once on cuda:0, bfloat16: 3,000.0 images/s, logits within 0.40%"
    )


def test_a_gpu_that_was_asked_for_leaves_out_what_uses_none(onnx_bundle: Bundle) -> None:
    with pytest.raises(EnvironmentFault, match="there is no device cuda:77"):
        module._devices(["torch", "openvino"], "cuda:77")
    with pytest.raises(UsageError, match="computes on the CPU only"):
        autotune(onnx_bundle, labelled(2), device="cuda")
    assert module._devices(["torch", "openvino"], "cpu") == {"torch": "cpu", "openvino": "cpu"}


def test_a_choice_in_another_precision_says_what_it_changed() -> None:
    way = Way(backend="openvino", compute=Compute(precision="bfloat16", threads=2), batch=8)
    sentence = Choice(way=way, images_per_second=30.0, largest_change=0.004).sentence()
    assert sentence == "openvino at batch 8, 1 x 2 threads, bfloat16: 30.0 images/s, logits within 0.40% of float32"
