"""Protocol buffers on the wire: numbered fields, one after the other.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

from xception.byte_span import ByteSpan, damaged

_MAX_VARINT_BYTES = 10


def read_varint(span: ByteSpan, position: int) -> tuple[int, int]:
    """An unsigned 64-bit number and the position behind it."""
    value = 0
    for i, byte in enumerate(span.data[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + i + 1
    raise damaged(f"the number at byte {position} has no end")


def fields(data: memoryview, most: int) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: the content of strings, bytes and messages, an unsigned number for all else.

    Raises:
        InputError: the message is malformed or has more than `most` fields.
    """
    span = ByteSpan(data)
    position = 0
    for _ in range(most):
        if position == len(span):
            return
        key, position = read_varint(span, position)
        value, position = _value(span, position, key & 7)
        yield key >> 3, value
    if position < len(span):
        raise damaged(f"a message in it has more than {most} fields")


def signed(value: int | memoryview) -> int:
    """A field's value as the int64 that it stands for."""
    if not isinstance(value, int):
        raise damaged("it has bytes where a number belongs")
    return value - 2**64 if value >= 2**63 else value


def content(value: int | memoryview) -> memoryview:
    """A field's value as the bytes or message that it must be."""
    if not isinstance(value, memoryview):
        raise damaged("it has a number where bytes belong")
    return value


def text(value: int | memoryview) -> str:
    """A field's value as the string that it must be."""
    try:
        return str(content(value), "utf-8")
    except UnicodeDecodeError as error:
        raise damaged("a text in it is not UTF-8") from error


def _value(span: ByteSpan, position: int, wire_type: int) -> tuple[int | memoryview, int]:
    match wire_type:
        case 0:
            return read_varint(span, position)
        case 1:
            return span.unpack("Q", position)[0], position + 8
        case 2:
            size, position = read_varint(span, position)
            return span.take(position, size), position + size
        case 5:
            return span.unpack("I", position)[0], position + 4
    raise damaged(f"it has a field of the unknown kind {wire_type}")
