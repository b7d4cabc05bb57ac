"""A short siege in every test run; `kill_training.py` itself lasts as long as one likes."""

import argparse
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.attacks import kill_training
from tests.support.samples import HANG_S

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_attacked_runs_end_with_the_same_bits() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.attacks.kill_training", "--runs", "1", "--seed", "3"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert result.returncode == 0, result.stderr
    # Each run has a line too, such as `kill 0: ...`.
    lines = [line for line in result.stdout.splitlines() if " " not in line.partition(":")[0]]
    assert [line.partition(":")[0] for line in lines] == list(kill_training.ATTACKS)
    assert all("1 of 1 runs equal to the last bit" in line for line in lines)


def test_another_ending_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended_elsewhere(attack: str, settings: object, out: Path, *_: object) -> Counter[str]:
        write(out, b"b")
        return Counter()

    write(tmp_path / "whole", b"a")
    monkeypatch.setattr(kill_training, "survive", ended_elsewhere)
    settings = kill_training.recipe(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        kill_training.besiege("kill", settings, tmp_path, argparse.Namespace(runs=1, first=0, seed=0), 1.0)


def write(out: Path, content: bytes) -> None:
    (out / "bundle").mkdir(parents=True)
    (out / "bundle" / "weights.safetensors").write_bytes(content)
