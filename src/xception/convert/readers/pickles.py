"""Pickles, interpreted instead of unpickled.

A pickle is a program for a stack machine. Python's own machine imports and calls what the program names; this one has
no way to do either. A name becomes a `Global`, which is only its name. A call is looked up in a table of functions of
ours that describe what was to be built, and refused if it is not there. An instance of an unknown class, or a call of
one of some package, becomes an `Opaque`, which remembers nothing but the class's name, and so does a set, whose order
means nothing; the arguments of a training script are kept as they are.

Every opcode takes a bounded amount of time and memory, and their number is bounded. That is why dictionaries take only
keys whose hash costs nothing, and why no function in the table may copy what it is given.
"""

import pickletools
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, Protocol, runtime_checkable

from xception.byte_span import ByteSpan, damaged
from xception.convert.readers.limits import MAX_OPCODES
from xception.errors import InputError

PickledCall = Callable[[tuple[Any, ...]], object]
"""A stand-in for a function: it gets the arguments that the pickle provides, of any number and type."""

# The keys of state dicts and optimizer states; Python hashes integers below this size to themselves.
_MAX_KEY = 2**61
_MAX_INTEGER_BYTES = 16
_MAX_GLOBAL_LENGTH = 256
_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}
_LENGTH_LAYOUTS = {
    pickletools.TAKEN_FROM_ARGUMENT1: "B",
    pickletools.TAKEN_FROM_ARGUMENT4: "i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "Q",
}


@dataclass(frozen=True, eq=False)
class Global:
    """The name of a class or function, such as "torch.FloatStorage"; nothing is ever imported by it."""

    name: str


NAMESPACE, SET = "argparse.Namespace", "a set"


@dataclass(frozen=True, eq=False)
class Opaque:
    """Stands for an object of class `name` that no weight depends on."""

    name: str

    def build(self, state: object) -> None:
        """Forget the object's state."""


class StatedArguments:
    """Stands for an `argparse.Namespace`, in which training scripts keep what a network was made with."""

    name = NAMESPACE

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}

    def build(self, state: object) -> None:
        """Take the arguments by name."""
        if isinstance(state, dict):
            self.values = state


@runtime_checkable
class Buildable(Protocol):
    """An object that a pickle completes after creating it."""

    def build(self, state: object) -> None: ...


class Pickled(NamedTuple):
    """The value that a pickle describes, the position behind it, and the classes whose instances were passed over."""

    value: object
    end: int
    passed_over: set[str]


def interpret(
    span: ByteSpan, start: int, calls: Mapping[str, PickledCall], load_persistent: PickledCall | None = None
) -> Pickled:
    """Carry out the pickle at `start`.

    Args:
        span: the bytes.
        start: where the pickle begins.
        calls: what stands in for the functions that a pickle may call, by their full names.
        load_persistent: what stands in for objects outside the pickle; None refuses them.

    Raises:
        InputError: it is malformed, too long, or asks for something that is in no table.
    """
    machine = _Machine(calls, load_persistent)
    for name, argument, end in _operations(span, start):
        if name == "STOP":
            return Pickled(machine.pop(), end, machine.passed_over)
        if name in _LITERALS:
            machine.push(_LITERALS[name](argument))
        elif name in _OPERATIONS:
            _OPERATIONS[name](machine, argument)
        else:
            raise InputError(
                f"its pickle uses the opcode {name}, which no checkpoint needs; save it again as a plain state dict"
            )
    raise InputError(
        f"its pickle takes more than {MAX_OPCODES} steps, which no training state does; save only the state dict"
    )


def _operations(span: ByteSpan, position: int) -> Iterator[tuple[str, memoryview, int]]:
    """Opcode name, raw argument and position of the next opcode, up to the limit."""
    for _ in range(MAX_OPCODES):
        opcode = _OPCODES.get(span.byte(position))
        if opcode is None:
            raise damaged(f"its pickle has the unknown opcode {span.byte(position)}")
        position, size = _argument(span, position + 1, opcode)
        yield opcode.name, span.take(position, size), position + size
        position += size


