"""HDF5 as h5py writes it for Keras, read without the HDF5 library.

The library is written for files that one trusts: of 19,670 random mutations of a small file, 31 crashed the process
and 33 hung it (h5py 3.16 with HDF5 2.0). What h5py writes unless told otherwise is a small part of the format -
superblock 0, groups as symbol tables, object headers of version 1, contiguous data - and this module reads that part.
Everything else is refused by name: links, filters and chunks (which can swell), data in other files, and the layouts of
HDF5 1.8 and later.

Source: "HDF5 File Format Specification Version 3.0", The HDF Group; the sections are named below.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count, takewhile
from math import prod
from typing import NamedTuple

import numpy as np

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers.binary import BFLOAT16, check_shape, decode_array
from xception.convert.readers.limits import MAX_HDF5_STEPS, MAX_NAME_LENGTH
from xception.errors import InputError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_SOFT_LINK = 2
_SHARED = 2
_LAYOUT_VERSION = 3
_COMPACT, _CONTIGUOUS = 0, 1
_NULL = 2
_VLEN_TEXT = 1
_VAX = 0x40

# Types of header messages (IV.A.2).
_DATASPACE, _DATATYPE, _LAYOUT, _ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE = 0x1, 0x3, 0x8, 0xC, 0x10, 0x11
_REFUSED = {
    0x2: "a group in the layout of HDF5 1.8",
    0x6: "a link in the layout of HDF5 1.8",
    0x7: "data in another file",
    0xB: "compressed data",
    0x15: "attributes in the layout of HDF5 1.8",
}

# IEEE 754 numbers by size: bit offset, precision, positions and sizes of exponent and mantissa, bias (IV.A.2.d).
_IEEE = {
    2: bytes.fromhex("00001000 0a05000a 0f000000"),
    4: bytes.fromhex("00002000 17080017 7f000000"),
    8: bytes.fromhex("00004000 340b0034 ff030000"),
}


def _unsupported(what: str) -> InputError:
    return InputError(f"it uses {what}, which Keras does not; load it with Keras and save it again")


class _Type(NamedTuple):
    """An element type: a numpy type for numbers, otherwise text of fixed or variable length, or neither."""

    size: int
    dtype: str | None = None
    is_text: bool = False
    is_reference: bool = False
    is_opaque: bool = False


class _Cell(NamedTuple):
    """One element of an attribute."""

    kind: _Type
    raw: ByteSpan


class _File(ByteSpan):
    """The whole file, with a count of the steps that its reading has taken, so that no loop in it is endless."""

    def __init__(self, data: memoryview) -> None:
        super().__init__(data)
        self._steps_left = MAX_HDF5_STEPS
        self._heaps: dict[int, dict[int, memoryview]] = {}

    def spend(self, steps: int = 1) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise damaged("its structure has loops or is far larger than that of any network")

    def text(self, cell: _Cell, longest: int) -> str:
        """An element's text, which stands in the element itself or in a heap (III.E)."""
        if not cell.kind.is_reference:
            return _decode(bytes(cell.raw.data), longest)
        length, address, index = cell.raw.unpack("IQI", 0)
        if not length:
            return ""
        if address not in self._heaps:
            self._heaps[address] = dict(self._heap_objects(address))
        if index not in self._heaps[address]:
            raise damaged(f"it refers to its text {index}, which is not there")
        return _decode(bytes(ByteSpan(self._heaps[address][index]).take(0, length)[:longest]), longest)

    def _heap_objects(self, address: int) -> Iterator[tuple[int, memoryview]]:
        signature, version, size = self.unpack("4sB3xQ", address)
        if signature != b"GCOL" or version != 1:
            raise damaged(f"no text begins at byte {address}, where one should")
        position = 16
        while position + 16 <= size:
            self.spend()
            index, length = self.unpack("H6xQ", address + position)
            if not index:
                return
            yield index, self.take(address + position + 16, length)
            position += 16 + length + -length % 8


