"""Files of torch.save: a zip archive since version 1.6, a row of pickles before.

In both, a pickle describes tensors as views (offset, shape, strides) of numbered storages, whose bytes stand elsewhere
in the file. Source: torch/serialization.py and torch/_utils.py of PyTorch 2.13.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers.binary import BFLOAT16, check_shape, decode_array, stored_type
from xception.convert.readers.checkpoint import CheckpointContents, Gathering, check_name
from xception.convert.readers.limits import MAX_RANK
from xception.convert.readers.numpy_pickle import NumpyArray, numpy_calls
from xception.convert.readers.pickles import Global, Opaque, Pickled, PickledCall, interpret, ordered_dict
from xception.convert.readers.state_dicts import gather_state_dicts
from xception.convert.readers.zips import Archive
from xception.errors import InputError

LEGACY_SIGNATURE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The legacy layout begins with a pickle of the number 0x1950a86a20f9469cfc6c."""

PROGRAM = "data.pkl"
"""The member of the zip layout that holds the pickle; its folder has a name that depends on the file's."""

_LEGACY_VERSION = 1001
_DTYPES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": BFLOAT16,
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "|i1",
    "torch.ByteStorage": "|u1",
    "torch.BoolStorage": "|b1",
}
# Calls whose results no weight depends on, but which trainers keep next to the weights.
_IRRELEVANT = (
    *("torch.device", "torch.torch_version.TorchVersion", "types.SimpleNamespace", "functools.partial"),
    *(f"pathlib.{inner}{kind}Path" for inner in ("", "_local.") for kind in ("Posix", "Windows", "PurePosix")),
    *(f"datetime.{kind}" for kind in ("datetime", "date", "time", "timedelta", "timezone")),
    *("decimal.Decimal", "uuid.UUID", "__builtin__.xrange"),
    *(f"{place}.{kind}" for place in ("builtins", "__builtin__") for kind in ("set", "frozenset", "slice", "complex")),
    "builtins.range",
    *(f"numpy.random._pickle.{kind}_ctor" for kind in ("__randomstate", "__generator", "__bit_generator")),
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
)


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str
    count: int


@dataclass(frozen=True, eq=False)
class _View:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_zip(archive: Archive, file_bytes: int) -> CheckpointContents:
    """The tensors in the zip layout."""
    program = next(name for name in archive.names if name.endswith(f"/{PROGRAM}"))
    folder = program.removesuffix(PROGRAM)
    if f"{folder}byteorder" in archive.names and bytes(archive.read(f"{folder}byteorder")) != b"little":
        raise InputError("it was written on a big-endian machine; load it with torch and save it on this one")
    pickled = interpret(ByteSpan(archive.read(program)), 0, _calls(), _storage)
    return _checkpoint("torch_zip", pickled, file_bytes, lambda storage: archive.read(f"{folder}data/{storage.key}"))


def read_torch_legacy(_: Path, data: memoryview) -> CheckpointContents:
    """The tensors in the layout of torch before 1.6: signature, version, system, program, keys, then the storages."""
    span = ByteSpan(data)
    version = interpret(span, len(LEGACY_SIGNATURE), {})
    if version.value != _LEGACY_VERSION:
        raise damaged(f"its layout has another version than {_LEGACY_VERSION}")
    system = interpret(span, version.end, {})
    if not isinstance(system.value, dict) or system.value.get("little_endian") is not True:
        raise InputError("it was not written on a little-endian machine; load it with torch and save it on this one")
    storages: dict[str, _Storage] = {}

    def remember(identifier: tuple[Any, ...]) -> _Storage:
        storage = _storage(identifier)
        return storages.setdefault(storage.key, storage)

    program = interpret(span, system.end, _calls(), remember)
    content = _legacy_content(span, interpret(span, program.end, {}), storages)
    return _checkpoint("torch_legacy", program, len(data), lambda storage: content[storage.key])


def _legacy_content(span: ByteSpan, keys: Pickled, storages: Mapping[str, _Storage]) -> dict[str, memoryview]:
    """The bytes of each storage, which stand one behind the other, each after its number of elements."""
    if not isinstance(keys.value, list) or len(keys.value) != len(storages):
        raise damaged("its list of storages does not fit its pickle")
    content = {}
    position = keys.end
    for key in keys.value:
        if not isinstance(key, str) or key not in storages:
            raise damaged("its list of storages does not fit its pickle")
        (count,) = span.unpack("q", position)
        size = count * stored_type(_element_type(storages[key])).itemsize
        content[key] = span.take(position + 8, size)
        position += 8 + size
    return content


