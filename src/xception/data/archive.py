"""Zip archives as trees of files; their members are read in place and never unpacked."""

import io
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from lzma import LZMAError
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipExtFile, ZipFile, ZipInfo
from zlib import error as ZlibError  # noqa: N812 - it is a class

from xception.data.files import Files, is_image
from xception.errors import DecodeError, InputError
from xception.inputs import IMAGE_LIMIT

MAX_MEMBERS = 20_000_000
"""Files in one archive; ImageNet's 14 million images are the most that are in use."""

ENCRYPTED = 1
MAC_FOLDER = "__MACOSX/"
"""Folder in which macOS' archiver keeps things that are not in the archived folder."""

BROKEN_MEMBER = (
    *(BadZipFile, ZlibError, LZMAError, EOFError, OSError, NotImplementedError, struct.error, ValueError),
    MemoryError,  # LZMA asks for what the member's first bytes say
)
"""Exceptions of a member that is not what the archive's directory claims."""

PACKED_BYTES = 4096
"""Bytes that are unpacked at once where a method knows no limit; bzip2 makes 90 MB of them at most."""

MAX_HEADER_BYTES = 30 + 2 * 0xFFFF
"""Bytes in front of a member's data: the header, its name and its extra field."""

MEMBER_HEADER = struct.Struct("<26xHH")
"""Header in front of a member's data: 26 bytes, then the lengths of its name and of its extra field, which follow."""


class ZipFiles:
    """The members of an archive that lies among other files; the names leave out a folder around all of them."""

    def __init__(self, files: Files, name: str) -> None:
        """Read the archive's directory.

        Raises:
            OSError: the archive cannot be read.
            InputError: it is no zip archive, cut off, encrypted, has two members of one name, or one outside of it.
        """
        self.place = f"{files.place}/{name}"
        self._files, self._name = files, name
        members, self._size = _directory(files, name, self.place)
        self._starts = sorted(info.header_offset for info in members.values())
        root = _wrapper(members)
        self._members = {name.removeprefix(root): info for name, info in members.items() if name.startswith(root)}
        self._names = sorted((name for name in self._members if name), key=lambda name: name.split("/"))

    def entries(self, folder: str = "") -> set[str]:
        below = (name[len(folder) :] for name in self._names if name.startswith(folder) and name != folder)
        return {"".join(name.partition("/")[:2]) for name in below}

    def names(self, folder: str = "") -> Iterator[str]:
        return (name for name in self._names if name.startswith(folder) and not name.endswith("/"))

    def size(self, name: str) -> int:
        return self._member(name).file_size

    def read(self, name: str) -> bytes:
        info = self._member(name)
        if max(info.file_size, info.compress_size) > IMAGE_LIMIT.bytes:
            raise DecodeError(
                f"{self.place}/{name} would grow to {info.file_size:,} bytes; {IMAGE_LIMIT.bytes:,} are the limit for "
                f"{IMAGE_LIMIT.kind}"
            )
        # Up to the next member in one piece, since only the member's own header tells where its data begin.
        following = bisect_right(self._starts, info.header_offset)
        end = self._starts[following] if following < len(self._starts) else self._size
        end = min(end, info.header_offset + MAX_HEADER_BYTES + info.compress_size)
        if end < info.header_offset + MEMBER_HEADER.size:
            raise DecodeError(f"damaged in the archive {self.place}: a file begins after its end")
        raw = self._files.span(self._name, info.header_offset, end - info.header_offset)
        try:
            start = MEMBER_HEADER.size + sum(MEMBER_HEADER.unpack_from(raw))
            with ZipExtFile(io.BytesIO(raw[start : start + info.compress_size]), "r", info) as file:
                if info.compress_type in (ZIP_STORED, ZIP_DEFLATED):
                    return file.read()
                # The other methods unpack all that they are given at once, so they are given little.
                return b"".join(iter(partial(file.read1, PACKED_BYTES), b""))
        except BROKEN_MEMBER as error:
            raise DecodeError(f"damaged in the archive {self.place}: {error or 'it ends early'}") from error

    def span(self, name: str, start: int, length: int) -> bytes:
        return self.read(name)[start : start + length]

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self.read(name))

    def _member(self, name: str) -> ZipInfo:
        if name not in self._members:
            raise FileNotFoundError(f"{self.place} holds no {name}")
        return self._members[name]


def _directory(files: Files, name: str, place: str) -> tuple[dict[str, ZipInfo], int]:
    """An archive's members by their names, and its size in bytes."""
    try:
        with files.open(name) as file, ZipFile(file) as archive:
            members = archive.infolist()
    except (BadZipFile, NotImplementedError, ValueError) as error:
        if isinstance(error.__context__, OSError):  # the library takes a file that cannot be read for no archive
            raise error.__context__ from error
        raise InputError(f"{place} is no zip archive, or was cut off: {error}; fetch or make it again") from error
    if len(members) > MAX_MEMBERS:
        raise InputError(f"{place} holds {len(members):,} files; expected {MAX_MEMBERS:,} at most")
    if any(info.header_offset < 0 for info in members):
        raise InputError(f"{place} lacks its beginning; fetch or make it again")
    if any(info.flag_bits & ENCRYPTED for info in members):
        raise InputError(f"{place} is encrypted; expected an archive without a password")
    names = [_plain_name(info.filename, place) for info in members]
    by_name = dict(zip(names, members, strict=True))
    if len(by_name) < len(members):
        raise InputError(f"{place} holds {Counter(names).most_common(1)[0][0]} twice; expected one file of each name")
    return {name: info for name, info in by_name.items() if not name.startswith(MAC_FOLDER)}, files.size(name)


def _plain_name(stated: str, place: str) -> str:
    """The name of a member with `/` between its parts, which some archivers of Windows write as a backslash, and
    without a start that says no more than that it lies in the archive.

    Raises:
        InputError: the name leads out of the archive.
    """
    parts = stated.replace("\\", "/").split("/")
    if ".." in parts:
        raise InputError(f"{place} holds {stated!r}, which leads out of the archive; expected the paths of files in it")
    name = "/".join(part for part in parts[:-1] if part not in ("", "."))
    return f"{name}/{parts[-1]}" if name else parts[-1]


def _wrapper(names: Iterable[str]) -> str:
    """The one folder below which all images lie, none of them directly: the folder that was archived."""
    parts = [name.split("/") for name in names if is_image(name)]
    tops = {first for first, *_ in parts}
    return f"{tops.pop()}/" if len(tops) == 1 and all(len(path) > 2 for path in parts) else ""
