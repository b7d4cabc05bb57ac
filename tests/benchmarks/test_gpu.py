import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


@pytest.mark.slow
def test_the_script_runs_through_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    monkeypatch.setattr("sys.argv", ["gpu.py", "--smoke", "--out", str(out)])
    gpu.main()
    document = json.loads(out.read_text())
    rows = document["rows"]
    assert len(rows) == len(gpu.WAYS) * len(gpu.DTYPES) * len(gpu.SMOKE.batches)
    measured = [row for row in rows if "reason" not in row]
    assert {row["way"] for row in measured} == {"xception, eager", "xception, channels_last"}
    assert all(row["images_per_second"] > 0 and row["logit_error"] < gpu.TOLERANCE for row in measured)
    assert all(row["roofline_seconds"]["fused"] <= row["roofline_seconds"]["layer by layer"] for row in measured)
    assert document["peak, bfloat16"]["flops"] > 0
    assert "needs a GPU" in capsys.readouterr().out


def rows(deadline: float) -> list[gpu.Row]:
    peak = gpu.Peak(flops=1e9, bytes=1e9)
    return list(gpu.rows(gpu.SMOKE, torch.bfloat16, peak, deadline))


def test_another_network_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(scale: gpu.Scale, pixels: torch.Tensor) -> gpu.Run:
        return lambda: torch.ones(len(pixels), 4)

    monkeypatch.setattr(gpu, "WAYS", {"wrong": wrong})
    assert all("its logits differ by" in row["reason"] for row in rows(math.inf))


def test_ways_for_which_no_time_is_left_say_so() -> None:
    assert {row["reason"] for row in rows(0.0)} == {"no time is left"}


def test_without_a_gpu_the_full_run_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here"):
        gpu.main()
