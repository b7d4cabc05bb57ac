"""Differences of systems: every call that Windows or macOS lacks, with its replacement there."""

import ctypes
import errno
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags of a file that is opened to be read: as it is on the disk, and without waiting for the writer of a pipe."""

NO_LINK_FLAG = getattr(os, "O_NOFOLLOW", 0)
"""Flag that refuses a link as the last part of a path; 0 where the system has none."""

RENAMES_OPEN_FILES = os.name != "nt"
"""True where a file can be renamed while it is open."""

REREAD_SIGNAL = getattr(signal, "SIGHUP", None)
"""The signal by which a server is asked to read its files again; None where the system has none."""

LEAVE_SIGNAL = getattr(signal, "SIGUSR1", None)
"""The signal by which a process of a server learns that it is about to be ended; None where the system has none."""

PROCESS_START = "fork" if sys.platform == "linux" else "spawn"
"""The way in which worker processes start: as copies of this one where that is safe, which macOS' own libraries are not
made for and Windows does not have."""


PLAIN_WORD = re.compile(r"[\w.,:/\\+@=-]+")
"""A word that means itself in both shells of Windows."""


def shell_line(words: Iterable[str]) -> str:
    """Words as the line that a shell of this system takes apart into the same words."""
    return windows_line(words) if os.name == "nt" else shlex.join(words)


def windows_line(words: Iterable[str]) -> str:
    """The same for the shells of Windows, which both know double quotes."""
    return " ".join(word if PLAIN_WORD.fullmatch(word) else f'"{word}"' for word in words)


def lock(descriptor: int) -> bool:
    """Take the lock of an open file, which ends with the process at the latest; False if another process has it.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        _take_lock(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _take_lock(descriptor: int) -> None:
    try:
        locks: Any = import_module("fcntl")
    except ModuleNotFoundError:  # Windows
        locks = import_module("msvcrt")
        locks.locking(descriptor, locks.LK_NBLCK, 1)
    else:
        locks.flock(descriptor, locks.LOCK_EX | locks.LOCK_NB)


_KEPT_FROM_CHILDREN: set[int] = set()


@contextmanager
def kept_from_children(descriptor: int) -> Iterator[None]:
    """Keep an open file, for the time of a block, from processes that are forked: with it they would have its lock too,
    and keep it after this process was killed."""
    _KEPT_FROM_CHILDREN.add(descriptor)
    try:
        yield
    finally:
        _KEPT_FROM_CHILDREN.discard(descriptor)


def _let_go() -> None:
    """Put nothing in the place of the parent's own files; their numbers stay taken, since objects know them."""
    for descriptor in _KEPT_FROM_CHILDREN:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, descriptor)
        os.close(nothing)
    _KEPT_FROM_CHILDREN.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def fetch_ahead(descriptor: int, spans: Iterable[tuple[int, int]]) -> None:
    """Let the system read parts of an open file, by their first byte and length, into its cache meanwhile; Windows and
    macOS read them when they are asked for."""
    if hasattr(os, "posix_fadvise"):
        for start, length in spans:
            os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_WILLNEED)


def widen_pipe(descriptor: int, size_bytes: int) -> None:
    """Give a pipe more room, where the system has a call for that and allows it."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size_bytes)


def sync_folder(folder: Path) -> None:
    """Bring a renaming to the disk too, where the system can open folders, which Windows cannot."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def allowed_cores() -> int:
    """Cores that the system lets this process run on; all of them where it has no such limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_to_cores(part: int, parts: int) -> None:
    """Keep this process to one of several equal parts of the cores that it may use; at least to one core. Where the
    system does not know this, nothing is changed."""
    choose = getattr(os, "sched_setaffinity", None)
    if choose is not None:
        allowed = sorted(os.sched_getaffinity(0))
        own = allowed[part * len(allowed) // parts : (part + 1) * len(allowed) // parts]
        choose(0, own or [allowed[part % len(allowed)]])


def peak_memory_bytes_by_usage() -> int | None:
    """The most memory that this process held until now, by the system's account of its usage; None where it has none.

    The account begins with the peak of the process that started this one.
    """
    try:
        usage: Any = import_module("resource")
    except ModuleNotFoundError:  # Windows
        return None
    peak = usage.getrusage(usage.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else 1024 * peak)


def others_may_read(path: Path) -> bool:
    """Tell whether others than a file's owner may read it, where the system has such permissions.

    Raises:
        OSError: there is no such file.
    """
    return os.name != "nt" and is_open_to_others(path.stat(), os.geteuid())


def is_open_to_others(file: os.stat_result, user: int) -> bool:
    """Tell whether others than those who are meant to may read a file, which `user` is to read.

    A file of root's may be read by its group: so root hands a secret to a service, and Kubernetes to a container.
    """
    is_handed_over = file.st_uid == 0 and user != 0
    return bool(file.st_mode & (0o037 if is_handed_over else 0o077))


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


@contextmanager
def held_back(*signals: signal.Signals) -> Iterator[None]:
    """Let signals to this thread wait for the time of a block, and to processes that are started in it until they
    ignore or unblock them, so that none ends one before it is ready. On Windows nothing is held back."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


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
