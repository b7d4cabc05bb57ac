"""Checksums of files: those that sources publish, and those of a file that is read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from xception import inputs

Algorithm = Literal["md5", "sha256"]

CHUNK_BYTES = 1 << 20


def checksums(data: memoryview) -> Mapping[Algorithm, str]:
    """The hexadecimal digits of all algorithms' hashes, lower case, computed in one pass over the bytes."""
    hashes = {algorithm: hashlib.new(algorithm) for algorithm in get_args(Algorithm)}
    for start in range(0, len(data), CHUNK_BYTES):
        for running in hashes.values():
            running.update(data[start : start + CHUNK_BYTES])
    return {algorithm: running.hexdigest() for algorithm, running in hashes.items()}


@dataclass(frozen=True)
class Digest:
    """A file's checksum, or its first hexadecimal digits where the source publishes no more (torch's file names)."""

    algorithm: Algorithm
    hex: str

    def fits(self, path: Path) -> bool:
        """Hash the file and compare."""
        with inputs.open_file(path) as file:
            return self.is_among({self.algorithm: hashlib.file_digest(file, self.algorithm).hexdigest()})

    def is_among(self, found: Mapping[Algorithm, str]) -> bool:
        """Compare with the checksums of a file that is hashed already."""
        return found[self.algorithm].startswith(self.hex)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
