"""Tar files, read from end to end without unpacking; one that was cut off is refused."""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Self, cast

from xception.data.files import require_length
from xception.errors import InputError
from xception.inputs import IMAGE_LIMIT

TYPE, NAME, SIZE, CHECKSUM, PREFIX_START = slice(156, 157), slice(0, 100), slice(124, 136), slice(148, 156), 345
"""Places in a header, by POSIX.1-1988; the prefix of a long name begins at the last one."""

CHECKSUM_AS_SPACES = 8 * ord(" ")
"""The checksum's own bytes, as they count in it."""


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A regular file in a tar file, to be opened before the next one is asked for."""

    name: str
    place: str
    """Its name in messages."""
    start: int
    """Position of its first byte in the tar file."""
    length: int
    open: Callable[[], IO[bytes]]

    def read(self) -> bytes:
        """Read the whole file.

        Raises:
            OSError: it cannot be read, or the tar file was cut.
        """
        if self.length > IMAGE_LIMIT.bytes:
            raise OSError(
                f"{self.place} has {self.length:,} bytes; {IMAGE_LIMIT.bytes:,} are the limit for {IMAGE_LIMIT.kind}"
            )
        try:
            return require_length(self.open().read(), self.length, self.place)
        except tarfile.TarError as error:
            raise OSError(f"{self.place} ends early; fetch the archive again") from error


def entries(file: IO[bytes], place: str) -> Iterator[TarEntry]:
    """The files of an uncompressed tar file that can be sought in.

    Raises:
        OSError: it cannot be read.
        InputError: it is broken, compressed, or holds something other than files and folders.
    """
    try:
        # The library reads whatever length a header states; and it goes one call deeper for each header of a long name.
        with tarfile.open(fileobj=cast(IO[bytes], Bounded(file)), mode="r:", tarinfo=PlainMember) as archive:
            for member in archive:
                if member.isreg() and not member.issparse():
                    # Of a regular file `extractfile` returns a file, never None.
                    opened = cast(Callable[[], IO[bytes]], partial(archive.extractfile, member))
                    yield TarEntry(member.name, f"{place}/{member.name}", member.offset_data, member.size, opened)
                elif not member.isdir():
                    raise InputError(
                        f"{place} holds {member.name}, which is a link or device; expected files and folders"
                    )
            file.seek(archive.offset)
            _check_end(file.read(tarfile.RECORDSIZE), place)
    except (tarfile.TarError, RecursionError, ValueError, OverflowError) as error:
        raise InputError(f"{place} is broken, cut off, compressed or no tar file: {error}; fetch it again") from error


class PlainMember(tarfile.TarInfo):
    """The header of a member, of which a plain file's name and length are read, since lists have millions of them."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The member of a header; the library reads all that are not plain, or seem to be damaged."""
        is_plain = len(buf) == tarfile.BLOCKSIZE and bytes(buf[TYPE]) == tarfile.REGTYPE and not buf[PREFIX_START]
        if not (is_plain and _is_whole(buf)):
            return super().frombuf(buf, encoding, errors)
        member = cls(bytes(buf[NAME]).partition(b"\0")[0].decode(encoding, errors))
        member.size = _octal(buf[SIZE])
        return member


def _is_whole(header: bytes | bytearray) -> bool:
    """Tell whether a header's length and checksum are written in digits, and the checksum is right."""
    try:
        stated, _ = _octal(header[CHECKSUM]), _octal(header[SIZE])
    except ValueError:
        return False
    return stated == sum(header) - sum(header[CHECKSUM]) + CHECKSUM_AS_SPACES


def _octal(field: bytes | bytearray) -> int:
    return int(bytes(field).rstrip(b" \0"), 8)


class Bounded:
    """A file that is read up to a limit: in one call, or in all where `max_bytes` says how much may be unpacked."""

    def __init__(self, file: IO[bytes], max_bytes: int | None = None) -> None:
        self._file, self._max_bytes = file, max_bytes
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, length: int = -1) -> bytes:
        """Read up to `length` bytes.

        Raises:
            ReadError: they are more than an image file may have, or lie behind the limit.
        """
        limit = IMAGE_LIMIT.bytes if self._max_bytes is None else self._max_bytes - self._file.tell()
        if not 0 <= length <= limit:
            raise tarfile.ReadError(f"it asks for {length:,} bytes at once, or grows beyond its limit")
        return self._file.read(length)


def _check_end(rest: bytes, place: str) -> None:
    """Refuse a tar file that does not end in zeros: the library takes a broken header in the middle for the end."""
    if len(rest) < tarfile.BLOCKSIZE or any(rest):
        raise InputError(
            f"{place} does not end as a tar file does: it was cut off, damaged or appended to; fetch or make it again"
        )
