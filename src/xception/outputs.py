"""Files that appear whole or not at all."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from xception.errors import EnvironmentFault


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that its place always holds the old or the new content, whole; missing folders are made.

    Raises:
        EnvironmentFault: it cannot be written; the old content is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # where it could not even be made
            partial.unlink()
        hint = "make room" if error.errno == errno.ENOSPC else "choose a place you may write to"
        raise EnvironmentFault(f"cannot write {path}: {error.strerror}; what was there is unchanged; {hint}") from error
