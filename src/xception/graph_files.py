"""Inspection of graph files for anything unsafe, before a runtime opens them.

A graph is taken only if it is all there is: an ONNX file may name other files on this disk, or even places in memory,
from which a runtime takes weights that no hash covers; and operations of others run code that came from elsewhere.
Numbers of fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and of
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs.
"""

import io
import re
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import ParseError, iterparse

from xception.byte_span import ByteSpan, damaged
from xception.errors import InputError
from xception.flatbuffer import IDENTIFIER
from xception.protobuf import content, fields, text

MAX_FIELDS = 1_000_000
"""Fields of one message; the largest network here has some thousand nodes and initial values."""

MAX_NESTED_GRAPHS = 16
"""Graphs within graphs, as the branches of a condition are."""

ONNX_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Sets of operations that are parts of ONNX and of ONNX Runtime; of all others the code would have to come along."""

ENDLESS = frozenset({"Loop", "Scan"})
"""Operations that a file can make run for ever, which no image classifier needs."""

LITERT_CUSTOM, LITERT_WHILE = 32, 119
"""Kinds of operations: one whose code comes along under a name, and a loop."""

LITERT_EXTERNAL_FIELDS = (8, 9)
"""Fields of a LiteRT model with the values that lie in other files."""

OPENVINO_OPSET = re.compile(r"opset\d+")

GET_ONE_FILE = "get the model from its source again, as one file of standard operations"


def check_onnx_closed(data: bytes | memoryview) -> None:
    """Refuse an ONNX file that is not the whole network, or has operations of others or without an end.

    Raises:
        InputError: says which; also for a file that is no protocol buffer.
    """
    model = list(fields(memoryview(data), MAX_FIELDS))
    functions = [list(fields(content(value), MAX_FIELDS)) for number, value in model if number == 25]
    own = {domain for function in functions for domain in _texts(function, 10)}
    for number, value in model:
        if number == 7:
            _check_graph(content(value), own, 0)
        elif number == 20:
            raise InputError(f"it holds steps of a training, which no classifier runs; {GET_ONE_FILE}")
    for function in functions:
        for number, value in function:
            if number == 7:
                _check_node(content(value), own, 0)


def check_openvino_closed(data: bytes | memoryview) -> None:
    """Refuse a graph of OpenVINO that declares entities or has operations from extensions.

    Raises:
        InputError: says which; also for a file that is no XML.
    """
    for name, version in _layers(bytes(data)):
        if not OPENVINO_OPSET.fullmatch(version):
            raise InputError(f"its operation {name!r} is from the extension {version!r}; {GET_ONE_FILE}")


def check_litert_closed(data: bytes | memoryview) -> None:
    """Refuse a LiteRT file that takes values from other files, or has operations of others or without an end.

    Raises:
        InputError: says which; also for a file that is no flatbuffer.
    """
    span = ByteSpan(memoryview(data))
    if not span.starts_with(IDENTIFIER, 4):
        raise damaged("it lacks the mark of a LiteRT file")
    model = _Table(span, span.unpack("I", 0)[0])
    if any(model.field(number) for number in LITERT_EXTERNAL_FIELDS):
        raise InputError(f"it takes values from outside itself, which its hash does not cover; {GET_ONE_FILE}")
    for code in model.tables(1):
        # Older readers know the first of the two numbers, which ends at 127; the larger one holds.
        kind = max(code.number(0, "b"), code.number(3, "i"))
        if kind == LITERT_CUSTOM:
            raise InputError(f"its operation {code.text(1)!r} is from an extension; {GET_ONE_FILE}")
        if kind == LITERT_WHILE:
            raise InputError(f"it holds a WHILE, which may never end; {GET_ONE_FILE}")


class _Table:
    """A table of a flatbuffer: its fields lie where a list of offsets says, which stands elsewhere in the file."""

    def __init__(self, span: ByteSpan, start: int) -> None:
        self._span, self._start = span, start
        self._offsets = start - span.unpack("i", start)[0]

    def field(self, number: int) -> int:
        """The position of a field, 0 if the table has none of this number."""
        place = 4 + 2 * number
        if place + 2 > self._span.unpack("H", self._offsets)[0]:
            return 0
        offset = self._span.unpack("H", self._offsets + place)[0]
        return self._start + offset if offset else 0

    def number(self, number: int, layout: str) -> int:
        position = self.field(number)
        return int(self._span.unpack(layout, position)[0]) if position else 0

    def text(self, number: int) -> str:
        position = self.field(number)
        if not position:
            return ""
        start, length = self._vector(position)
        return bytes(self._span.take(start, length)).decode(errors="replace")

    def tables(self, number: int) -> "Iterator[_Table]":
        position = self.field(number)
        if position:
            start, length = self._vector(position)
            self._span.take(start, 4 * length)
            for place in range(start, start + 4 * length, 4):
                yield _Table(self._span, place + self._span.unpack("I", place)[0])

    def _vector(self, position: int) -> tuple[int, int]:
        """The position of the first element, and how many there are."""
        start = position + self._span.unpack("I", position)[0]
        return start + 4, self._span.unpack("I", start)[0]


def _layers(data: bytes) -> Iterator[tuple[str, str]]:
    """Type and version of every layer."""
    if b"<!" in re.sub(rb"<!--.*?-->", b"", data, flags=re.DOTALL):
        raise InputError(f"it declares a document type, which no graph needs; {GET_ONE_FILE}")
    try:
        # Without a document type there are no entities, and so nothing that grows.
        for _, element in iterparse(io.BytesIO(data)):  # noqa: S314
            if element.tag == "layer":
                yield element.get("type", ""), element.get("version", "")
            element.clear()
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(f"it is not XML ({error}); {GET_ONE_FILE}") from error


def _check_graph(graph: memoryview, own: set[str], depth: int) -> None:
    if depth > MAX_NESTED_GRAPHS:
        raise InputError(f"its graphs are nested more than {MAX_NESTED_GRAPHS} deep; {GET_ONE_FILE}")
    for number, value in fields(graph, MAX_FIELDS):
        if number == 1:
            _check_node(content(value), own, depth)
        elif number in (5, 15):
            _TENSORS[number](content(value))


def _check_node(node: memoryview, own: set[str], depth: int) -> None:
    found = list(fields(node, MAX_FIELDS))
    # A field that comes twice is one of which readers may take either.
    domains, kinds = _texts(found, 7), _texts(found, 4)
    if foreign := domains - ONNX_DOMAINS - own:
        raise InputError(f"its operation {'/'.join(kinds)!r} is from the domain {min(foreign)!r}; {GET_ONE_FILE}")
    if endless := kinds & ENDLESS:
        raise InputError(f"it holds a {min(endless)}, which may never end; {GET_ONE_FILE}")
    for number, value in found:
        if number == 5:
            _check_attribute(content(value), own, depth)


def _check_attribute(attribute: memoryview, own: set[str], depth: int) -> None:
    for number, value in fields(attribute, MAX_FIELDS):
        if number in (6, 11):
            _check_graph(content(value), own, depth + 1)
        elif number in (5, 10, 22, 23):
            _TENSORS[number](content(value))


def _check_tensor(tensor: memoryview) -> None:
    for number, value in fields(tensor, MAX_FIELDS):
        if number == 13 or (number == 14 and value):
            raise InputError(f"it takes values from outside itself, which its hash does not cover; {GET_ONE_FILE}")


def _check_sparse_tensor(tensor: memoryview) -> None:
    for number, value in fields(tensor, MAX_FIELDS):
        if number in (1, 2):
            _check_tensor(content(value))


_TENSORS: dict[int, Callable[[memoryview], None]] = {
    5: _check_tensor,
    10: _check_tensor,
    15: _check_sparse_tensor,
    22: _check_sparse_tensor,
    23: _check_sparse_tensor,
}
"""Checks by the number that such a field has in a graph and in an attribute."""


def _texts(found: list[tuple[int, int | memoryview]], wanted: int) -> set[str]:
    return {text(value) for number, value in found if number == wanted}
