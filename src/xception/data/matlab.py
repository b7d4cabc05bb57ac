"""Tables in MATLAB's files of version 5, of which ImageNet's development kit has one: structures of numbers and texts.

The usual reader can crash the process on a damaged file; this one looks at nothing that it does not need.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import islice

from xception.errors import InputError

HEADER_BYTES = 128
LITTLE_ENDIAN = b"IM"
MAX_ELEMENT_BYTES = 64 << 20
"""Largest size of a decompressed element."""

COMPRESSED = 15
STRUCTURE, CHARACTERS = 2, 4
NUMBER_CODES = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
"""`struct`'s code for the type of an element's values."""
TEXT_ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}

MatlabValue = str | int | float | None
"""A field's value; None stands for anything but a number or a text."""


def read_structures(data: bytes, variable: str) -> list[dict[str, MatlabValue]]:
    """The structures of one variable, each with its fields by name.

    Raises:
        InputError: damaged, of another version, or without such a variable.
    """
    if len(data) < HEADER_BYTES or data[126:128] != LITTLE_ENDIAN:
        raise InputError("no MATLAB file of version 5 in little-endian order; expected the original file")
    try:
        for kind, payload in _elements(memoryview(data)[HEADER_BYTES:]):
            for _, matrix in _elements(_decompressed(payload)) if kind == COMPRESSED else [(kind, payload)]:
                found = _structures(matrix, variable)
                if found is not None:
                    return found
    except (struct.error, zlib.error, ValueError, IndexError) as error:
        raise InputError(f"the MATLAB file is damaged: {error or 'it ends early'}; get it again") from error
    raise InputError(f"the MATLAB file holds no structures called {variable}; expected the original file")


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Iterate over the types and contents of elements."""
    position = 0
    while position < len(data):
        kind, size = struct.unpack_from("<II", data, position)
        start = position + 8
        if kind >> 16:  # a short element, whose contents lie in its own head
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
        if start + size > len(data) or (start == position + 4 and size > 4):
            raise ValueError("an element reaches beyond the end")
        yield kind, data[start : start + size]
        # Elements begin at multiples of eight bytes, but behind compressed ones.
        position = position + 8 if start == position + 4 else start + size + (-size % 8 if kind != COMPRESSED else 0)


def _decompressed(payload: memoryview) -> memoryview:
    machine = zlib.decompressobj()
    data = machine.decompress(payload, MAX_ELEMENT_BYTES)
    if not machine.eof:
        raise ValueError("a compressed element does not end")
    return memoryview(data)


def _structures(matrix: memoryview, variable: str) -> list[dict[str, MatlabValue]] | None:
    """The structures of a matrix, or None if it is another variable or holds something else."""
    parts = _elements(matrix)
    (_, flags), (_, shape), (_, name) = islice(parts, 3)
    if flags[0] != STRUCTURE or bytes(name) != variable.encode():
        return None
    (_, length), (_, packed) = islice(parts, 2)
    (width,) = struct.unpack("<i", length)
    if width < 1:
        raise ValueError("fields without names")
    fields = [bytes(packed[i : i + width]).partition(b"\0")[0].decode() for i in range(0, len(packed), width)]
    count = 1
    for (side,) in struct.iter_unpack("<i", shape):
        count *= side
    values = [_value(part) for _, part in parts]
    if len(values) != count * len(fields):
        raise ValueError(f"{len(values)} values where {count} structures have {len(fields)} fields")
    return [dict(zip(fields, values[i : i + len(fields)], strict=True)) for i in range(0, len(values), len(fields))]


def _value(matrix: memoryview) -> MatlabValue:
    parts = list(_elements(matrix))
    if len(parts) != 4:
        return None
    flags, (kind, content) = parts[0][1], parts[3]
    if flags[0] == CHARACTERS:
        return bytes(content).decode(TEXT_ENCODINGS[kind]) if kind in TEXT_ENCODINGS else None
    if kind not in NUMBER_CODES or len(content) != struct.calcsize(NUMBER_CODES[kind]):
        return None
    return struct.unpack(f"<{NUMBER_CODES[kind]}", content)[0]  # type: ignore[no-any-return]
