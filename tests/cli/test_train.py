"""Training from the command line: killed at any moment, resumed, and the same to the last bit."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Command, command_line
from xception.cli.train import train
from xception.errors import UsageError

SMALL = [
    f"--set={change}"
    for change in ("epochs=3", "model.width=0.5", "preprocess.resize.width_px=24", "preprocess.resize.height_px=24")
]
MOMENTS_S = (3.5,)
"""Inside the loop on an idle machine, anywhere on a busy one; tests/attacks kills more often."""


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


def test_a_finished_run_is_not_trained_again(uninterrupted: Path, xception: Command) -> None:
    before = (uninterrupted / "bundle" / "model.json").stat().st_mtime_ns
    assert xception("train", "digits", *SMALL, "--out", uninterrupted, "--resume").returncode == 0
    assert (uninterrupted / "bundle" / "model.json").stat().st_mtime_ns == before


def test_a_folder_in_use_is_refused_without_resume(uninterrupted: Path, xception: Command) -> None:
    result = xception("train", "digits", *SMALL, "--out", uninterrupted)
    assert result.returncode == 3
    assert "--resume" in result.stderr


def test_a_run_is_repeated_from_its_folder_to_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    train(rerun=str(uninterrupted), out=str(tmp_path / "again"))
    assert weights(tmp_path / "again") == weights(uninterrupted)
    assert "ms_per_step" in (tmp_path / "again" / "log.csv").read_text()
    assert "<svg" in (tmp_path / "again" / "report.html").read_text()


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train(rerun=str(uninterrupted), dry_run=True)
    facts = capsys.readouterr().out
    assert "102 = 3 epochs of 34" in facts
    assert "optim.lr " in facts
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a recipe, or --rerun"),
        ({"recipe": "digits", "rerun": "runs/a"}, "expected one of them"),
        ({"rerun": "runs/a", "set_": ("seed=1",)}, "leave --set and --from out"),
        ({"recipe": "digits", "workers": 0}, "at least 1"),
        ({"recipe": "digits", "keep": 0}, "at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: dict[str, object], message: str) -> None:
    recipe = arguments.pop("recipe", None)
    with pytest.raises(UsageError, match=message):
        train(recipe, **arguments)  # type: ignore[arg-type]


def test_sigterm_saves_says_so_and_the_run_goes_on(uninterrupted: Path, xception: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        command_line("train", "digits", *SMALL, "--out", run),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        # On a busy machine a line on the steps so far may come first.
        assert any(line.startswith("epoch 1:") for line in process.stderr)
        process.terminate()
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert re.search(r"stopped by SIGTERM after step \d+; .* holds the run, which --resume continues\n", rest)
    assert xception("train", "digits", *SMALL, "--out", run, "--resume").returncode == 0
    assert weights(run) == weights(uninterrupted)
