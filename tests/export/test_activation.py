"""A graph that gives probabilities gives those of the model's activation, in every form."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.export.contract import PYTHON, export_to_form, logits, parent_logits
from tests.support.lanes import slow_unless
from xception.bundle import Bundle, write_bundle
from xception.errors import CheckFailed, UsageError
from xception.export import onnx
from xception.export.export import runner_of
from xception.export.verify import run_session
from xception.forms import FORMS, Form, exportable
from xception.metrics import Activation, sigmoid
from xception.tasks.agreement import probe_pixels

pytestmark = pytest.mark.usefixtures("mindspore")


def activated(like: Bundle, place: Path, activation: Activation) -> Bundle:
    model = msgspec.structs.replace(like.model, activation=activation)
    return write_bundle(place, model, like.labels, {"weights.safetensors": like.main_file})


@pytest.mark.parametrize("form", slow_unless(lambda form: form != "pt2", exportable()))
def test_probabilities_of_sigmoids_are_sigmoids(weights_bundle: Bundle, tmp_path: Path, form: Form) -> None:
    parent = activated(weights_bundle, tmp_path / "parent", "sigmoid")
    exported = export_to_form(parent, form, tmp_path / "out", probabilities=True)
    pixels = probe_pixels(exported, 4, (32, 32))
    runner = runner_of(exported, PYTHON if FORMS[form].needs_upstream_python else None)
    batches = {"some": pixels}
    outputs = runner(batches) if runner else run_session(exported, parent, batches)
    found, expected = outputs["some"]["probabilities"], parent_logits(parent, pixels)
    np.testing.assert_allclose(found, sigmoid(expected), atol=1e-5)
    assert not np.allclose(found.sum(1), 1, atol=0.05)
    # Further from 0 single precision does not tell a probability from 0 or 1.
    near = np.abs(expected) < 6
    np.testing.assert_allclose(logits(exported, pixels, parent)[near], expected[near], atol=1e-3)
    assert near.sum() > 5


def test_a_softmax_in_place_of_sigmoids_is_found(
    weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = activated(weights_bundle, tmp_path / "parent", "sigmoid")
    monkeypatch.setitem(onnx.ONNX_WRITERS, onnx.Sigmoid, onnx.ONNX_WRITERS[onnx.Softmax])  # type: ignore[attr-defined]
    with pytest.raises(CheckFailed, match="the onnx graph differs"):
        export_to_form(parent, "onnx", tmp_path / "out", probabilities=True)


def test_answers_that_are_no_probabilities_are_exported_as_logits_only(weights_bundle: Bundle, tmp_path: Path) -> None:
    parent = activated(weights_bundle, tmp_path / "parent", "none")
    with pytest.raises(UsageError, match="answers are no probabilities"):
        export_to_form(parent, "onnx", tmp_path / "out", probabilities=True)
    assert export_to_form(parent, "onnx", tmp_path / "out").model.activation == "none"
