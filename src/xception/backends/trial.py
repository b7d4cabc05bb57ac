"""A trial of LiteRT files in a process of their own: on some damaged files LiteRT ends the process that runs it."""

import hashlib
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from xception.errors import InputError
from xception.machine import cache_folder
from xception.upstream import litert_trial

MAX_TRIAL_S = 300
"""Seconds after which a trial is given up; the largest network here takes two."""


def try_litert(content: bytes, path: Path) -> None:
    """Refuse a file with which LiteRT ends its process. A file that ran on this machine before is not tried again.

    Args:
        content: the file.
        path: its path, for the message.

    Raises:
        InputError: LiteRT ends the process, or does not end itself.
    """
    if _mark(content).exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.tflite"
        copy.write_bytes(content)
        status = exit_status(copy)
    if status is None:
        raise InputError(
            f"LiteRT was still busy with one image of {path} after {MAX_TRIAL_S} s; get the model from its source again"
        )
    if status:
        raise InputError(
            f"LiteRT crashes on {path} (its process ended with {status}): the file is damaged or made to do "
            "so; get the model from its source again"
        )
    mark_as_tried(content)


def exit_status(file: Path) -> int | None:
    """The status with which a process ends that runs a file; None where it does not end in time."""
    import subprocess  # which most calls do without

    command = [sys.executable, litert_trial.__file__, str(file)]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=MAX_TRIAL_S).returncode  # noqa: S603
    except subprocess.TimeoutExpired:
        return None


def mark_as_tried(content: bytes) -> None:
    """Remember that LiteRT ran a file, such as one that was just made and checked here."""
    mark = _mark(content)
    with suppress(OSError):  # a cache that cannot be written costs the next process another trial
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _mark(content: bytes) -> Path:
    litert = version("ai-edge-litert")
    return cache_folder() / f"litert-{litert}" / hashlib.sha256(content).hexdigest()
