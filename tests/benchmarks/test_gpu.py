import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_inference import correctness
from benchmarks.gpu_inference.scale import Scale, smoke
from benchmarks.gpu_inference.table import page
from benchmarks.gpu_inference.ways import WAYS, Way
from xception.backends import torch_compiled
from xception.backends.base import InferPrecision
from xception.backends.torch_compiled import CompiledSession


@pytest.fixture(autouse=True)
def _quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of torch's compiler but the code that it writes, which takes seconds."""
    monkeypatch.setattr(torch_compiled, "COMPILER", "aot_eager")


def run(out: Path, minutes: float, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setattr("sys.argv", ["gpu.py", "--smoke", "--out", str(out), "--minutes", str(minutes)])
    gpu.main()
    return json.loads(out.read_text())


@pytest.mark.slow
def test_the_script_runs_through_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = run(tmp_path / "gpu.json", 30, monkeypatch)
    failed = {name for name, found in document["steps"].items() if str(found).startswith("FAILED")}
    assert failed == set()
    missing = {row["way"] for row in document["rows"] if "reason" in row}
    assert missing == {name for name in gpu.COMPARED + gpu.ALONE if name.startswith("timm")}
    assert all(row["images_per_second"] > 0 for row in document["rows"] if "reason" not in row)
    assert "needs a GPU" in capsys.readouterr().out


def test_what_finds_no_time_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = run(tmp_path / "gpu.json", 0, monkeypatch)
    assert {*document["steps"].values()} == {"no time is left"}
    assert document["rows"] == []


def test_the_page_holds_what_was_measured() -> None:
    row = {
        "way": "xception",
        "precision": "bfloat16",
        "batch": 2,
        "images_per_second": 1234.5,
        "ms": 1.6,
        "spread": 0.02,
    }
    rows = [
        row | {"roofline": 0.6, "logit_error": 0.004},
        {"way": "b", "precision": "tf32", "batch": 1, "reason": "no | kernel"},
    ]
    text = page({"steps": {"environment": {"gpu": "H100"}, "check, threads": "the same bits"}, "rows": rows})
    assert "| xception | bfloat16 | 2 | 1,234 | 1.600 | 2.0% | 60% | 4.0e-03 |" in text
    assert "| b | tf32 | 1 | no / kernel | | | | |" in text
    assert "- threads: the same bits" in text
    assert "gpu H100" in text
    assert text.endswith("not measured\n")


def test_a_step_that_fails_is_told_and_the_next_one_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measurement = gpu.Measurement(smoke(), math.inf, tmp_path / "gpu.json")
    measurement.step("broken", lambda: 1 / 0)
    measurement.step("whole", lambda: "done")
    assert "ZeroDivisionError" in measurement.document["steps"]["broken"]
    assert capsys.readouterr().out.rstrip().endswith("whole: done")


def test_a_way_that_fails_leaves_the_others_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Way:
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(WAYS, "broken", broken)
    measurement = gpu.Measurement(smoke(), math.inf, tmp_path / "gpu.json")
    measurement.compare(("broken", "xception, eager, pixels on the device"), "float32", 2)
    broken_row, row = measurement.document["rows"]
    assert "no such kernel" in broken_row["reason"]
    assert row["logit_error"] < 1e-5


def test_the_checks_would_notice_other_logits() -> None:
    class Shifted(Scale):
        def session(self, precision: InferPrecision = "float32", instances: int = 2) -> CompiledSession:
            opened = super().session(precision, instances)
            opened.network.mean += 0.1
            return opened

    scale = Shifted(**vars(smoke()))
    with pytest.raises(RuntimeError, match="logits differ"):
        correctness.precision(scale, "float32")


@pytest.mark.parametrize("name", ["bfloat16", "threads", "compiling fails", "wrong device"])
def test_the_checks_pass_on_a_cpu(name: str) -> None:
    assert correctness.CHECKS[name](smoke())


def test_without_a_gpu_the_full_run_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here"):
        gpu.main()
