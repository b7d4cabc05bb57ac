import sys
from pathlib import Path

import pytest

from benchmarks.contenders.process import Broken, Process

LATE_LAST_WORDS = """
import os, sys
sys.stdin.readline()
os.close(1)
sum(range(3_000_000))
sys.exit("the device is gone")
"""


def test_last_words_that_come_after_the_pipe_is_closed_are_heard(tmp_path: Path) -> None:
    with (
        Process([sys.executable, "-c", LATE_LAST_WORDS], tmp_path / "log") as process,
        pytest.raises(Broken, match="ended with status 1: the device is gone"),
    ):
        process.ask("infer")
