"""Files and folders that appear whole or not at all, and only where nothing else lies."""

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from xception.errors import EnvironmentFault, InputError

PARTIAL = ".partial"
"""End of the name of a file that is being written; whoever finds one later may remove it."""

FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Errors that more room on the disk mends."""


def json_document(document: object, *, indent: int = 2) -> bytes:
    """A document as indented JSON that ends in a line break."""
    return msgspec.json.format(msgspec.json.encode(document), indent=indent) + b"\n"


def write_file(path: Path, content: bytes, *, sync: bool = True, then: str = "") -> None:
    """Write a file so that its place always holds the old or the new content, whole; missing folders are made.

    Args:
        path: the file.
        content: all that it is to hold.
        sync: wait until the content is on the disk, so that a power failure does not lose it. Without this, very many
            small files are written faster.
        then: what to do once there is room again, such as "resume".

    Raises:
        EnvironmentFault: it cannot be written; the old content is as it was.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
        if sync:
            _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_write(path, error, "what was there is unchanged", then) from error
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
def staged_folder(path: Path) -> Iterator[Path]:
    """A temporary folder next to `path` that takes its place at the end, or vanishes if anything fails.

    Its files are on the disk before it is renamed, so that a power failure leaves the old folder or the new one.

    Raises:
        EnvironmentFault: `path` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write to {path.parent}: {error.strerror}; choose a place you may write to"
        ) from error
    try:
        yield folder
        folder.chmod(0o755)
        _sync_files(folder)
        _replace_folder(path, folder)
    except OSError as error:
        raise _cannot_write(path, error, "nothing was left behind") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cannot_write(path: Path, error: OSError, state: str, then: str = "") -> EnvironmentFault:
    after = f" and {then}" if then else ""
    hint = f"make room{after}" if error.errno in FULL else "choose a place you may write to"
    return EnvironmentFault(f"cannot write {path}: {error.strerror}; {state}; {hint}")


def _replace_folder(path: Path, folder: Path) -> None:
    """Put `folder` where `path` is; what lies there is moved aside first and removed last."""
    if path.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        path.rename(aside / path.name)
        folder.rename(path)
        shutil.rmtree(aside)
    else:
        folder.rename(path)
    _sync_folder(path.parent)


def _sync_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:  # Windows refuses to flush a file that is open for reading only
                os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring a renaming to the disk too, where the system can open folders, which Windows cannot."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
