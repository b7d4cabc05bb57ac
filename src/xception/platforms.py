"""Differences of systems: every call that Windows or macOS lacks is made here, next to what is done instead."""

import ctypes
import errno
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags of a file that is opened to be read: as it is on the disk, and without a wait for whoever writes a pipe."""

NO_LINK_FLAG = getattr(os, "O_NOFOLLOW", 0)
"""Flag that refuses a link as the last part of a path; 0 where the system has none."""

RENAMES_OPEN_FILES = os.name != "nt"
"""True where a file can be renamed while it is open."""


def lock(descriptor: int) -> bool:
    """Take the lock of an open file, which ends with the process at the latest; False if another process has it.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def keep_owner(path: Path, like: os.stat_result) -> None:
    """Give a file the owner that another one had, where the system has owners and this user may."""
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(path, like.st_uid, like.st_gid)


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders take each other's place at once; False where the system or its disk cannot.

    Raises:
        OSError: it can, and refuses.
    """
    call = _exchange()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


AT_FDCWD = -100
RENAME_EXCHANGE = RENAME_SWAP = 2
_CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@cache
def _exchange() -> Any:
    """The C library's call: `renameat2` of Linux, `renamex_np` of macOS, None elsewhere."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            swap = library.renamex_np
            return lambda one, other: swap(one, other, RENAME_SWAP)
        move = library.renameat2
    except (OSError, TypeError, AttributeError):
        return None
    return lambda one, other: move(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE)
