"""The script that runs a LiteRT file once ends well on sound files, and on those that LiteRT refuses in words."""

import subprocess
import sys
from pathlib import Path

import pytest

from xception.bundle import Bundle
from xception.upstream import litert_trial


def exit_code(file: Path) -> int:
    return subprocess.run([sys.executable, litert_trial.__file__, str(file)], check=False).returncode


def test_a_sound_file_is_computed(forms: dict[str, Bundle]) -> None:
    litert_trial.run_once(str(forms["litert"].main_file))
    assert exit_code(forms["litert"].main_file) == 0


def test_an_error_in_words_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"[Mm]odel"):
        litert_trial.run_once(str(tmp_path / "model.tflite"))
    assert exit_code(tmp_path / "model.tflite") == 0
