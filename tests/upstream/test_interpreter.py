import sys
from pathlib import Path

import pytest

from xception.errors import EnvironmentFault
from xception.upstream.interpreter import MAX_COMPLAINT_CHARACTERS, run_script


def test_a_script_runs_without_our_packages_in_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    code = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(os.environ.get('PYTHONPATH', 'none'))"
    run_script([sys.executable, "-c", code, str(tmp_path / "out")], "it failed")
    assert (tmp_path / "out").read_text() == "none"


def test_a_failing_scripts_last_words_are_passed_on() -> None:
    code = "import sys; sys.exit('first\\n' + 'x' * 1000)"
    with pytest.raises(EnvironmentFault, match=f"it failed: x{{{MAX_COMPLAINT_CHARACTERS}}}; check that"):
        run_script([sys.executable, "-c", code], "it failed")


def test_an_interpreter_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"cannot be run .* expected the Python interpreter"):
        run_script([str(tmp_path / "python"), "-c", ""], "it failed")