def _checkpoint(
    container: str, pickled: Pickled, file_bytes: int, load: Callable[[_Storage], memoryview]
) -> CheckpointContents:
    gathering = Gathering(file_bytes)

    @cache
    def numbers(storage: _Storage) -> np.ndarray:
        return decode_array(load(storage), _element_type(storage), (storage.count,))

    def tensor_of(value: object) -> np.ndarray | None:
        if isinstance(value, _View):
            return _view(numbers(value.storage), value)
        return value.array if isinstance(value, NumpyArray) else None

    metadata = gather_state_dicts(pickled.value, gathering, tensor_of)
    classes = sorted(map(check_name, pickled.passed_over))
    return CheckpointContents(
        container=container, groups=gathering.groups, metadata=metadata | {"classes_passed_over": classes}
    )


def _view(numbers: np.ndarray, view: _View) -> np.ndarray:
    """The part of a storage that a tensor shows."""
    size = prod(check_shape(view.shape))
    last = view.offset + sum((length - 1) * stride for length, stride in zip(view.shape, view.strides, strict=True))
    if min(view.strides, default=0) < 0 or view.offset < 0 or size > len(numbers) or (size and last >= len(numbers)):
        raise damaged(f"its tensor of shape {view.shape} reaches outside of its storage of {len(numbers)} elements")
    if not size:
        return np.empty(view.shape, numbers.dtype)
    strides = [
        stride * numbers.itemsize if length > 1 else 0 for length, stride in zip(view.shape, view.strides, strict=True)
    ]
    array: np.ndarray = np.ndarray(view.shape, numbers.dtype, numbers, view.offset * numbers.itemsize, strides)
    return array


def _element_type(storage: _Storage) -> str:
    if storage.kind not in _DTYPES:
        raise InputError(f"it holds numbers of the unknown type {storage.kind[:80]!r}; save the weights as float32")
    return _DTYPES[storage.kind]


def _calls() -> dict[str, PickledCall]:
    return numpy_calls() | {
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
        "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
        "torch.Size": _same,
        "collections.OrderedDict": ordered_dict,
        "collections.defaultdict": lambda _: {},
        "collections.Counter": _same,
        "builtins.getattr": _member,
        "__builtin__.getattr": _member,
        **dict.fromkeys(_IRRELEVANT, lambda _: Opaque("a value that no weight depends on")),
    }


def _storage(identifier: tuple[Any, ...]) -> _Storage:
    """The storage with a persistent identifier: "storage", type, key, device, count and, in the legacy layout, None."""
    match identifier:
        case ("storage", Global(name=kind), str(key), str(), int(count), *rest) if rest in ([], [None]):
            return _Storage(key, kind, count)
    raise damaged("its pickle refers to something else than a storage of numbers")


def _rebuild_tensor(arguments: tuple[Any, ...]) -> _View:
    match arguments:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), *_) if _are_layout(shape, strides):
            return _View(storage, offset, shape, strides)
    raise damaged("its pickle makes a tensor of something else than a storage, an offset, a shape and strides")


def _are_layout(shape: tuple[object, ...], strides: tuple[object, ...]) -> bool:
    return len(shape) == len(strides) <= MAX_RANK and all(isinstance(number, int) for number in shape + strides)


def _rebuild_parameter(arguments: tuple[Any, ...]) -> _View:
    if not arguments or not isinstance(arguments[0], _View):
        raise damaged("its pickle makes a parameter of something else than a tensor")
    return arguments[0]


def _member(arguments: tuple[Any, ...]) -> Opaque:
    """A member of an enumeration, as Python writes one from version 3.11 on."""
    match arguments:
        case (Global(name=kind), str()):
            return Opaque(kind)
    raise damaged("its pickle asks for a part of something that is no class")


def _same(arguments: tuple[Any, ...]) -> object:
    """The one argument of a constructor that only copies it."""
    if len(arguments) != 1:
        raise damaged(f"its pickle copies {len(arguments)} things as if they were one")
    return arguments[0]