def _argument(span: ByteSpan, position: int, opcode: pickletools.OpcodeInfo) -> tuple[int, int]:
    """Position and size of an opcode's argument, its length field left out."""
    size = opcode.arg.n if opcode.arg else 0
    if opcode.name == "GLOBAL":
        return position, _two_lines(span, position)
    if size in _LENGTH_LAYOUTS:
        layout = _LENGTH_LAYOUTS[size]
        return position + struct.calcsize(layout), span.unpack(layout, position)[0]
    if size < 0:
        raise InputError(
            f"its pickle uses the opcode {opcode.name} of the text protocol; save it again with a present framework"
        )
    return position, size


def _two_lines(span: ByteSpan, position: int) -> int:
    """Length of the two lines, module and name, that follow GLOBAL."""
    text = bytes(span.data[position : position + _MAX_GLOBAL_LENGTH])
    size = text.find(b"\n", text.find(b"\n") + 1) + 1
    if text.count(b"\n", 0, size) != 2:
        raise damaged("its pickle names a class or function by something else than two short lines")
    return size


class _Machine:
    """The stack and the memo, and what the opcodes do to them."""

    def __init__(self, calls: Mapping[str, PickledCall], load_persistent: PickledCall | None) -> None:
        self.calls = calls
        self.load_persistent = load_persistent
        self.passed_over: set[str] = set()
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise damaged("its pickle takes more from the stack than was put there")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.push(value)
        return value

    def pop_values(self, count: int) -> tuple[Any, ...]:
        return tuple([self.pop() for _ in range(count)][::-1])

    def pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def frozen_set(self) -> None:
        self.pop_to_mark()
        self.push(Opaque(SET))

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise damaged(f"its pickle refers to its object {index}, which is not there")
        self.push(self.memo[index])

    def extend(self, items: Iterable[object]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Opaque):
            raise damaged(f"its pickle appends to a {type(target).__name__}")

    def update(self, items: Sequence[object]) -> None:
        target = self.top()
        if isinstance(target, dict):
            target.update(item_pairs(items))
        elif not isinstance(target, Opaque):
            raise damaged(f"its pickle sets items of a {type(target).__name__}")

    def name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str) and len(module) + len(name) < _MAX_GLOBAL_LENGTH):
            raise damaged("its pickle names a class or function by something else than a short text")
        self.push(Global(f"{module}.{name}"))

    def call(self, function: object, arguments: object) -> None:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise damaged("its pickle calls something that is no function")
        if function.name not in self.calls and is_foreign_class(function.name):
            self.new_object(function)
            return
        if function.name not in self.calls:
            raise InputError(
                f"its pickle asks to call {function.name[:80]!r}, which no tensor needs and which was not done; "
                "if you trust the file, load it with the framework that wrote it and save only the state dict"
            )
        self.push(self.calls[function.name](arguments))

    def new_object(self, kind: object, *_: object) -> None:
        if not isinstance(kind, Global):
            raise damaged("its pickle makes an instance of something that is no class")
        self.passed_over.add(kind.name)
        self.push(StatedArguments() if kind.name == NAMESPACE else Opaque(kind.name))

    def build(self, state: object) -> None:
        target = self.top()
        if isinstance(target, Buildable):
            target.build(state)
        elif not isinstance(target, dict):  # torch hangs version numbers onto its dictionaries
            raise damaged(f"its pickle gives a state to a {type(target).__name__}")

    def persistent(self, identifier: object) -> None:
        if self.load_persistent is None or not isinstance(identifier, tuple):
            raise damaged("its pickle refers to an object outside of it")
        self.push(self.load_persistent(identifier))


def is_foreign_class(name: str) -> bool:
    """Tell whether a full name is that of a class of some package, by its capital letter. Those of Python, numpy and
    torch that files of weights call are in the tables."""
    package, _, rest = name.partition(".")
    is_class = rest.rpartition(".")[2][:1].isupper()
    return is_class and package not in sys.stdlib_module_names and package not in ("__builtin__", "numpy", "torch")


