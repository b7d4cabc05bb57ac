"""A disk that is really full; `tests/support/full_disk.py` simulates one wherever no file system may be mounted."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN_MOUNTS = ("unshare", "--map-root-user", "--mount")
HAS_OWN_MOUNTS = bool(shutil.which("unshare")) and not subprocess.run([*OWN_MOUNTS, "true"], check=False).returncode
"""Some containers forbid mounts of one's own."""


@pytest.mark.slow
def test_a_run_outlives_a_full_disk_at_every_object() -> None:
    if HAS_OWN_MOUNTS:
        command = [*OWN_MOUNTS, sys.executable, "-m", "tests.attacks.fill_disk"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "plan.json: No space" in done.stdout and "manifest.json: No space" in done.stdout