class HDF5Node:
    """A group or a dataset, with its attributes."""

    def __init__(self, file: _File, address: int, path: str) -> None:
        self.path = path
        self._file = file
        self._messages = list(_messages(file, address))

    @cached_property
    def children(self) -> dict[str, int]:
        """Names in the group, in alphabetical order, with the addresses that `child` needs; empty for a dataset."""
        tables = [body for kind, body in self._messages if kind == _SYMBOL_TABLE]
        return dict(_symbols(self._file, *tables[0].unpack("QQ", 0))) if tables else {}

    def child(self, path: str) -> "HDF5Node":
        """The object at a path with slashes below this group."""
        node = self
        for name in path.split("/"):
            if name not in node.children:
                raise damaged(f"it refers to {name[:80]!r} in {node.path[:80]!r}, which is not there")
            node = HDF5Node(self._file, node.children[name], f"{node.path}/{name}")
        return node

    def text(self, name: str, longest: int = MAX_NAME_LENGTH) -> str | None:
        """An attribute that is one text, or None."""
        cells = self._cells(name)
        return self._file.text(cells[0], longest) if cells and len(cells) == 1 else None

    def texts(self, name: str) -> list[str] | None:
        """An attribute that lists texts, or None. Keras cuts a long list into pieces with numbered names."""
        names = (name,) if name in self._attributes else (f"{name}{i}" for i in count())
        pieces = list(takewhile(lambda cells: cells is not None, map(self._cells, names)))
        return [self._file.text(cell, MAX_NAME_LENGTH) for cells in pieces for cell in cells or ()] if pieces else None

    def array(self) -> np.ndarray:
        """The dataset's numbers.

        Raises:
            InputError: it is not a dataset of numbers that lies in one piece in this file.
        """
        kind_of_element = _element_type(self._one(_DATATYPE))
        dtype = kind_of_element.dtype
        if kind_of_element.is_opaque and kind_of_element.size == 2 and self.text("dtype") == BFLOAT16:
            dtype = BFLOAT16  # HDF5 has no such type; Keras says so in an attribute
        if dtype is None:
            raise InputError(f"its {self.path[:200]!r} does not hold numbers; expected the weights of a network")
        shape = _shape(self._one(_DATASPACE))
        layout = self._one(_LAYOUT)
        version, kind = layout.unpack("BB", 0)
        if version != _LAYOUT_VERSION or kind not in (_COMPACT, _CONTIGUOUS):
            raise _unsupported("data in chunks or in a layout of HDF5 1.8 or later")
        if kind == _COMPACT:
            return decode_array(layout.take(4, *layout.unpack("H", 2)), dtype, shape)
        address, size = layout.unpack("QQ", 2)
        return decode_array(self._file.take(address if size else 0, size), dtype, shape)

    def _one(self, kind: int) -> ByteSpan:
        found = [body for message, body in self._messages if message == kind]
        if len(found) != 1:
            raise damaged(f"its {self.path[:200]!r} is not a complete dataset")
        return found[0]

    @cached_property
    def _attributes(self) -> dict[str, tuple[_Type, Sequence[int], ByteSpan]]:
        return dict(_attribute(body) for kind, body in self._messages if kind == _ATTRIBUTE)

    def _cells(self, name: str) -> list[_Cell] | None:
        """The elements of an attribute of texts; an empty list has none, whatever its type."""
        if name not in self._attributes:
            return None
        kind, shape, raw = self._attributes[name]
        size = prod(shape)
        self._file.spend(size)
        if size and not kind.is_text:
            raise damaged(f"the attribute {name!r} of its {self.path[:80]!r} is not text")
        return [_Cell(kind, ByteSpan(raw.take(i * kind.size, kind.size))) for i in range(size)]


def open_hdf5(data: memoryview) -> HDF5Node:
    """The root group.

    Raises:
        InputError: the file is cut short or in a layout of HDF5 1.8 or later.
    """
    file = _File(data)
    version, offset_size, length_size = file.unpack("B4xBB", len(HDF5_SIGNATURE))
    if version != 0 or (offset_size, length_size) != (8, 8):
        raise _unsupported(f"superblock {version}, a layout of HDF5 1.8 or later")
    base, end, root = file.unpack("Q8xQ16xQ", 24)
    if base or end > len(file):
        raise damaged(f"it should have {end} bytes, but has {len(file)}")
    return HDF5Node(file, root, "")