def item_pairs(items: Sequence[object]) -> dict[Any, Any]:
    """A dictionary of the keys and values that alternate in `items`.

    Raises:
        InputError: a value is missing, or hashing a key could take long or collide on purpose.
    """
    if len(items) % 2:
        raise damaged("its pickle has a key without a value")
    return {_check_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Stands in for `collections.OrderedDict`, which Python 3 creates empty and Python 2 from a list of pairs."""
    match arguments:
        case ():
            return {}
        case (list(items),) if all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
            result = item_pairs(list(chain.from_iterable(items)))
            items.clear()  # or a pickle could have the same list copied any number of times
            return result
    raise damaged("its pickle makes a dictionary of something else than pairs")


def _check_key(key: object) -> object:
    if key is None or isinstance(key, str) or (isinstance(key, int) and abs(key) < _MAX_KEY):
        return key
    raise InputError(
        f"its pickle has a {type(key).__name__} as a key, expected text or a small number; save only the state dict"
    )


def _signed(raw: memoryview) -> int:
    if len(raw) > _MAX_INTEGER_BYTES:
        raise damaged(f"its pickle holds an integer of {len(raw)} bytes")
    return int.from_bytes(raw, "little", signed=True)


def _unsigned(raw: memoryview) -> int:
    return int.from_bytes(raw, "little")


def _float(raw: memoryview) -> float:
    return float(struct.unpack(">d", raw)[0])


def _text(raw: memoryview) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise damaged("a text in its pickle is not UTF-8") from error


def _python2_text(raw: memoryview) -> str:
    return str(raw, "latin-1")


def _bytes(raw: memoryview) -> memoryview:
    return raw


_MARK = object()

_LITERALS: dict[str, Callable[[memoryview], object]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "BININT": _signed,
    "BININT1": _unsigned,
    "BININT2": _unsigned,
    "LONG1": _signed,
    "LONG4": _signed,
    "BINFLOAT": _float,
    "BINSTRING": _python2_text,
    "SHORT_BINSTRING": _python2_text,
    "BINUNICODE": _text,
    "SHORT_BINUNICODE": _text,
    "BINUNICODE8": _text,
    "BINBYTES": _bytes,
    "SHORT_BINBYTES": _bytes,
    "BINBYTES8": _bytes,
    "BYTEARRAY8": _bytes,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_SET": lambda _: Opaque(SET),  # a set would hash its items, whatever they are
    "MARK": lambda _: _MARK,
}

_OPERATIONS: dict[str, Callable[[_Machine, memoryview], object]] = {
    "PROTO": lambda *_: None,
    "FRAME": lambda *_: None,
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push(machine.pop_values(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.pop_values(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.pop_values(3)),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "FROZENSET": lambda machine, _: machine.frozen_set(),
    "DICT": lambda machine, _: machine.push(item_pairs(machine.pop_to_mark())),
    "APPEND": lambda machine, _: machine.extend(machine.pop_values(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.pop_values(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_to_mark()),
    "BINPUT": lambda machine, index: machine.put(_unsigned(index)),
    "LONG_BINPUT": lambda machine, index: machine.put(_unsigned(index)),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "BINGET": lambda machine, index: machine.get(_unsigned(index)),
    "LONG_BINGET": lambda machine, index: machine.get(_unsigned(index)),
    "GLOBAL": lambda machine, lines: machine.name(*_text(lines).split("\n")[:2]),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.pop_values(2)),
    "REDUCE": lambda machine, _: machine.call(*machine.pop_values(2)),
    "NEWOBJ": lambda machine, _: machine.new_object(*machine.pop_values(2)),
    "NEWOBJ_EX": lambda machine, _: machine.new_object(*machine.pop_values(3)),
    "BUILD": lambda machine, _: machine.build(machine.pop()),
    "BINPERSID": lambda machine, _: machine.persistent(machine.pop()),
}
