"""Files and folders that appear whole or not at all, and only where nothing else lies."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO

import msgspec

from xception import platforms
from xception.errors import EnvironmentFault, InputError

PARTIAL = ".partial"
"""End of the name of a file or folder that is being written; one that no process has locked may be removed."""

LOCK, NEW, OLD = ".lock", "new", "old"
"""In a folder that is being written: its lock, what it is to become, and what it takes the place of."""

PATIENCE_S, PAUSE_S = 2.0, 0.05
"""Seconds for which a lock is waited for, and between two tries. A process that a killed one forked in its last moment
has the lock until it runs for the first time."""

MAX_NAME = 200
"""Characters of a place's name that the name of its folder in the making has."""

MODE = 0o7777

FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Errors that more room on the disk would prevent."""


def json_document(document: object, *, indent: int = 2) -> bytes:
    """A document as indented JSON that ends in a line break."""
    return msgspec.json.format(msgspec.json.encode(document), indent=indent) + b"\n"


def write_file(path: Path, content: bytes, *, sync: bool = True, then: str = "") -> None:
    """Write a file so that its place always holds the old or the new content, whole; missing folders are made.

    A link is followed, as a shell's `>` does, and the file that it leads to is replaced; mode and owner stay. What is
    no file, such as `/dev/stdout`, `/dev/null` or a pipe, gets the content.

    Args:
        path: the file.
        content: all that it is to hold.
        sync: wait until the content is on the disk, so that a power failure does not lose it. Without this, very many
            small files are written faster; see `sync_files`.
        then: what to do once there is room again, such as "resume".

    Raises:
        EnvironmentFault: it cannot be written, or another process is writing it; the old content is as it was.
    """
    try:
        if _takes_content(path):
            _write_through(path, content)
        else:
            _replace_file(path.resolve() if path.is_symlink() else path, content, sync)
    except OSError as error:
        raise cannot_write(path, error, "what was there is unchanged", then) from error


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until files that were written without are on the disk, and their names.

    Raises:
        EnvironmentFault: the disk does not take them.
    """
    folders = set()
    for path in paths:
        try:
            _sync(path)
        except OSError as error:
            raise cannot_write(path, error, "it may not be whole", "run the same again") from error
        folders.add(path.parent)
    for folder in folders:
        platforms.sync_folder(folder)


@contextmanager
def alone_in(folder: Path, doing: str) -> Iterator[None]:
    """Keep other processes from writing a folder for the time of a block; it is made if there is none.

    The lock ends with the process, however that ends.

    Args:
        folder: the place.
        doing: what a second process is told, such as "training in".

    Raises:
        EnvironmentFault: another process is there, or the folder cannot be written.
    """
    place = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked_soon(place)
    except OSError as error:
        raise cannot_write(folder, error, "nothing was changed") from error
    if file is None:
        raise EnvironmentFault(f"another process is {doing} {folder}; wait until it has ended, or choose another place")
    with file, platforms.kept_from_children(file.fileno()):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps the file, which means nothing without its lock.
                place.unlink()