def _messages(file: _File, address: int) -> Iterator[tuple[int, ByteSpan]]:
    """Type and content of an object's header messages (IV.A.1.a)."""
    version, left, size = file.unpack("BxH4xI", address)
    if version != 1:
        raise _unsupported("an object in a layout of HDF5 1.8 or later")
    blocks = [(address + 16, size)]
    for start, length in blocks:
        block = ByteSpan(file.take(start, length))
        position = 0
        while left and position < len(block):
            kind, size, flags = block.unpack("HHB", position)
            body = ByteSpan(block.take(position + 8, size))
            position += 8 + size
            left -= 1
            file.spend()
            if kind in _REFUSED or flags & _SHARED:
                raise _unsupported(_REFUSED.get(kind, "shared descriptions"))
            if kind == _CONTINUATION:
                blocks.append(body.unpack("QQ", 0))
            else:
                yield kind, body


def _symbols(file: _File, tree: int, heap: int) -> Iterator[tuple[str, int]]:
    """Names and addresses in a group (III.A.1, III.B, III.C and III.D)."""
    signature, size, names = file.unpack("4s4xQ8xQ", heap)
    if signature != b"HEAP":
        raise damaged(f"no names begin at byte {heap}, where they should")
    heap_data = ByteSpan(file.take(names, size))
    for node, entries in _leaves(file, tree):
        for i in range(entries):
            name, address, kind = file.unpack("QQI", node + 8 + 40 * i)
            if kind == _SOFT_LINK:
                raise _unsupported("a soft link")
            raw = bytes(heap_data.data[name : name + MAX_NAME_LENGTH])
            yield _decode(raw, MAX_NAME_LENGTH), address


def _leaves(file: _File, tree: int) -> Iterator[tuple[int, int]]:
    """Address and number of entries of a group's symbol tables, in the order of the names."""
    pending = [tree]
    while pending:
        address = pending.pop()
        signature, kind, _, entries = file.unpack("4sBBH", address)
        if signature == b"SNOD":
            file.spend(entries := file.unpack("H", address + 6)[0])
            yield address, entries
        elif signature == b"TREE" and kind == 0:
            file.spend(entries + 1)
            children = file.unpack("8xQ" * entries, address + 24)
            pending.extend(reversed(children))
        else:
            raise damaged(f"no group continues at byte {address}, where one should")


def _attribute(body: ByteSpan) -> tuple[str, tuple[_Type, Sequence[int], ByteSpan]]:
    """Name, type, shape and content of an attribute (IV.A.2.m)."""
    version, flags, *sizes = body.unpack("BBHHH", 0)
    if version not in (1, 2, 3) or (version > 1 and flags):
        raise _unsupported("an attribute in another layout")
    position = 9 if version == 3 else 8
    parts = []
    for size in sizes:
        parts.append(ByteSpan(body.take(position, size)))
        position += size + (-size % 8 if version == 1 else 0)
    name, kind, shape = _decode(bytes(parts[0].data), MAX_NAME_LENGTH), _element_type(parts[1]), _shape(parts[2])
    return name, (kind, shape, ByteSpan(body.take(position, kind.size * prod(shape))))


def _element_type(body: ByteSpan) -> _Type:
    """The type of one element (IV.A.2.d)."""
    version_and_class, flags, size = body.unpack("BB2xI", 0)
    order = ">" if flags & 1 else "<"
    match version_and_class & 0xF:
        case 0 if size in (1, 2, 4, 8) and body.unpack("HH", 8) == (0, 8 * size):
            return _Type(size, f"{order}{'i' if flags & 8 else 'u'}{size}")
        case 1 if size in _IEEE and body.take(8, 12) == _IEEE[size] and not flags & _VAX:
            return _Type(size, f"{order}f{size}")
        case 3 if size:
            return _Type(size, is_text=True)
        case 5:
            return _Type(size, is_opaque=True)
        case 9 if size == 16 and flags & 0xF == _VLEN_TEXT:
            return _Type(size, is_text=True, is_reference=True)
    return _Type(size)


def _shape(body: ByteSpan) -> Sequence[int]:
    """The dimensions of a dataset or attribute; () for a single value (IV.A.2.b)."""
    version, rank, _, kind = body.unpack("BBBB", 0)
    if version == 2 and kind == _NULL:
        return (0,)
    if version not in (1, 2):
        raise damaged(f"it describes a shape in version {version}, expected 1 or 2")
    return check_shape(body.unpack(f"{rank}Q", 8 if version == 1 else 4))


def _decode(raw: bytes, longest: int) -> str:
    """The text up to the first zero byte."""
    raw = raw.partition(b"\0")[0]
    if len(raw) >= longest:
        raise damaged(f"it holds a text of {len(raw)} bytes where a shorter one belongs")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise damaged("a text in it is not UTF-8") from error
