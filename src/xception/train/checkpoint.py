"""The whole state of a training run in one file, which is always either the old one or the new one."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from xception.errors import EnvironmentFault, InputError
from xception.train.state import TrainingState, encoded, restore

NAME = "checkpoint.safetensors"


def save_checkpoint(folder: Path, state: TrainingState) -> None:
    """Write the state beside the last checkpoint and rename it into place.

    Raises:
        EnvironmentFault: it cannot be written; the last checkpoint is as it was.
    """
    write_atomically(folder / NAME, encoded(state))


def load_checkpoint(folder: Path, state: TrainingState) -> None:
    """Take over the state of `folder`'s checkpoint, if it has one.

    Raises:
        InputError: a checkpoint that is broken, or of another recipe or other data.
    """
    path = folder / NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {path}: {error.strerror}; remove it to start again") from error
    restore(state, content, str(path))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that its place always holds the old or the new content, whole.

    Raises:
        EnvironmentFault: it cannot be written; the old content is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # where it could not even be made
            partial.unlink()
        hint = "make room and resume" if error.errno == errno.ENOSPC else "choose a place you may write to"
        raise EnvironmentFault(f"cannot write {path}: {error.strerror}; what was there is unchanged; {hint}") from error
