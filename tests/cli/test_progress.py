"""Waits at a terminal: a sign of life on stderr, nothing of it on stdout, and nothing where no terminal is."""

import os
import pty
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.support.samples import write_folder
from xception import waits
from xception.bundle import Bundle
from xception.cli import progress
from xception.cli.app import run
from xception.cli.progress import DISPLAY, progress_bar, sign_of_life

COLOURS = tuple(f"\x1b[{code}m" for code in (31, 32, 33, 34, 35, 36))


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, stream: str) -> Iterator[Callable[[], str]]:
    """A pseudo-terminal in the place of a stream; the function it gives waits for the end, and returns what came."""
    ours, theirs = pty.openpty()
    came = bytearray()

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                return
            if not part:
                return
            came.extend(part)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    file = os.fdopen(theirs, "w")

    def end() -> str:
        file.flush()
        file.close()
        reader.join(10)
        return came.decode()

    with monkeypatch.context() as patch:
        patch.setattr(sys, stream, file)
        patch.setenv("TERM", "xterm-256color")
        patch.setattr(progress, "SHOWN_AFTER_S", 0)
        yield end
    os.close(ours)


VERBS = {
    "info": ("info", "BUNDLE"),
    "evaluate": ("evaluate", "BUNDLE", "FOLDER"),
    "predict": ("predict", "BUNDLE", "FOLDER"),
    "compare": ("compare", "BUNDLE", "WEIGHTS", "FOLDER"),
    "export": ("export", "WEIGHTS", "--to", "onnx", "--out", "OUT"),
    "data check": ("data", "check", "FOLDER"),
    "prove": ("prove", "BUNDLE", "--as", "BUNDLE"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_wait_shows_a_sign_of_life_and_leaves_the_result_as_it_is(
    verb: str,
    forms: dict[str, Bundle],
    tmp_path: Path,
    xception: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write_folder(tmp_path / "data", 1)
    places = {"BUNDLE": forms["onnx"].path, "WEIGHTS": forms["weights"].path, "FOLDER": folder, "OUT": tmp_path / "out"}
    words = [str(places.get(word, word)) for word in VERBS[verb]]
    monkeypatch.setattr(threading.Timer, "start", lambda timer: timer.function())
    monkeypatch.setattr(threading.Timer, "join", lambda _: None)
    monkeypatch.setenv("COLUMNS", "100")
    with terminal(monkeypatch, "stderr") as end:
        assert run(words) == 0
        shown = end()
    assert f"{verb}: at work" in shown
    result = capsys.readouterr().out
    assert "at work" not in result
    assert "\x1b" not in result
    if verb not in ("export", "info"):
        assert result == xception(*words).stdout


def test_nothing_is_shown_where_stderr_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0)
    with sign_of_life("at work"), progress_bar() as bar:
        bar.add_task("reading", total=3)
        bar.refresh()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_is_heeded(no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    with terminal(monkeypatch, "stderr") as end:
        with progress_bar() as bar:
            bar.add_task("reading", total=3, completed=1)
            bar.refresh()
        shown = end()
    assert "reading" in shown
    is_coloured = "\x1b[38;5;" in shown or any(code in shown for code in COLOURS)
    assert is_coloured is not bool(no_color)


def test_a_bar_of_its_own_takes_the_place_of_the_sign_and_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "stderr") as end:
        with sign_of_life("at work"):
            with progress_bar() as bar:
                bar.add_task("reading", total=3)
                assert [task.description for task in bar.tasks if task.visible] == ["reading"]
            assert [task.description for task in bar.tasks if task.visible] == ["at work"]
            bar.refresh()
        assert DISPLAY.get() is None
        shown = end()
    assert "at work" in shown


def test_a_wait_within_a_command_shows_its_count_in_place_of_the_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "stderr") as end:
        with sign_of_life("predict: at work"):
            display = DISPLAY.get()
            assert display is not None
            with waits.counted("hashing model.onnx", 91_600_000, "bytes") as advance:
                advance(45_800_000)
                assert [task.description for task in display.tasks if task.visible] == ["hashing model.onnx"]
                display.start()
                display.refresh()
            assert [task.description for task in display.tasks if task.visible] == ["predict: at work"]
        shown = end()
    assert "hashing model.onnx" in shown
    assert "45.8/91.6 MB" in shown


def test_a_hidden_task_stays_hidden_behind_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "stderr") as end:
        with sign_of_life("at work"), progress_bar() as bar:
            fetching = bar.add_task("fetching", total=None, visible=False)
            with waits.counted("listing", None) as advance:
                advance(1)
            assert not bar.tasks[bar.task_ids.index(fetching)].visible
        end()


@pytest.mark.parametrize(
    ("done", "total", "unit", "shown"),
    [
        (0, None, "", ""),
        (0, 1_281_167, "", "0/1,281,167"),
        (2560, None, "", "2,560"),
        (1_500_000, None, "bytes", "1.5 MB"),
        (45_800_000, 91_600_000, "bytes", "45.8/91.6 MB"),
    ],
)
def test_counts_are_shown_in_their_unit(done: int, total: int | None, unit: waits.Unit, shown: str) -> None:
    assert progress.counts(done, total, unit) == shown


def test_a_command_that_is_done_at_once_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "stderr") as end:
        monkeypatch.setattr(progress, "SHOWN_AFTER_S", 1000)
        with sign_of_life("at work"):
            pass
        assert end() == ""
