"""Commands that are proposed work in the shell that the program was started from, whether its environment is active."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from xception import invocation
from xception.platforms import shell_line, windows_line


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in the folder where the program runs, whose programs print their own names."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("xception", "pip", "python"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return programs


def answer(words: tuple[str, ...], rest: str) -> str:
    """The output of a command as the shell runs it."""
    done = subprocess.run(["sh", "-c", shell_line([*words, rest])], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@pytest.mark.parametrize("is_active", [False, True])
@pytest.mark.parametrize("called", [".venv/bin/xception", "ABSOLUTE/xception"])
def test_a_command_begins_as_the_program_was_called(
    called: str, is_active: bool, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_active:
        monkeypatch.setenv("PATH", f"{environment}{os.pathsep}{os.defpath}")
    monkeypatch.setattr(sys, "argv", [called.replace("ABSOLUTE", str(environment))])
    assert (invocation.own_program() == ("xception",)) is is_active
    assert answer(invocation.own_program(), "list") == "xception list"


def test_a_program_of_the_same_name_elsewhere_is_not_taken_for_this_one(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "xception"
    other.write_text("#!/bin/sh\necho another\n")
    other.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    monkeypatch.setattr(sys, "argv", [".venv/bin/xception"])
    assert answer(invocation.own_program(), "list") == "xception list"


def test_a_module_is_proposed_as_one_that_was_started_as_such(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/xception/__main__.py"])
    assert invocation.own_program() == (".venv/bin/python", "-m", "xception")
    assert answer(invocation.own_program(), "list") == "python -m xception list"


@pytest.mark.parametrize("other", ["/usr/bin/jupyter", "/somewhere/pytest/__main__.py"])
def test_a_library_of_another_program_names_the_command(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [other])
    assert invocation.own_program() == ("xception",)


def test_packages_are_installed_into_the_environment_that_runs(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invocation.pip() == (".venv/bin/python", "-m", "pip")
    monkeypatch.setenv("PATH", f"{environment}{os.pathsep}{os.defpath}")
    assert answer(invocation.pip(), "install") == "pip install"


def test_uv_installs_where_there_is_no_pip(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invocation, "find_spec", lambda _: None)
    assert invocation.pip() == (".venv/bin/python", "-m", "pip")
    (environment / "uv").write_text("#!/bin/sh\n")
    (environment / "uv").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{environment}{os.pathsep}{os.defpath}")
    assert invocation.pip() == ("uv", "pip", "--python", "python")


@pytest.mark.parametrize(
    ("word", "written"),
    [
        (r"runs\digits\bundle", r"runs\digits\bundle"),
        (r"C:\my photos", r'"C:\my photos"'),
        ("torch>=2.6", '"torch>=2.6"'),
        (".[torch]", '".[torch]"'),
    ],
)
def test_on_windows_double_quotes_keep_a_word_together(word: str, written: str) -> None:
    assert windows_line([word]) == written
