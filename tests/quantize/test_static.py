from pathlib import Path

import pytest

from tests.samples import labelled
from xception.backends.base import open_session
from xception.bundle import Bundle, open_bundle
from xception.errors import CheckFailed, InputError, UsageError
from xception.quantize.static import CalibrationReader, quantize_bundle

SOURCE = labelled(60)


def test_int8_within_the_tolerance_is_written_with_its_verdict(onnx_bundle: Bundle, tmp_path: Path) -> None:
    written, report = quantize_bundle(onnx_bundle, SOURCE, tmp_path / "int8", images=20, tolerance=1.0)
    assert open_bundle(tmp_path / "int8", verify=True) == written
    (verdict,) = report.verdicts
    assert (verdict.method, verdict.passed, written.model.passed_gate) == ("max", True, True)
    assert verdict.candidate.total == verdict.parent.total == 40
    assert (written.model.precision, written.model.form) == ("int8", "onnx")
    assert written.model.metrics == {"pictures": verdict.candidate.score()}
    assert written.model.agreement
    assert written.model.agreement.relative_diff > 1e-4
    assert written.model.lineage[-1].parent == onnx_bundle.model.digest
    assert open_session(written).num_classes == 7


def test_int8_beyond_the_tolerance_is_not_written(onnx_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="int8 by max"):
        quantize_bundle(onnx_bundle, SOURCE, tmp_path / "int8", images=20, method="max", tolerance=-1.0)
    assert not list(tmp_path.iterdir())


def test_a_failed_model_may_be_kept_and_is_marked(onnx_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="is marked as failed"):
        quantize_bundle(onnx_bundle, SOURCE, tmp_path / "q", images=20, method="max", tolerance=-1.0, keep_failed=True)
    assert open_bundle(tmp_path / "q", verify=True).model.passed_gate is False


def test_only_float32_graphs_are_quantized(weights_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="xception export --to onnx first"):
        quantize_bundle(weights_bundle, SOURCE, tmp_path / "q")


def test_calibration_and_validation_must_not_share_an_image(onnx_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in both the calibration and the validation data"):
        quantize_bundle(onnx_bundle, SOURCE, tmp_path / "q", validation=labelled(10), images=60)


def test_calibration_must_leave_images_to_judge_on(onnx_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves none to judge the result on"):
        quantize_bundle(onnx_bundle, SOURCE, tmp_path / "q", images=60)


def test_a_calibration_image_that_cannot_be_read_is_named(onnx_bundle: Bundle) -> None:
    reader = CalibrationReader(onnx_bundle, labelled(3, broken=(1,)))
    batch = reader.get_next()
    assert batch
    assert batch["pixels"].shape == (1, 3, 32, 32)
    with pytest.raises(InputError, match="calibration image 001 cannot be used"):
        reader.get_next()
