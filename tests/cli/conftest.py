"""Running the command as a user does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.samples import HANG_S

Command = Callable[..., "subprocess.CompletedProcess[str]"]

XCEPTION = (sys.executable, "-m", "xception.cli.app")


def command_line(*arguments: str | Path) -> list[str]:
    return [*XCEPTION, *map(str, arguments)]


@pytest.fixture(scope="session")
def xception(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run one command in a process of its own; stdout and stderr are captured."""

    cache = str(tmp_path_factory.mktemp("cache"))

    def call(*arguments: str | Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "XDG_CACHE_HOME": cache}
        return subprocess.run(
            command_line(*arguments),
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
            timeout=HANG_S,
            check=False,
        )

    return call
