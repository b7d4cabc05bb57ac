"""Systems without the calls of POSIX: bundles and files are written and read there too."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules.source import FILES, ROOT
from tests.support.samples import HANG_S, encoded, picture
from xception.bundle import Bundle
from xception.platforms import is_open_to_others

IMITATION = """
import errno, os, sys, types
import multiprocessing.connection, subprocess  # they take msvcrt for a sign of the real Windows

real_open, real_fsync = os.open, os.fsync
writable = set()

def open_file(path, flags, *rest, **options):
    if isinstance(path, (str, os.PathLike)) and os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    descriptor = real_open(path, flags, *rest, **options)
    (writable.add if flags & (os.O_WRONLY | os.O_RDWR) else writable.discard)(descriptor)
    return descriptor

def fsync(descriptor):
    import builtins
    mode = [line for line in open(f"/proc/self/fdinfo/{descriptor}") if line.startswith("flags")][0]
    if not int(mode.split()[1], 8) & (os.O_WRONLY | os.O_RDWR):
        raise OSError(errno.EBADF, "Bad file descriptor")
    real_fsync(descriptor)

msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.locking = 2, lambda *_: None
sys.modules |= {"fcntl": None, "resource": None, "pwd": None, "grp": None, "msvcrt": msvcrt}
os.open, os.fsync = open_file, fsync
for name in ("sched_getaffinity", "chown", "fchmod", "O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "mkfifo", "getuid"):
    if hasattr(os, name):
        delattr(os, name)
"""
"""Windows' side of Python, put over Linux'."""

WORK = """
from pathlib import Path
from xception import machine, platforms
from xception.bundle import open_bundle, write_bundle
from xception.outputs import write_file

platforms._exchange = lambda: None  # no folders can be exchanged at once
bundle = open_bundle("{onnx}")
content = {{name: Path("{onnx}", name) for name in bundle.model.files if name.startswith("model.")}}
for overwrite in (False, True):
    write_bundle(Path("{out}"), bundle.model, bundle.labels, content, overwrite=overwrite)
assert open_bundle("{out}").model.digest == bundle.model.digest
for text in (b"old", b"new"):
    write_file(Path("{out}.txt"), text)
assert Path("{out}.txt").read_bytes() == b"new"
assert machine.cores() >= 1
assert machine.peak_memory_bytes("self", Path("/nowhere")) is None

from xception.cli.app import run
assert run(["predict", "{out}", "{image}"]) == 0
assert run(["info", "{out}"]) == 0
"""

POSIX_ONLY = re.compile(
    r"\bimport (?:resource|fcntl|pwd|grp|termios)\b|\bos\.(?:sched_\w+|chown|fork|getuid|mkfifo|setsid|killpg|O_N\w+)\b"
    r"|\bos\.open\([^)]*O_RDONLY\)|signal\.(?:SIGKILL|SIGHUP|SIGUSR\d|SIGALRM|setitimer)"
)


def test_a_bundle_is_written_and_read_without_the_calls_of_posix(onnx_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture()))
    work = WORK.format(onnx=onnx_bundle.path, out=tmp_path / "out", image=tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", IMITATION + work], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "a.png" in done.stdout


@pytest.mark.parametrize("call", ["import resource", "import fcntl", "os.open('.', os.O_RDONLY)"])
def test_the_imitation_lacks_what_it_should(call: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{IMITATION}\n{call}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1


def test_calls_that_a_system_lacks_are_made_in_one_module() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in FILES if POSIX_ONLY.search(path.read_text("utf-8"))}
    assert found == {"platforms.py"}


@pytest.mark.parametrize("line", ["import fcntl", "os.sched_getaffinity(0)", "signal.setitimer(1)", "os.O_NOFOLLOW"])
def test_another_such_call_would_be_found(line: str) -> None:
    assert POSIX_ONLY.search(line)


@pytest.mark.parametrize(
    ("mode", "owner", "user", "is_open"),
    [
        (0o600, 1000, 1000, False),
        (0o640, 1000, 1000, True),
        (0o604, 1000, 1000, True),
        (0o640, 0, 1000, False),
        (0o440, 0, 1000, False),
        (0o660, 0, 1000, True),
        (0o644, 0, 1000, True),
        (0o640, 0, 0, True),
        (0o640, 1001, 1000, True),
    ],
)
def test_only_a_file_of_roots_may_be_read_by_a_group(mode: int, owner: int, user: int, *, is_open: bool) -> None:
    file = os.stat_result((0o100000 | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    assert is_open_to_others(file, user) is is_open
