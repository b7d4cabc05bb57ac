"""Training from the command line: killed at any moment, resumed, and the same to the last bit."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Command, command_line

SMALL = [
    f"--set={change}"
    for change in ("epochs=3", "model.width=0.5", "preprocess.resize.width_px=24", "preprocess.resize.height_px=24")
]
MOMENTS_S = (2.5, 3.5, 4.5)
"""Around the start of the loop, inside it, and near its end on an idle machine; anywhere on a busy one."""


def weights(run: Path) -> bytes:
    return (run / "bundle" / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(xception: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    result = xception("train", "digits", *SMALL, "--out", run)
    assert result.returncode == 0, result.stderr
    return run


def test_a_killed_run_resumes_to_the_same_bits(uninterrupted: Path, xception: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ("train", "digits", *SMALL, "--out", run, "--resume")
    for moment in MOMENTS_S:
        process = subprocess.Popen(command_line(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    result = xception(*arguments, "--workers", "1")
    assert result.returncode == 0, result.stderr
    assert weights(run) == weights(uninterrupted)


def test_another_seed_gives_other_weights(uninterrupted: Path, xception: Command, tmp_path: Path) -> None:
    xception("train", "digits", *SMALL, "--set", "seed=1", "--out", tmp_path / "run")
    assert weights(tmp_path / "run") != weights(uninterrupted)


def test_a_finished_run_is_not_trained_again(uninterrupted: Path, xception: Command) -> None:
    before = (uninterrupted / "bundle" / "model.json").stat().st_mtime_ns
    assert xception("train", "digits", *SMALL, "--out", uninterrupted, "--resume").returncode == 0
    assert (uninterrupted / "bundle" / "model.json").stat().st_mtime_ns == before


def test_a_folder_in_use_is_refused_without_resume(uninterrupted: Path, xception: Command) -> None:
    result = xception("train", "digits", *SMALL, "--out", uninterrupted)
    assert result.returncode == 3
    assert "--resume" in result.stderr
