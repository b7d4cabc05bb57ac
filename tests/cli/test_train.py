"""Training from the command line: stopped or killed, resumed, and the same to the last bit."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Completed
from tests.cli.signalled import after_step
from tests.cli.test_layout import WIDTHS, broken, without_paths
from tests.support.samples import HANG_S, write_folder
from xception.cli import training_display as module
from xception.cli.app import main
from xception.cli.train import train
from xception.errors import MissingExtra, UsageError
from xception.train.interruption import Stopped

SMALL = [
    f"--set={change}"
    for change in ("epochs=2", "model.width=0.25", "preprocess.resize.width_px=16", "preprocess.resize.height_px=16")
]
STEPS_PER_EPOCH = 34
STOPPED = re.compile(r"stopped by SIGTERM after step 41; .* holds the run, which --resume continues\n")


def weights(run: Path) -> bytes:
    return (run / "bundle" / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(xception: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    result = xception("train", "digits", *SMALL, "--out", run)
    assert result.returncode == 0, result.stderr
    return run


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_finished_run_is_not_trained_again_and_its_figures_fit_the_screen(
    columns: int,
    uninterrupted: Path,
    xception: Command,
    surroundings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(surroundings, "COLUMNS", str(columns))
    before = (uninterrupted / "bundle" / "model.json").stat().st_mtime_ns
    done = xception("train", "digits", *SMALL, "--out", uninterrupted, "--resume")
    assert done.returncode == 0
    assert "top-1 on digits:validation" in done.stdout
    shown = done.stdout.replace(str(uninterrupted), "runs/digits")
    assert broken(without_paths(shown), columns) == []
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
    assert f"{2 * STEPS_PER_EPOCH} = 2 epochs of {STEPS_PER_EPOCH}" in facts
    assert "optim.lr " in facts
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a recipe or a folder of images, .* or --rerun"),
        ({"recipe": "digits", "rerun": "runs/a"}, "expected one of them"),
        ({"recipe": "digits", "workers": -1}, "workers is -1; expected at least 0"),
        ({"recipe": "digits", "keep": 0}, "keep is 0; expected at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: dict[str, object], message: str) -> None:
    recipe = arguments.pop("recipe", None)
    with pytest.raises(UsageError, match=message):
        train(recipe, **arguments)


def test_of_several_processes_the_first_says_that_they_were_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped("stopped by SIGTERM after step 3")

    monkeypatch.setattr("xception.train.trainer.train_network", stopped)
    for rank, said in (("0", "stopped by SIGTERM after step 3"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as ending:
            main(["train", "digits", "--out", str(tmp_path / "run")])
        assert ending.value.code == 130
        assert said in (printed := capsys.readouterr().err)
        assert said or not printed


def test_a_repeated_run_searches_for_no_rate(uninterrupted: Path) -> None:
    with pytest.raises(UsageError, match="expected no --find-lr"):
        train(rerun=str(uninterrupted), find_lr=True)


def test_a_repeated_run_takes_places_and_nothing_else(uninterrupted: Path) -> None:
    with pytest.raises(UsageError, match=r"seed=1 would change it; expected only the places data\.source"):
        train(rerun=str(uninterrupted), set_=("seed=1",))


def test_a_run_with_relative_places_is_repeated_from_another_folder(
    xception: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "d", 5)
    for recipe, out in (("digits", "first"), ("finetune", "second")):
        start = ["--from", "first/bundle", "--set=batch_size=8"] if recipe == "finetune" else SMALL
        result = xception("train", recipe, *start, "--set=epochs=1", "--data", "d", "--out", out)
        assert result.returncode == 0, result.stderr
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert xception("train", "--rerun", "../second", "--out", "again").returncode == 0
    assert weights(tmp_path / "elsewhere" / "again") == weights(tmp_path / "second")


@pytest.mark.parametrize("layout", ["one folder", "two folders", "validation", "fold"])
def test_the_next_command_judges_by_images_that_were_not_trained_on(
    layout: str, xception: Command, tmp_path: Path
) -> None:
    data, extra = tmp_path / "d", []
    write_folder(data / "train" if layout == "two folders" else data, 10)
    if layout == "two folders":
        write_folder(data / "val", 1)
    if layout == "validation":
        extra = [f"--set=data.validation={write_folder(tmp_path / 'v', 2)}"]
    if layout == "fold":
        extra = ["--fold", "2/5"]
    result = xception("train", "digits", *SMALL, "--set=epochs=1", "--data", data, *extra, "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    command = result.stderr.rpartition("next: xception ")[2].split()
    judged = xception(*command, "--json")
    assert judged.returncode == 0, judged.stderr
    recorded = json.loads((tmp_path / "run" / "bundle" / "model.json").read_text())["metrics"]
    assert json.loads(judged.stdout)["top1"] == next(iter(recorded.values()))["top1"]


def test_sigterm_saves_says_so_and_the_run_goes_on(
    uninterrupted: Path, xception: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(module, "TrainingDisplay", after_step(40, lambda: signal.raise_signal(signal.SIGTERM)))
        stopped = xception("train", "digits", *SMALL, "--out", run)
    assert stopped.returncode == 130, stopped.stderr
    assert STOPPED.search(stopped.stderr)
    assert xception("train", "digits", *SMALL, "--out", run, "--resume").returncode == 0
    assert weights(run) == weights(uninterrupted)


def signalled(number: signal.Signals, step: int, *arguments: str | Path) -> Completed:
    """What became of a process that was sent a signal after a step."""
    command = [sys.executable, "-m", "tests.cli.signalled", number.name, str(step), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANG_S, check=False)


@pytest.mark.slow
def test_a_process_that_is_stopped_or_killed_resumes_to_the_same_bits(
    uninterrupted: Path, process: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = ("train", "digits", *SMALL, "--out", run, "--resume")
    stopped = signalled(signal.SIGTERM, 40, *arguments)
    assert stopped.returncode == 130, stopped.stderr
    assert STOPPED.search(stopped.stderr)
    killed = signalled(signal.SIGKILL, 50, *arguments)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    result = process(*arguments, "--workers", "1")
    assert result.returncode == 0, result.stderr
    assert weights(run) == weights(uninterrupted)


def test_without_what_draws_the_page_there_is_a_sentence_and_no_page(
    uninterrupted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object) -> str:
        raise MissingExtra({"jinja2": "report"})

    page = uninterrupted / "report.html"
    page.unlink()
    monkeypatch.setattr("xception.report.training.render_training", missing)
    train("digits", set_=tuple(change.removeprefix("--set=") for change in SMALL), out=str(uninterrupted), resume=True)
    assert "no page was written: " in capsys.readouterr().err
    assert not page.exists()


def test_a_folder_of_photos_is_trained_on_with_the_reasons_said(
    xception: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = write_folder(tmp_path / "cats", 10, ("tabby", "tiger"))
    result = xception("train", photos, "--set=epochs=1", "--set=model.width=0.25")
    assert result.returncode == 0, result.stderr
    for said in ("recipe photos: ", "60 epochs of 1 steps with 16 images", "only 2 images each of tabby, tiger"):
        assert said in result.stderr
    assert "next: xception evaluate runs/cats/bundle " in result.stderr
    assert (tmp_path / "runs" / "cats" / "bundle" / "model.json").exists()
    assert "balanced accuracy" not in result.stdout


def test_a_run_on_skewed_photos_says_how_the_rarest_class_fares(
    xception: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = write_folder(tmp_path / "cats", 5, ("tiger",))
    write_folder(photos, 40, ("tabby",))
    result = xception("train", photos, "--set=epochs=1", "--set=model.width=0.25")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^balanced accuracy +\d+\.\d\d%$", result.stdout, re.MULTILINE)
    assert re.search(r"^recall of tiger +.*, [01] of 1$", result.stdout, re.MULTILINE)
