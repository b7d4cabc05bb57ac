from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.export.planted import with_another_bias
from xception.backends.base import open_session, run_in_batches
from xception.bundle import Bundle, open_bundle, write_bundle
from xception.errors import CheckFailed, InputError, UnknownName, UsageError
from xception.export.export import PROBES, export_bundle
from xception.export.program import GraphOptions
from xception.export.verify import TOLERANCES
from xception.forms import FORMS, exportable
from xception.metrics import softmax
from xception.tasks.agreement import probe_pixels


@pytest.mark.parametrize("to", [form for form in exportable() if FORMS[form].backends])
def test_an_export_carries_its_agreement_with_the_weights_and_its_lineage(
    to: str, weights_bundle: Bundle, tmp_path: Path
) -> None:
    exported = export_bundle(weights_bundle, to, tmp_path / "out")
    assert open_bundle(tmp_path / "out", verify=True) == exported
    assert exported.model.form == to
    assert exported.model.agreement
    assert exported.model.agreement.relative_diff <= TOLERANCES["float32"]
    (step,) = exported.model.lineage
    assert (step.verb, step.parent) == ("export", weights_bundle.model.digest)
    assert set(step.tools) == set(FORMS[to].tools)
    session, parent = open_session(exported), open_session(weights_bundle)
    pixels = probe_pixels(weights_bundle)
    np.testing.assert_allclose(session(pixels), parent(pixels), atol=1e-4)


def test_an_export_that_differs_is_not_written(
    weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_another_bias(monkeypatch)
    with pytest.raises(CheckFailed, match=r"nothing was written: .* it first differs at head\.classifier, by"):
        export_bundle(weights_bundle, "onnx", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_refused(weights_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown form to export 'onxn'; did you mean onnx"):
        export_bundle(weights_bundle, "onxn", tmp_path / "out")


def test_a_graph_is_not_exported_to_what_only_weights_become(onnx_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="export from the bundle of weights"):
        export_bundle(onnx_bundle, "pt2", tmp_path / "out")


def test_a_taken_place_is_refused_before_any_work(weights_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is not a bundle"):
        export_bundle(weights_bundle, "onnx", tmp_path)


def test_preprocessing_without_a_fixed_size_is_refused(weights_bundle: Bundle, tmp_path: Path) -> None:
    preprocess = msgspec.structs.replace(weights_bundle.model.preprocess, crop=None)
    model = msgspec.structs.replace(weights_bundle.model, preprocess=preprocess)
    files = {"weights.safetensors": weights_bundle.main_file}
    free = write_bundle(tmp_path / "free", model, weights_bundle.labels, files)
    with pytest.raises(UsageError, match="fixes no input size"):
        export_bundle(free, "onnx", tmp_path / "out")
    exported = export_bundle(free, "onnx", tmp_path / "out", options=GraphOptions(free_size=True))
    assert exported.model.agreement
    assert exported.model.agreement.sizes_px == ((64, 64), (48, 49))


def test_options_stand_in_the_bundle_and_its_session_works(weights_bundle: Bundle, tmp_path: Path) -> None:
    options = GraphOptions(opset=11, fixed_batch=3, image_input=True, probabilities=True, top_k=2, class_maps=True)
    exported = export_bundle(weights_bundle, "onnx", tmp_path / "out", options=options)
    graph = exported.model.graph
    assert graph
    assert (graph.input_name, graph.input_shape, graph.output_name) == ("image", (3, 3, 32, 32), "probabilities")
    assert (graph.input_values, graph.input_layout, graph.top_k, graph.class_maps) == ("image", "nhwc", 2, True)
    assert exported.model.lineage[-1].settings == {
        "to": "onnx",
        "opset": 11,
        "fixed_batch": 3,
        "image_input": True,
        "probabilities": True,
        "top_k": 2,
        "class_maps": True,
    }
    pixels = probe_pixels(weights_bundle)
    session, parent = open_session(exported), open_session(weights_bundle)
    np.testing.assert_allclose(softmax(run_in_batches(session, pixels, 8)), softmax(parent(pixels)), atol=1e-5)


def test_images_at_hand_are_compared_beside_the_extremes(weights_bundle: Bundle, tmp_path: Path) -> None:
    images = probe_pixels(weights_bundle, 20)[14:]
    exported = export_bundle(weights_bundle, "onnx", tmp_path / "out", pixels=images)
    assert exported.model.agreement
    assert (exported.model.agreement.samples, exported.model.agreement.sizes_px) == (PROBES + 6, ((32, 32),))


def test_a_half_precision_export_says_so(weights_bundle: Bundle, tmp_path: Path) -> None:
    exported = export_bundle(weights_bundle, "onnx", tmp_path / "out", options=GraphOptions(precision="float16"))
    assert exported.model.precision == "float16"
    assert exported.model.agreement
    assert TOLERANCES["float32"] < exported.model.agreement.relative_diff <= TOLERANCES["float16"]


def test_an_option_that_a_format_has_not_is_refused(
    weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMS, "onnx", replace(FORMS["onnx"], options=frozenset({"fixed_batch"})))
    with pytest.raises(UsageError, match="onnx has no --probabilities or --top-k; it takes --fixed-batch"):
        export_bundle(
            weights_bundle, "onnx", tmp_path / "out", options=GraphOptions(probabilities=True, top_k=1, fixed_batch=2)
        )
