import sys
from pathlib import Path

import numpy as np
import pytest

from tests.export import mindspore_double
from tests.export.contract import PYTHON
from tests.export.planted import with_another_bias
from tests.export.test_onnx import preprocess
from tests.support.samples import drawn_tensors
from xception.arch.variants import architecture
from xception.bundle import Bundle
from xception.errors import CheckFailed, EnvironmentFault, UsageError
from xception.export import mindir
from xception.export.export import export_bundle
from xception.export.program import GraphOptions, program
from xception.export.torch import network_values
from xception.upstream.interpreter import run_script

pytestmark = pytest.mark.usefixtures("mindspore")


@pytest.mark.parametrize(
    "name", ["keras_xception", "timm_xception65p", "ppcls_xception41_deeplab", "gluon_xception65", "mini_xception"]
)
def test_the_cells_compute_the_network(name: str, tmp_path: Path) -> None:
    spec = architecture(name, width=0.05, num_classes=6)
    tensors = drawn_tensors(spec)
    mindir.mindir_files(program(spec, tensors, preprocess(spec), GraphOptions(free_size=True)), PYTHON)
    pixels = np.random.default_rng(0).normal(size=(2, spec.in_channels, 48, 47)).astype(np.float32)
    *_, expected = network_values(spec, tensors, pixels).values()
    (logits,) = mindspore_double.exported[-1](mindspore_double.Tensor(pixels))
    np.testing.assert_allclose(logits.asnumpy(), expected, atol=2e-5 * np.abs(expected).max())


def test_an_export_is_run_by_a_second_process_and_compared(weights_bundle: Bundle, tmp_path: Path) -> None:
    options = GraphOptions(image_input=True, probabilities=True, top_k=2, class_maps=True)
    exported = export_bundle(weights_bundle, "mindir", tmp_path / "out", options=options, upstream_python=PYTHON)
    assert exported.main_file.read_bytes().endswith(b"[None, 32, 32, 3] uint8")
    assert exported.model.lineage[-1].tools == {"mindspore": "2.10.0", "numpy": np.__version__}
    assert exported.model.agreement
    assert exported.model.agreement.relative_diff < 1e-5


def test_a_wrong_number_is_noticed(weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_another_bias(monkeypatch)
    with pytest.raises(CheckFailed, match="the mindir graph differs from the weights"):
        export_bundle(weights_bundle, "mindir", tmp_path / "out", upstream_python=PYTHON)


def test_an_interpreter_is_asked_for_where_it_is_needed_and_only_there(weights_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mindir needs an environment of its own; pass .* --upstream-python"):
        export_bundle(weights_bundle, "mindir", tmp_path / "out")
    with pytest.raises(UsageError, match="onnx is written by this interpreter; pass no --upstream-python"):
        export_bundle(weights_bundle, "onnx", tmp_path / "out", upstream_python=PYTHON)


def test_an_interpreter_without_mindspore_is_named(
    weights_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mindir, "run_script", run_script)
    with pytest.raises(EnvironmentFault, match="MindSpore did not write the file: ModuleNotFoundError"):
        export_bundle(weights_bundle, "mindir", tmp_path / "out", upstream_python=sys.executable)
