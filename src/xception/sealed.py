"""Folders whose files are all listed with hashes, and the check that nothing is changed, missing, added or linked.

A file is opened once: the bytes that are compared with its hash are the bytes that are used.
"""

import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from xception import inputs
from xception.errors import InputError
from xception.waits import counted

AGAIN = "get the bundle again"

HASHED_AT_ONCE_BYTES = 16 << 20
"""Bytes that are hashed between two reports of how far it is."""

LEFT_BY_FILE_MANAGERS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that a look into a folder leaves there. They are passed over, since only what is listed is ever read."""

APPLE_DOUBLE = "._"
"""Start of the names of the files in which macOS keeps attributes on other systems' disks."""


class FileHash(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Identity of one file."""

    sha256: str
    size_bytes: int


def hash_of(content: bytes | memoryview, name: str = "a file") -> FileHash:
    """The identity of a file with this content; its name is shown while it is hashed."""
    running = hashlib.sha256()
    with counted(f"hashing {name}", len(content), "bytes") as advance, memoryview(content) as data:
        for start in range(0, len(content), HASHED_AT_ONCE_BYTES):
            chunk = data[start : start + HASHED_AT_ONCE_BYTES]
            running.update(chunk)
            advance(len(chunk))
    return FileHash(sha256=running.hexdigest(), size_bytes=len(content))


def is_plain(name: str) -> bool:
    """True for the name of a file in the folder itself, which cannot lead out of it."""
    return Path(name).name == name and name not in ("", "..") and "\0" not in name


def check_entries(folder: Path, listed: Collection[str]) -> None:
    """Refuse a folder with anything in it that is not listed, or is no regular file.

    Raises:
        InputError: it cannot be read, or holds a link, a folder, or a file of another origin.
    """
    for name, mode in _entries(folder):
        if not stat.S_ISREG(mode):
            raise InputError(
                f"{folder / name} is {_kind(mode)}; expected nothing but regular files in a bundle, so {AGAIN}"
            )
        if name not in listed and not _is_passed_over(name):
            raise InputError(f"{folder / name} is not listed among the bundle's files; remove it, or {AGAIN}")


def read_sealed(path: Path, entry: FileHash, *, verify: bool = True) -> bytes:
    """The content of a listed file, which was compared with its size, and with its hash if it is to be verified.

    Raises:
        InputError: it is missing, no regular file, or another one.
    """
    try:
        content = inputs.read_bytes(path, inputs.MODEL_LIMIT, follow_link=False)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(content) != entry.size_bytes or (verify and hash_of(content, path.name) != entry):
        raise _another(path, entry, len(content))
    return content


def check_sizes(folder: Path, files: Mapping[str, FileHash]) -> None:
    """Refuse a folder in which a listed file is missing or of another size; nothing is read.

    Raises:
        InputError: names the first one.
    """
    for name, entry in files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise _unreadable(folder / name, error) from error
        if size != entry.size_bytes:
            raise _another(folder / name, entry, size)


def _entries(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and kind of everything in a folder; a link is a link."""
    try:
        with os.scandir(folder) as found:
            for entry in sorted(found, key=lambda entry: entry.name):
                yield entry.name, entry.stat(follow_symlinks=False).st_mode
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}; {AGAIN}") from error


def _kind(mode: int) -> str:
    names = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")


def _is_passed_over(name: str) -> bool:
    return name in LEFT_BY_FILE_MANAGERS or name.startswith(APPLE_DOUBLE)


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"the bundle's file {path} cannot be read ({error.strerror}); {AGAIN}")


def _another(path: Path, entry: FileHash, size: int) -> InputError:
    expected = f"{entry.size_bytes} bytes" + (f" with SHA-256 {entry.sha256[:12]}" if entry.sha256 else "")
    return InputError(
        f"{path} is not the file that the bundle was written with (expected {expected}, got {size} bytes"
        f"{' of another content' if size == entry.size_bytes else ''}); {AGAIN}"
    )
