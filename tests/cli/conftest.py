"""Running the command, in this process or in one of its own."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.convert.checkpoints import drawn, write_safetensors
from tests.convert.file_server import FileServer, Served, serving
from tests.support.samples import HANG_S
from xception.cli.app import run

Completed = subprocess.CompletedProcess[str]
Command = Callable[..., Completed]

XCEPTION = (sys.executable, "-m", "xception")


def command_line(*arguments: str | Path) -> list[str]:
    return [*XCEPTION, *map(str, arguments)]


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables of a terminal of known width, and of a cache of the tests' own."""
    return {"COLUMNS": "100", "NO_COLOR": "1", "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """A hub on this machine, which the environment names. It has a narrow network in the place of the published weights
    that the pages name."""
    folder = tmp_path_factory.mktemp("hub")
    file = write_safetensors(folder / "model.safetensors", drawn("timm_xception65", num_classes=1000))
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "XCEPTION_OFFLINE"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_ENDPOINT", server.url)
        for name, content in {"config.json": b"{}", file.name: file.read_bytes()}.items():
            server.files[f"/timm/xception65.ra3_in1k/resolve/main/{name}"] = Served(content)
        yield server


@pytest.fixture(scope="session")
def xception(surroundings: dict[str, str]) -> Command:
    """Run one command in this process, which takes a tenth of the time; stdout and stderr are captured."""

    def call(*arguments: str | Path, cwd: Path | None = None) -> Completed:
        out, errors, words = io.StringIO(), io.StringIO(), [str(argument) for argument in arguments]
        with (
            pytest.MonkeyPatch.context() as patch,
            chdir(cwd) if cwd else nullcontext(),
            redirect_stdout(out),
            redirect_stderr(errors),
        ):
            for name, value in surroundings.items():
                patch.setenv(name, value)
            code = run(words)
        return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())

    return call


@pytest.fixture(scope="session")
def process(surroundings: dict[str, str]) -> Command:
    """Run one command as a user does, in a process of its own; stdout and stderr are captured."""

    def call(*arguments: str | Path, cwd: Path | None = None) -> Completed:
        return subprocess.run(
            command_line(*arguments),
            capture_output=True,
            text=True,
            cwd=cwd,
            env=os.environ | surroundings,
            timeout=HANG_S,
            check=False,
        )

    return call
