"""The comparison of ONNX files in other programs, with programs that are played."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import onnx_consumers
from benchmarks.onnx_consumers import _answer, markdown, opsets


def test_an_answer_is_measured_by_the_largest_logit(tmp_path: Path) -> None:
    np.save(tmp_path / "13-int8.opencv.npy", np.array([1.0, 4.5]))
    assert _answer(tmp_path, "13-int8", "opencv", np.array([[1.0, -5.0]])) == pytest.approx(1.9)


def test_a_program_that_does_not_read_a_graph_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "13-int8.opencv.txt").write_text("trace\nunknown input", encoding="utf-8")
    assert _answer(tmp_path, "13-int8", "opencv", np.ones((1, 2))) == "unknown input"


def test_opsets_that_the_runtime_cannot_open_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_consumers, "newest_opset", lambda: 19)
    assert opsets() == [13, 17, 19]


def test_the_table_has_a_line_for_each_variant_and_opset() -> None:
    cell = {"opencv": 1e-7, "onnxslim": 0.0, "reference": "refused"}
    facts = {"date": "2026-01-01", "environment": {}, "programs": {}, "width": 0.1, "px": 64}
    table = markdown({**facts, "rows": {"v": {"13": {"float32": cell, "int8": cell}}}})
    assert "| `v` | 13 | 1.0e-07 | 0.0e+00 | not read | 1.0e-07 | 0.0e+00 | not read |" in table
    assert "- reference evaluator, int8, opset 13: refused" in table
