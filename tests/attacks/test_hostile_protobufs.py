"""MindSpore's and TensorFlow's checkpoints with lengths, shapes and tables that lie."""

import re
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from xception.convert.readers import mindspore_ckpt, read_checkpoint, tensorbundle
from xception.errors import InputError


def varint(value: int) -> bytes:
    value %= 2**64
    raw = b""
    while value >= 0x80:
        raw += bytes([value & 0x7F | 0x80])
        value >>= 7
    return raw + bytes([value])


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def content(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def mindspore(name: str, dims: Iterable[int], raw: bytes, dtype: str = "Float32") -> bytes:
    tensor = b"".join(integer(1, size) for size in dims) + content(2, dtype.encode()) + content(3, raw)
    return content(1, content(1, name.encode()) + content(2, tensor))


GOOD = mindspore("a", [2], bytes(8))
MINDSPORE = {
    "a shape that does not fit": (mindspore("a", [3], bytes(8)), r"shape \(3,\) .* in 8 bytes"),
    "a shape that overflows": (mindspore("a", [2**62, 4], b""), "impossible shape"),
    "a negative shape": (mindspore("a", [-1, -2], bytes(8)), "impossible shape"),
    "a thousand axes": (mindspore("a", [1] * 1000, bytes(4)), "more than 34 fields"),
    "a thousand axes in one field": (
        content(1, content(1, b"a") + content(2, content(1, b"\x01" * 1000) + content(2, b"Int8") + content(3, b"x"))),
        "impossible shape",
    ),
    "two tensors of one name": (GOOD + mindspore("a", [1], bytes(4)), "two different tensors named 'a'"),
    "parts that do not add up": (GOOD + GOOD, r"shape \(2,\) .* in 16 bytes"),
    "a number without end": (b"\n" + b"\xff" * 20, "has no end"),
    "a length beyond the file": (b"\n" + varint(2**63) + b"x", "only [0-9]+ are there"),
    "a value without a tensor": (content(1, content(1, b"a")), "not a name and a tensor"),
    "a value of too many fields": (content(1, content(1, b"a") * 1000), "more than 2 fields"),
    "a number in place of a tensor": (content(1, content(1, b"a") + integer(2, 5)), "number where bytes belong"),
    "a number in place of a value": (GOOD + integer(1, 5), "number where bytes belong"),
    "another field": (GOOD + integer(9, 5), "has a field 9"),
    "another field in a tensor": (content(1, content(1, b"a") + content(2, integer(9, 5))), "tensor with a field 9"),
    "a group, which nobody writes": (GOOD + b"\x0b\x0c", "unknown kind 3"),
    "a name that is not UTF-8": (GOOD.replace(b"\x01a", b"\x01\xff"), "not UTF-8"),
    "a name that drives a terminal": (mindspore("\x1b[2J", [2], bytes(8)), "unprintable"),
    "nothing but text": (mindspore("a", [0], b"x\0\0\0", "str"), "holds no numbers"),
    "nothing at all": (b"\n", "has no end"),
    "a wrong checksum": (GOOD + b"crc_num" + (12345).to_bytes(10, "big"), "checksum does not fit"),
    "a file of ONNX": (b"\x08\x07" + GOOD, "is no checkpoint"),
    "an encrypted file": (b"\xd8\x5e\x3a\x7f" + bytes(100), "it is encrypted"),
}


@pytest.mark.parametrize("attack", MINDSPORE)
def test_a_mindspore_checkpoint_is_refused(attack: str, refused) -> None:
    refused(*MINDSPORE[attack])


def test_a_mindspore_checkpoint_of_too_many_tensors_is_refused(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mindspore_ckpt, "MAX_TENSORS", 1000)
    refused(mindspore("a", [0], b"", "str") * 1001, "more than 1000 fields")


def test_the_mindspore_checkpoints_would_be_read_if_they_were_good(tmp_path: Path) -> None:
    path = tmp_path / "good.ckpt"
    path.write_bytes(GOOD + b"crc_num" + zlib.crc32(GOOD).to_bytes(10, "big"))
    assert read_checkpoint(path).groups[""]["a"].tolist() == [0, 0]


def record(key: bytes, value: bytes, shared: int = 0) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def block(*records: bytes, compression: int = 0) -> bytes:
    raw = b"".join(records) + struct.pack("<II", 0, 1) + bytes([compression])
    return raw + struct.pack("<I", tensorbundle._masked_crc32c(memoryview(raw)))


def handle(offset: int, size: int) -> bytes:
    return varint(offset) + varint(size)


def table(*blocks: bytes, listed: list[int] | None = None) -> bytes:
    """A LevelDB table of data blocks; `listed` are the numbers of those in the index."""
    offsets = [sum(map(len, blocks[:i])) for i in range(len(blocks))]
    handles = [handle(offsets[i], len(blocks[i]) - 5) for i in listed or range(len(blocks))]
    index = block(*(record(b"%d" % i, place) for i, place in enumerate(handles)))
    start = sum(map(len, blocks))
    footer = handle(0, 0) + handle(start, len(index) - 5)
    return b"".join(blocks) + index + footer.ljust(40, b"\0") + tensorbundle.TENSORBUNDLE_SIGNATURE


def tensor(
    offset: int = 0, size: int = 8, shape: Iterable[int] = (2,), dtype: int = 1, shard: int = 0, more: bytes = b""
) -> bytes:
    dimensions = b"".join(content(2, integer(1, length)) for length in shape)
    return integer(1, dtype) + content(2, dimensions) + integer(3, shard) + integer(4, offset) + integer(5, size) + more


HEADER = record(b"", integer(1, 1))
TENSORFLOW = {
    "a shape that does not fit": (table(block(HEADER, record(b"a", tensor(shape=[3])))), "in 8 bytes"),
    "a shape that overflows": (table(block(HEADER, record(b"a", tensor(shape=[2**62, 4])))), "impossible shape"),
    "an unknown shape": (table(block(HEADER, record(b"a", tensor(shape=[-1])))), "impossible shape"),
    "a thousand axes": (table(block(HEADER, record(b"a", tensor(shape=[1] * 1000)))), "more than 32 fields"),
    "data outside of the shard": (table(block(HEADER, record(b"a", tensor(offset=2**40)))), "only 8 are there"),
    "data before the shard": (table(block(HEADER, record(b"a", tensor(offset=-8)))), "refers to 8 bytes at -8"),
    "a shard that is not there": (table(block(HEADER, record(b"a", tensor(shard=7)))), "its shard 7, but has 1"),
    "a negative shard": (table(block(HEADER, record(b"a", tensor(shard=-1)))), "its shard -1"),
    "a missing file": (table(block(record(b"", integer(1, 2)))), "data-00001-of-00002 cannot be read"),
    "a billion shards": (table(block(record(b"", integer(1, 2**30)))), "1 to 1024 shards"),
    "another byte order": (table(block(record(b"", integer(1, 1) + integer(2, 1)))), "no little-endian checkpoint"),
    "no header": (table(block(record(b"a", tensor()))), "its header"),
    "a header of text": (table(block(record(b"", content(1, b"x")))), "bytes where a number belongs"),
    "no entries": (table(block()), "its header"),
    "only slices": (table(block(HEADER, record(b"a", tensor(more=content(7, b""))))), "holds no numbers"),
    "only text": (table(block(HEADER, record(b"a", tensor(dtype=7)))), "holds no numbers"),
    "the same bytes again and again": (
        table(block(HEADER, *(record(b"%03d" % i, tensor()) for i in range(9)))),
        "more than 4 times the file",
    ),
    "keys out of order": (table(block(HEADER, record(b"b", tensor()), record(b"a", tensor()))), "out of order"),
    "a block listed twice": (
        table(block(HEADER, record(b"a", tensor())), listed=[0, 0]),
        "blocks of its index overlap",
    ),
    "a key that shares more than there is": (
        table(block(HEADER, record(b"a", b"", shared=9))),
        "refers to what is not",
    ),
    "a key that grows": (table(block(HEADER, record(b"a" * 2000, b""))), "overlong"),
    "a key that is not UTF-8": (table(block(HEADER, record(b"\xff", tensor()))), "not UTF-8"),
    "a compressed block": (table(block(HEADER, compression=1)), "is compressed"),
    "a flipped bit": (table(block(HEADER)).replace(HEADER, HEADER[:-1] + b"\x03"), "checksum in its index"),
    "an index outside of the file": (
        (handle(0, 0) + handle(2**40, 8)).ljust(40, b"\0") + tensorbundle.TENSORBUNDLE_SIGNATURE,
        "only 48 are there",
    ),
    "an index of ten megabytes": (bytes(10**7) + tensorbundle.TENSORBUNDLE_SIGNATURE, "expected at most"),
    "nothing but the signature": (tensorbundle.TENSORBUNDLE_SIGNATURE, "refers to 48 bytes"),
}


@pytest.mark.parametrize("attack", TENSORFLOW)
def test_a_tensorflow_checkpoint_is_refused(attack: str, refused, tmp_path: Path) -> None:
    (tmp_path / "hostile.data-00000-of-00001").write_bytes(bytes(8))
    (tmp_path / "hostile.data-00000-of-00002").write_bytes(bytes(8))
    refused(*TENSORFLOW[attack], name="hostile.index")


def test_the_tensorflow_checkpoints_would_be_read_if_they_were_good(tmp_path: Path) -> None:
    (tmp_path / "good.data-00000-of-00001").write_bytes(bytes(8))
    (tmp_path / "good.index").write_bytes(table(block(HEADER, record(b"a", tensor()))))
    assert read_checkpoint(tmp_path / "good").groups[""]["a"].tolist() == [0, 0]


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "lost.index").write_bytes(table(block(HEADER, record(b"a", tensor()))))
    with pytest.raises(InputError, match=re.escape("lost.data-00000-of-00001 cannot be read (No such file")):
        read_checkpoint(tmp_path / "lost")
