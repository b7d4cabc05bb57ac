"""Zip archives whose members are stored as they are.

torch.save and Keras never compress, so nothing here can swell: a member is a stretch of the file, and of one that is
compressed only the name is known. Unlike `zipfile` this also refuses members that overlap, and never builds a directory
larger than `MAX_TENSORS` entries.
Source: PKWARE's APPNOTE.TXT, version 6.3.10, sections 4.3 and 4.5.3.
"""

import zlib
from typing import NamedTuple

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers.limits import MAX_TENSORS
from xception.errors import InputError

ZIP_SIGNATURE = b"PK\x03\x04"
_DIRECTORY_ENTRY = b"PK\x01\x02"
_END = b"PK\x05\x06"
_END_SIZE = 22
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_LOCATOR_SIZE = 20
_ZIP64_END = b"PK\x06\x06"
_ZIP64_EXTRA = 1
_MAX_COMMENT_BYTES = 0xFFFF
_ELSEWHERE = 0xFFFFFFFF  # a 32-bit field whose value stands in the zip64 extra field
_ENCRYPTED = 1


class _Member(NamedTuple):
    start: int
    size: int
    checksum: int
    is_plain: bool


class Archive:
    """The members of a zip archive.

    Raises:
        InputError: the archive is damaged, or a member overlaps another.
    """

    def __init__(self, data: memoryview) -> None:
        self._span = ByteSpan(data)
        self._members = _members(self._span)
        self.names = tuple(self._members)

    def read(self, name: str) -> memoryview:
        """A member's bytes, without a copy.

        Raises:
            InputError: there is no such member, it is compressed or encrypted, or its checksum does not fit.
        """
        if name not in self._members:
            raise damaged(f"it refers to its part {name!r}, which is not there")
        member = self._members[name]
        if not member.is_plain:
            raise InputError(
                f"its part {name!r} is compressed or encrypted, which no framework does; "
                "unpack it and zip it with `zip -0`"
            )
        content = self._span.take(member.start, member.size)
        # torch writes 0 where it was told to leave checksums out.
        if member.checksum and zlib.crc32(content) != member.checksum:
            raise damaged(f"the checksum of its part {name!r} does not fit")
        return content


def _members(span: ByteSpan) -> dict[str, _Member]:
    count, position = _directory(span)
    if count > MAX_TENSORS:
        raise InputError(f"it is an archive of {count} files, expected at most {MAX_TENSORS}; it is not a checkpoint")
    members: dict[str, _Member] = {}
    for _ in range(count):
        name, member, position = _entry(span, position)
        if name in members:
            raise damaged(f"it holds two parts named {name!r}")
        members[name] = member
    _refuse_overlap(members)
    return members


def _directory(span: ByteSpan) -> tuple[int, int]:
    """Number of entries and position of the central directory."""
    tail = max(0, len(span) - _END_SIZE - _MAX_COMMENT_BYTES)
    end = tail + bytes(span.data[tail:]).rfind(_END)
    if end < tail or end + _END_SIZE > len(span):
        raise damaged("its table of contents is missing")
    locator = end - _ZIP64_LOCATOR_SIZE
    if locator < 0 or not span.starts_with(_ZIP64_LOCATOR, locator):
        count, _, position = span.unpack("HII", end + 10)
        return count, position
    (end,) = span.unpack("Q", locator + 8)
    if not span.starts_with(_ZIP64_END, end):
        raise damaged("its table of contents is missing")
    count, _, position = span.unpack("QQQ", end + 32)
    return count, position


def _entry(span: ByteSpan, position: int) -> tuple[str, _Member, int]:
    """One entry of the central directory, and the position of the next."""
    if not span.starts_with(_DIRECTORY_ENTRY, position):
        raise damaged("its table of contents is cut short")
    flags, method, _, checksum, packed, size, *lengths = span.unpack("HHIIIIHHH", position + 8)
    name_length, extra_length, comment_length = lengths
    (header,) = span.unpack("I", position + 42)
    name = _decode_name(span.take(position + 46, name_length))
    extra = ByteSpan(span.take(position + 46 + name_length, extra_length))
    size, packed, header = _resolve_zip64(extra, size, packed, header)
    is_plain = not (flags & _ENCRYPTED or method or packed != size)
    member = _Member(_content_start(span, header), packed, checksum, is_plain)
    span.take(member.start, member.size)
    return name, member, position + 46 + name_length + extra_length + comment_length


def _decode_name(raw: memoryview) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise damaged("a name in its table of contents is not UTF-8") from error


def _resolve_zip64(extra: ByteSpan, *fields: int) -> list[int]:
    """The fields, those too large for 32 bits taken from the zip64 extra field, where they stand in the same order."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = extra.unpack("HH", position)
        position += 4
        if kind == _ZIP64_EXTRA:
            wide = iter(extra.unpack(f"{length // 8}Q", position))
            return [next(wide, field) if field == _ELSEWHERE else field for field in fields]
        position += length
    return list(fields)


def _content_start(span: ByteSpan, header: int) -> int:
    if not span.starts_with(ZIP_SIGNATURE, header):
        raise damaged(f"no part begins at byte {header}, where its table of contents says so")
    name_length, extra_length = span.unpack("HH", header + 26)
    return int(header + 30 + name_length + extra_length)


def _refuse_overlap(members: dict[str, _Member]) -> None:
    end = 0
    for member in sorted(members.values()):
        if member.start < end:
            raise damaged("two of its parts overlap")
        end = member.start + member.size
