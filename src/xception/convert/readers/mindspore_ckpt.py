"""Files of mindspore.save_checkpoint: a protocol buffer of named tensors.

    Checkpoint   1 value: repeated Value
    Value        1 tag: string         2 tensor: TensorProto
    TensorProto  1 dims: repeated int64    2 tensor_type: string    3 tensor_content: bytes, little endian

An array of more than 512 MiB comes as several values of the same tag and the full dims. MindSpore appends a checksum on
request. Source: mindspore/ccsrc/utils/checkpoint.proto and mindspore/train/serialization.py of MindSpore 2.10.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers.binary import BFLOAT16, decode_array
from xception.convert.readers.checkpoint import CheckpointContents, Gathering, check_name
from xception.convert.readers.limits import MAX_RANK, MAX_TENSORS
from xception.errors import InputError
from xception.protobuf import content, fields, read_varint, signed, text

MINDSPORE_SIGNATURE = b"\n"
"""The key of the first field; files of other kinds that begin so fail to parse."""

ENCRYPTED_SIGNATURES = (b"\xd8\x5e\x3a\x7f", b"\xd9\x5e\x3a\x7f")

_CHECKSUM_MARK = b"crc_num"
_CHECKSUM_SIZE = 10
_DTYPES = {
    "Float64": "<f8",
    "Float32": "<f4",
    "Float16": "<f2",
    "BFloat16": BFLOAT16,
    "Int64": "<i8",
    "Int32": "<i4",
    "Int16": "<i2",
    "Int8": "|i1",
    "UInt64": "<u8",
    "UInt32": "<u4",
    "UInt16": "<u2",
    "UInt8": "|u1",
    "Bool": "|b1",
}


@dataclass
class _Tensor:
    """A TensorProto, or several that belong together."""

    dims: list[int] = field(default_factory=list)
    dtype: str = ""
    parts: list[memoryview] = field(default_factory=list)

    @property
    def shape(self) -> list[int]:
        """The dims, but for MindSpore's way to write the shape of a single value, which is [0]."""
        return [] if self.dims == [0] and self.parts and len(self.parts[0]) else self.dims


def refuse_encrypted(*_: object) -> CheckpointContents:
    """Say what an encrypted file needs."""
    raise InputError("it is encrypted; load it with its key (dec_key) in MindSpore and save it without")


def read_mindspore(_: Path, data: memoryview) -> CheckpointContents:
    """The tensors of a `.ckpt`."""
    tensors: dict[str, _Tensor] = {}
    for tag, tensor in _values(_checked(data)):
        whole = tensors.setdefault(tag, tensor)
        if whole is not tensor:
            if (whole.dims, whole.dtype) != (tensor.dims, tensor.dtype):
                raise damaged(f"it holds two different tensors named {tag!r}")
            whole.parts += tensor.parts
    gathering = Gathering(len(data))
    left_out = []
    for tag, tensor in tensors.items():
        if tensor.dtype in _DTYPES:
            gathering.add(tag, decode_array(_joined(tensor.parts), _DTYPES[tensor.dtype], tensor.shape))
        else:
            left_out.append(tag)
    if not gathering.groups:
        raise InputError("it holds no numbers; expected the weights of a network")
    return CheckpointContents(container="mindspore_ckpt", groups=gathering.groups, metadata={"left_out": left_out})


def _checked(data: memoryview) -> memoryview:
    """The file without its checksum, which must fit if there is one."""
    end = len(data) - _CHECKSUM_SIZE - len(_CHECKSUM_MARK)
    if end < 0 or not ByteSpan(data).starts_with(_CHECKSUM_MARK, end):
        return data
    if zlib.crc32(data[:end]) != int.from_bytes(data[-_CHECKSUM_SIZE:], "big"):
        raise damaged("its checksum does not fit")
    return data[:end]


def _values(data: memoryview) -> Iterator[tuple[str, _Tensor]]:
    for number, value in fields(data, MAX_TENSORS):
        if number != 1:
            raise damaged(f"it has a field {number}, which no MindSpore checkpoint has")
        parts = dict(fields(content(value), 2))
        if parts.keys() != {1, 2}:
            raise damaged("one of its values is not a name and a tensor")
        yield check_name(text(parts[1])), _tensor(content(parts[2]))


def _tensor(data: memoryview) -> _Tensor:
    tensor = _Tensor()
    for number, value in fields(data, MAX_RANK + 2):
        match number:
            case 1:
                tensor.dims += _packed(value) if isinstance(value, memoryview) else [signed(value)]
            case 2:
                tensor.dtype = text(value)
            case 3:
                tensor.parts.append(content(value))
            case _:
                raise damaged(f"it has a tensor with a field {number}, which no MindSpore checkpoint has")
    return tensor


def _packed(data: memoryview) -> list[int]:
    """Numbers one behind the other, as newer writers of protocol buffers would put them."""
    span = ByteSpan(data)
    numbers: list[int] = []
    position = 0
    while position < len(span) and len(numbers) <= MAX_RANK:
        number, position = read_varint(span, position)
        numbers.append(signed(number))
    return numbers


def _joined(parts: list[memoryview]) -> memoryview:
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
