from pathlib import Path

import numpy as np
import pytest

from tests.export.requests import export_to
from tests.support.reader import HELD_OUT
from xception.backends.base import open_session, run_in_batches
from xception.backends.graphs import describe_graph
from xception.bundle import Bundle, open_bundle
from xception.data.digits import digits
from xception.errors import CheckFailed, UsageError
from xception.export import regraph
from xception.export.export import export_bundle
from xception.export.program import GraphOptions
from xception.export.regraph import graph_in_form
from xception.forms import Form, quantizable
from xception.quantize.quantize import quantize_bundle
from xception.tasks.agreement import data_pixels


@pytest.fixture(scope="module")
def int8(reader_weights: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("int8") / "bundle"
    train = digits("train")
    written, _ = quantize_bundle(
        reader_weights, train, place, validation=HELD_OUT, images=40, method="max", tolerance=0.03
    )
    return written


def test_litert_takes_channels_last_and_the_others_stay(onnx_bundle: Bundle) -> None:
    model = onnx_bundle.model
    assert graph_in_form(model, "openvino") == model.graph
    found = graph_in_form(model, "litert")
    assert found
    assert (found.input_layout, found.input_shape) == ("nhwc", onnx_bundle.graph.input_shape)


@pytest.mark.parametrize("to", quantizable())
def test_int8_goes_to_every_form_that_knows_it(to: Form, int8: Bundle, tmp_path: Path) -> None:
    exported = export_bundle(int8, to, tmp_path / "out", options=GraphOptions(fixed_batch=4, output_name="mood"))
    assert (exported.model.form, exported.model.precision) == (to, "int8")
    assert [step.verb for step in exported.model.lineage][-2:] == ["quantize", "export"]
    assert exported.model.lineage[-1].parent == int8.model.digest
    ports = describe_graph(exported.main_file)
    assert [port.shape[0] for port in ports.inputs or ()] == [4]
    assert [port.name for port in ports.outputs or ()] == ["mood"]
    pixels = data_pixels(HELD_OUT, int8.model.preprocess, 40)
    ours, theirs = (run_in_batches(open_session(bundle), pixels, 4) for bundle in (exported, int8))
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.95
    if to == "onnx":
        assert np.abs(ours - theirs).max() < 1e-5


def test_triton_serves_int8(int8: Bundle, tmp_path: Path) -> None:
    out = export_to(int8, "triton", tmp_path / "digits")
    assert open_bundle(out / "1").model.precision == "int8"


def test_a_float_graph_goes_to_other_forms_too(reader: Bundle, tmp_path: Path) -> None:
    exported = export_bundle(reader, "openvino", tmp_path / "out")
    assert exported.model.agreement
    assert exported.model.agreement.relative_diff < 1e-5


def test_what_only_weights_can_become_is_refused(int8: Bundle, tmp_path: Path) -> None:
    for to in ("torchscript", "timm"):
        with pytest.raises(UsageError, match="export from the bundle of weights"):
            export_to(int8, to, tmp_path / "out")
    with pytest.raises(UsageError, match="a finished graph as onnx has no --image-input"):
        export_bundle(int8, "onnx", tmp_path / "out", options=GraphOptions(image_input=True))
    fixed = export_bundle(int8, "onnx", tmp_path / "fixed", options=GraphOptions(fixed_batch=2))
    with pytest.raises(UsageError, match="takes 2 images, not 3"):
        export_bundle(fixed, "onnx", tmp_path / "out", options=GraphOptions(fixed_batch=3))


def test_a_graph_that_computes_something_else_is_not_written(
    int8: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(bundle: Bundle, probes: object) -> np.ndarray:
        logits = original(bundle, probes)
        return logits if bundle is int8 else logits[:, ::-1]

    original = regraph._logits
    monkeypatch.setattr(regraph, "_logits", spoilt)
    with pytest.raises(CheckFailed, match="nothing was written: the openvino graph differs from that of"):
        export_bundle(int8, "openvino", tmp_path / "out")
    assert not list(tmp_path.iterdir())