def _locked_soon(place: Path) -> BinaryIO | None:
    """The locked file, or None if another process holds it for longer than a process needs to end."""
    deadline_s = monotonic() + PATIENCE_S
    while (file := _locked(place)) is None and monotonic() < deadline_s:
        sleep(PAUSE_S)
    return file


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """A file next to `path` that takes its place at the end, or vanishes if anything fails; for what is too large to
    be held in memory.

    Raises:
        EnvironmentFault: `path` cannot be written; what was there is unchanged.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        platforms.sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error, "what was there is unchanged") from error
    finally:
        with suppress(OSError):  # renamed already, or never made
            partial.unlink()


def ensure_free(
    path: Path, kind: str = "", *, marker: str = "", only: Collection[str] = (), overwrite: bool = False
) -> None:
    """Refuse, before any work is done, a place that holds something; an empty folder is free.

    Args:
        path: where a result is to lie.
        kind: what the result is, with its article, such as "a bundle".
        marker: file or folder by which an earlier result of this kind is known; without it, and without `only`, none
            is, and nothing is ever replaced.
        only: names of everything that an earlier result may hold; a folder with anything else is none.
        overwrite: an earlier result may be replaced.

    Raises:
        InputError: `path` holds something that is not to be replaced.
    """
    if not path.exists():
        return
    held = {entry.name for entry in path.iterdir()} if path.is_dir() else None
    if held is not None and not held:
        return
    is_earlier = held is not None and bool((marker and marker in held) or (only and held.issubset(only)))
    if not is_earlier:
        found = f"it holds {', '.join(sorted(held)[:3])}" if held else "it is a file"
        raise InputError(f"{path} exists and is not {kind or 'an empty folder'} ({found}); choose another place")
    if not overwrite:
        raise InputError(f"{path} already holds {kind}; choose another place or pass --overwrite")


@contextmanager
def staged_folder(path: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A temporary folder next to `path` that takes its place at the end, or vanishes if anything fails.

    Its files are on the disk before it is renamed, so that a power failure leaves the old folder or the new one. A
    folder that lies there is exchanged with it at once where the system can, so that the place is never empty; a link
    is followed. What an earlier process left behind when it was killed is cleared away first.

    Args:
        path: the place.
        check: called again before it is taken; raises if it is not free, see `ensure_free`.

    Raises:
        EnvironmentFault: `path` cannot be written.
    """
    place = path.resolve() if path.is_symlink() else path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(place)
        holder, lock = _make_holder(place)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write to {place.parent}: {error.strerror}; choose a place you may write to"
        ) from error
    kept = "what was there is unchanged" if place.exists() else "nothing was left behind"
    try:
        folder = holder / NEW
        folder.mkdir()
        yield folder
        _sync_tree(folder)
        check()
        _put(folder, place, holder / OLD)
    except OSError as error:
        raise cannot_write(path, error, kept) from error
    finally:
        lock.close()
        shutil.rmtree(holder, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        _sync(path)
    for place in {folder, *(path.parent for path in files)}:
        platforms.sync_folder(place)


def _put(folder: Path, place: Path, aside: Path) -> None:
    """Move a folder to its place; one that lies there is in `folder` or `aside` afterwards."""
    if not place.exists():
        folder.rename(place)
    else:
        folder.chmod(place.stat().st_mode & MODE)
        if not platforms.exchange(folder, place):
            _change_places(folder, place, aside)
    platforms.sync_folder(place.parent)


def _change_places(folder: Path, place: Path, aside: Path) -> None:
    """The same in two steps; if the second one fails, the first is taken back."""
    place.rename(aside)
    try:
        folder.rename(place)
    except BaseException:
        aside.rename(place)
        raise


def _make_holder(place: Path) -> tuple[Path, BinaryIO]:
    """A folder next to a place for all that is being made for it, with its lock."""
    while True:
        holder = place.with_name(f"{_holder_start(place)}{secrets.token_hex(4)}{PARTIAL}")
        holder.mkdir()
        # A process that clears leftovers may have come between the two lines.
        with suppress(FileNotFoundError):
            if file := _locked(holder / LOCK):
                return holder, file


def _clear_leftovers(place: Path) -> None:
    """Remove what killed processes left next to a place, and put back what they had moved aside."""
    for holder in place.parent.glob(f"{escape(_holder_start(place))}{'[0-9a-f]' * 8}{PARTIAL}"):
        with suppress(OSError):
            if file := _locked(holder / LOCK):
                with file:
                    if (holder / OLD).exists() and not place.exists():
                        (holder / OLD).rename(place)
                    shutil.rmtree(holder, ignore_errors=True)


def clear_folder(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder, and put back what they had moved aside.

    Raises:
        OSError: a half-written file cannot be removed.
    """
    for path in folder.glob(f".*{PARTIAL}"):
        if path.is_dir():
            _clear_leftovers(folder / path.name.removesuffix(PARTIAL)[1:].rpartition(".")[0])
        else:
            path.unlink()


def _holder_start(place: Path) -> str:
    return f".{place.name[:MAX_NAME]}."


def _locked(path: Path) -> BinaryIO | None:
    """A file, made if there is none, locked by this process; None if another process has locked it."""
    while True:
        file = path.open("ab", buffering=0)
        try:
            if not has_lock(file):
                file.close()
                return None
            # The process that had the lock before may have renamed or removed the opened file.
            with suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()


def has_lock(file: BinaryIO) -> bool:
    """Take the lock of an open file, which ends with the file; False if another process has it."""
    try:
        return platforms.lock(file.fileno())
    except OSError:
        return True  # A file system without locks: there is no telling, and no reason to stop.


def _takes_content(path: Path) -> bool:
    """True for a device or pipe, which takes what is written to it, and for a name of an open file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError(errno.EINVAL, "it is a disk or a socket", str(path))
    is_open_file = path.absolute().parts[1:2] in (("dev",), ("proc",)) and path.is_symlink()
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or is_open_file


def _write_through(path: Path, content: bytes) -> None:
    # At the end of an open file, which may hold what was printed to it already.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) or 0 :]


def _replace_file(path: Path, content: bytes, sync: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    file = _locked(partial)
    if file is None:
        raise OSError(errno.EBUSY, "another process is writing it", str(path))
    with file:
        try:
            file.truncate(0)
            fill_file(file, content, sync)
            _keep_mode(path, partial)
            if not platforms.RENAMES_OPEN_FILES:
                file.close()
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    if sync:
        platforms.sync_folder(path.parent)


def fill_file(file: BinaryIO, content: bytes, sync: bool) -> None:
    """Write all of a content to a file, and wait until it is on the disk if it is to `sync`."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) or 0 :]
    if sync:
        os.fsync(file.fileno())


def _keep_mode(path: Path, partial: Path) -> None:
    with suppress(FileNotFoundError):
        found = path.stat()
        partial.chmod(found.st_mode & MODE)
        platforms.keep_owner(partial, found)


def cannot_write(path: Path, error: OSError, state: str, then: str = "") -> EnvironmentFault:
    """The error of a place that cannot be written, with the `state` that it is left in."""
    after = f" and {then}" if then else ""
    hint = f"make room{after}" if error.errno in FULL else "choose a place you may write to"
    return EnvironmentFault(f"cannot write {path}: {error.strerror}; {state}; {hint}")


def _sync(path: Path) -> None:
    with path.open("r+b") as file:  # Windows refuses to flush a file that is open for reading only
        os.fsync(file.fileno())
