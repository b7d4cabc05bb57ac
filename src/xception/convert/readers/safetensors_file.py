"""Safetensors: a length, a JSON header, and the tensors' bytes without gaps.

The safetensors package is not used because it has no bfloat16 for numpy and returns tensors in no particular order.
Source: https://github.com/huggingface/safetensors, section "Format".
"""

from pathlib import Path

import msgspec

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers.binary import BFLOAT16, decode_array, decode_json
from xception.convert.readers.checkpoint import CheckpointContents, Gathering, check_name
from xception.convert.readers.class_names import CLASS_KEYS, STATED_NAMES, stated_names
from xception.inputs import parse_json
from xception.weights import check_names

_LENGTH_SIZE = 8
_METADATA = "__metadata__"
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def is_safetensors(data: memoryview) -> bool:
    """True if a JSON object follows a length, which is all the signature that the format has."""
    return len(data) > _LENGTH_SIZE and data[_LENGTH_SIZE] == ord("{")


def read_safetensors(_: Path, data: memoryview) -> CheckpointContents:
    """The tensors in the order of their bytes; `metadata` is the header's."""
    span = ByteSpan(data)
    (size,) = span.unpack("Q", 0)
    raw = span.take(_LENGTH_SIZE, size)
    header = decode_json(raw, "its header")
    _check_names(raw)
    metadata = _metadata(header.pop(_METADATA, {}))
    content = ByteSpan(data[_LENGTH_SIZE + size :])
    gathering, end = Gathering(len(data)), 0
    entries = {check_name(name): _entry(name, value) for name, value in header.items()}
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        start, stop = entry.data_offsets
        if start != end or entry.dtype not in _DTYPES:
            raise damaged(
                f"its tensor {name!r} is {entry.dtype[:20]!r} from byte {start}, expected a known type from byte {end}"
            )
        gathering.add(name, decode_array(content.take(start, stop - start), _DTYPES[entry.dtype], entry.shape))
        end = stop
    if end != len(content) or not gathering.groups:
        raise damaged(f"its tensors take {end} bytes, but {len(content)} are there")
    names = stated_names({key: _as_json(value) for key, value in metadata.items() if key in CLASS_KEYS})
    metadata |= {STATED_NAMES: names} if names else {}
    return CheckpointContents(container="safetensors", groups=gathering.groups, metadata=metadata)


def _as_json(text: object) -> object:
    """The value of a header's entry, which is a text, if it is JSON."""
    try:
        return parse_json(str(text), dict[str, object] | list[object])
    except msgspec.DecodeError:
        return None


def _check_names(header: memoryview) -> None:
    try:
        check_names(header)
    except ValueError as error:
        raise damaged(str(error)) from error


def _metadata(value: object) -> dict[str, object]:
    try:
        return dict(msgspec.convert(value, dict[str, str]))
    except msgspec.ValidationError as error:
        raise damaged(f"its {_METADATA} is not text by name ({error})") from error


def _entry(name: str, value: object) -> _Entry:
    try:
        return msgspec.convert(value, _Entry)
    except msgspec.ValidationError as error:
        raise damaged(f"its header describes {name!r} in another way than safetensors does ({error})") from error
