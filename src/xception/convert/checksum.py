"""Checksums of files: those that sources publish, and those of a file that is read, each file hashed once."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, get_args

from xception import inputs
from xception.waits import counted

Algorithm = Literal["md5", "sha256"]

CHUNK_BYTES = 1 << 20


class FileState(NamedTuple):
    """The state of a file by which its system knows it: other bytes come with another one."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


_CHECKED: dict[FileState, Mapping[Algorithm, str]] = {}
"""Checksums of the files that this process has held against a digest: what was fetched is converted next."""


def file_state(file: BinaryIO) -> FileState:
    """The state of an open file."""
    status = os.fstat(file.fileno())
    return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def checksums(data: memoryview, state: FileState | None = None) -> Mapping[Algorithm, str]:
    """The hexadecimal digits of all algorithms' hashes, lower case, computed in one pass over the bytes.

    Args:
        data: the content of a file.
        state: the file's, by which one that was held against a digest before is not hashed again.
    """
    known = _CHECKED.get(state) if state else None
    chunks = (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))
    return known or _hashes(chunks, len(data))


def _hashes(chunks: Iterable[bytes | memoryview], size_bytes: int) -> Mapping[Algorithm, str]:
    hashes = {algorithm: hashlib.new(algorithm) for algorithm in get_args(Algorithm)}
    with counted("hashing", size_bytes, "bytes") as advance:
        for chunk in chunks:
            for running in hashes.values():
                running.update(chunk)
            advance(len(chunk))
    return {algorithm: running.hexdigest() for algorithm, running in hashes.items()}


@dataclass(frozen=True)
class Digest:
    """A file's checksum, or its first hexadecimal digits where the source publishes no more (torch's file names)."""

    algorithm: Algorithm
    hex: str

    def fits(self, path: Path) -> bool:
        """Hash the file and compare. Its checksums are kept for its conversion."""
        with inputs.open_file(path) as file:
            state = file_state(file)
            _CHECKED[state] = _hashes(iter(lambda: file.read(CHUNK_BYTES), b""), state.size_bytes)
        return self.is_among(_CHECKED[state])

    def is_among(self, found: Mapping[Algorithm, str]) -> bool:
        """Compare with the checksums of a file that is hashed already."""
        return found[self.algorithm].startswith(self.hex)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
