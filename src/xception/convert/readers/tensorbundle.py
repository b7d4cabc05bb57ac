"""TensorFlow's checkpoints: an index, which is a LevelDB table of what lies where, and shards of raw data.

The table ends in a footer with the place of its index block, which lists data blocks, which list entries; every block
has a checksum. Entries are the protocol buffers BundleHeaderProto (under the key "") and BundleEntryProto.
Source: tensorflow/core/util/tensor_bundle/ and tensorflow/core/lib/io/table_format.txt of TensorFlow 2.21.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers.binary import BFLOAT16, decode_array, load_file
from xception.convert.readers.checkpoint import CheckpointContents, Gathering, check_name
from xception.convert.readers.limits import MAX_INDEX_BYTES, MAX_NAME_LENGTH, MAX_RANK, MAX_SHARDS
from xception.errors import InputError
from xception.protobuf import content, fields, read_varint, signed

TENSORBUNDLE_SIGNATURE = bytes.fromhex("57fb808b247547db")
"""The last bytes of the index."""

_FOOTER_SIZE = 48
_TRAILER_SIZE = 5
# Fields of BundleHeaderProto, and the number of fields of either message.
_SHARD_COUNT, _ENDIANNESS = 1, 2
_ENTRY_FIELDS = 8
_DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "|u1",
    5: "<i2",
    6: "|i1",
    9: "<i8",
    10: "|b1",
    14: BFLOAT16,
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}


class _Entry(NamedTuple):
    dtype: int
    shape: list[int]
    shard: int
    offset: int
    size: int
    is_sliced: bool


def index_path(path: Path) -> Path:
    """The index of the checkpoint that `path` belongs to, be it a shard or the bare prefix that TensorFlow goes by."""
    prefix = path.with_name(re.sub(r"\.data-\d{5}-of-\d{5}$", "", path.name))
    index = prefix.with_name(f"{prefix.name}.index")
    return index if index.is_file() and (prefix != path or not path.exists()) else path


def read_tensorbundle(path: Path, data: memoryview) -> CheckpointContents:
    """The tensors of a checkpoint, from its index at `path` and the shards next to it."""
    entries = _entries(ByteSpan(data))
    shards = _shards(path, entries)
    gathering, left_out = Gathering(sum(map(len, shards))), []
    for name, value in entries:
        entry = _entry(value)
        if entry.dtype not in _DTYPES or entry.is_sliced:
            left_out.append(name)
            continue
        if not 0 <= entry.shard < len(shards):
            raise damaged(f"it refers to its shard {entry.shard}, but has {len(shards)}")
        raw = shards[entry.shard].take(entry.offset, entry.size)
        gathering.add(name, decode_array(raw, _DTYPES[entry.dtype], entry.shape))
    if not gathering.groups:
        raise InputError("it holds no numbers; expected the weights of a network")
    return CheckpointContents(container="tf_bundle", groups=gathering.groups, metadata={"left_out": left_out})


def _shards(path: Path, entries: Iterator[tuple[str, memoryview]]) -> list[ByteSpan]:
    """The shards, whose number the first entry tells."""
    name, header = next(entries, (None, memoryview(b"")))
    values = dict(fields(header, _ENTRY_FIELDS))
    count = signed(values.get(_SHARD_COUNT, 0))
    if name != "" or not 0 < count <= MAX_SHARDS or values.get(_ENDIANNESS, 0):
        raise InputError(f"its header is of no little-endian checkpoint of 1 to {MAX_SHARDS} shards; save it again")
    prefix = path.name.removesuffix(".index")
    return [ByteSpan(load_file(path.with_name(f"{prefix}.data-{i:05d}-of-{count:05d}")).data) for i in range(count)]


def _entry(data: memoryview) -> _Entry:
    values = dict(fields(data, _ENTRY_FIELDS))
    numbers = {key: signed(value) for key, value in values.items() if not isinstance(value, memoryview)}
    return _Entry(
        dtype=numbers.get(1, 0),
        shape=_shape(content(values.get(2, memoryview(b"")))),
        shard=numbers.get(3, 0),
        offset=numbers.get(4, 0),
        size=numbers.get(5, 0),
        is_sliced=7 in values,
    )


def _shape(data: memoryview) -> list[int]:
    dimensions = [dict(fields(content(value), 2)) for number, value in fields(data, MAX_RANK) if number == 2]
    return [signed(dimension.get(1, 0)) for dimension in dimensions]


def _entries(span: ByteSpan) -> Iterator[tuple[str, memoryview]]:
    """Keys and values of the table, in the order of the keys."""
    if len(span) > MAX_INDEX_BYTES:
        raise InputError(
            f"it has {len(span)} bytes, expected at most {MAX_INDEX_BYTES}; it belongs to no network of this family"
        )
    footer = ByteSpan(span.take(len(span) - _FOOTER_SIZE, _FOOTER_SIZE))
    _, _, position = _handle(footer, 0)
    offset, size, _ = _handle(footer, position)
    end, previous = 0, None
    for _, value in _records(_block(span, offset, size)):
        offset, size, _ = _handle(ByteSpan(value), 0)
        if offset < end:
            raise damaged("the blocks of its index overlap")
        end = offset + size
        for key, entry in _records(_block(span, offset, size)):
            if previous is not None and key <= previous:
                raise damaged("the keys of its index are out of order")
            previous = key
            yield _name(key), entry


def _handle(span: ByteSpan, position: int) -> tuple[int, int, int]:
    """Offset and size of a block, and the position behind them."""
    offset, position = read_varint(span, position)
    size, position = read_varint(span, position)
    return offset, size, position


def _block(span: ByteSpan, offset: int, size: int) -> ByteSpan:
    trailer = ByteSpan(span.take(offset + size, _TRAILER_SIZE))
    compression, checksum = trailer.unpack("BI", 0)
    if compression:
        raise InputError("its index is compressed, which TensorFlow does not do; save it again with TensorFlow")
    if _masked_crc32c(span.take(offset, size + 1)) != checksum:
        raise damaged("a checksum in its index does not fit")
    return ByteSpan(span.take(offset, size))


def _records(block: ByteSpan) -> Iterator[tuple[bytes, memoryview]]:
    """Keys, each stored without what it shares with the one before, and values."""
    (restarts,) = block.unpack("I", len(block) - 4)
    records = ByteSpan(block.take(0, len(block) - 4 * (restarts + 1)))
    key, position = b"", 0
    while position < len(records):
        shared, position = read_varint(records, position)
        own, position = read_varint(records, position)
        size, position = read_varint(records, position)
        if shared > len(key) or shared + own > MAX_NAME_LENGTH:
            raise damaged("a key in its index is overlong or refers to what is not there")
        key = key[:shared] + bytes(records.take(position, own))
        yield key, records.take(position + own, size)
        position += own + size


def _name(key: bytes) -> str:
    try:
        return check_name(key.decode())
    except UnicodeDecodeError as error:
        raise damaged("a name in its index is not UTF-8") from error


def _masked_crc32c(data: memoryview) -> int:
    """LevelDB's checksum: CRC-32C, rotated and shifted so that checksums of checksums stay sound."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFF_FFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282_EAD8) & 0xFFFF_FFFF


def _crc32c_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = (crc >> 1) ^ (0x82F6_3B78 if crc & 1 else 0)
    return crc


_CRC32C = [_crc32c_of_byte(byte) for byte in range(256)]
