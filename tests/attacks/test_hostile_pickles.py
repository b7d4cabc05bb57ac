"""Pickles that want to run code or to exhaust the machine, in each of the three containers that hold pickles."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xception.convert.readers import pickles, read_checkpoint
from xception.convert.readers.torch_pickle import LEGACY_SIGNATURE

PROTO = b"\x80\x04"
REDUCE, BUILD, STOP, MARK, TUPLE, EMPTY_TUPLE, NEWOBJ = b"R", b"b", b".", b"(", b"t", b")", b"\x81"
EMPTY_DICT, EMPTY_LIST, SETITEM, APPENDS, BINPERSID = b"}", b"]", b"s", b"e", b"Q"


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(module: str, qualified: str) -> bytes:
    return f"c{module}\n{qualified}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    return MARK + b"".join(items) + TUPLE


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + REDUCE


def state_dict(value: bytes) -> bytes:
    """A pickle of {"weight": value}."""
    return PROTO + EMPTY_DICT + text("weight") + value + SETITEM + STOP


def as_paddle(program: bytes) -> bytes:
    return program


def as_torch_zip(program: bytes, **storages: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", program)
        for key, content in storages.items():
            archive.writestr(f"model/data/{key}", content)
    return buffer.getvalue()


def as_torch_legacy(program: bytes) -> bytes:
    head = pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    return LEGACY_SIGNATURE + head + program + pickle.dumps([], 2)


def storage(key: str = "0", count: int = 1, kind: str = "FloatStorage") -> bytes:
    return tuple_of(text("storage"), name("torch", kind), text(key), text("cpu"), number(count)) + BINPERSID


def rebuild_tensor(numbers: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        numbers,
        number(offset),
        tuple_of(*map(number, shape)),
        tuple_of(*map(number, strides)),
        b"\x89",
        EMPTY_DICT,
    )


WRAPPERS = [as_paddle, as_torch_zip, as_torch_legacy]

touch = "__import__('pathlib').Path({!r}).touch()".format

# Each takes the canary's path, and wants to create that file when the value is unpickled.
CODE: dict[str, Callable[[str], bytes]] = {
    "a shell command": lambda path: call(name("os", "system"), text(f"touch {path}")),
    "a shell command under its real name": lambda path: call(
        text("posix") + text("system") + b"\x93", text(f"touch {path}")
    ),
    "an expression": lambda path: call(name("builtins", "eval"), text(touch(path))),
    "an expression under Python 2's name": lambda path: call(name("__builtin__", "eval"), text(touch(path))),
    "statements": lambda path: call(name("builtins", "exec"), text(touch(path))),
    "a method fetched by getattr": lambda path: call(
        call(name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("system")),
        text(f"touch {path}"),
    ),
    "a function behind dots": lambda path: call(text("torch") + text("os.system") + b"\x93", text(f"touch {path}")),
    "a function of numpy that runs strings": lambda path: call(
        name("numpy.testing._private.utils", "runstring"), text(touch(path)), EMPTY_DICT
    ),
    "a nested pickle": lambda path: call(name("torch.storage", "_load_from_bytes"), text(touch(path))),
    "a process": lambda path: call(
        name("subprocess", "Popen"), EMPTY_LIST + MARK + text("touch") + text(path) + APPENDS
    ),
    "an object rebuilt by copyreg": lambda path: call(
        name("copyreg", "_reconstructor"), name("subprocess", "Popen"), name("builtins", "object"), b"N"
    ),
    "an extension of the pickle registry": lambda path: call(
        name("copyreg", "add_extension"), text("os"), text("system"), number(1)
    ),
}


def test_the_attacks_would_work_on_the_standard_unpickler(tmp_path: Path) -> None:
    for attack in ("a shell command", "an expression", "a method fetched by getattr"):
        path = tmp_path / "canary"
        pickle.loads(state_dict(CODE[attack](str(path))))
        assert path.exists()
        path.unlink()


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("attack", CODE)
def test_a_call_is_refused_by_name(attack: str, wrap: Callable[[bytes], bytes], canary: Path, refused) -> None:
    refused(wrap(state_dict(CODE[attack](str(canary)))), "asks to call '[a-zA-Z_.]+', .* which was not done")


def test_an_instance_of_an_unknown_class_is_passed_over_without_being_made(canary: Path, tmp_path: Path) -> None:
    arguments = tuple_of(EMPTY_LIST + MARK + text("touch") + text(str(canary)) + APPENDS)
    process = name("subprocess", "Popen") + arguments + NEWOBJ
    tensor = rebuild_tensor(storage(count=1), 0, (1,), (1,))
    program = PROTO + EMPTY_DICT + text("hook") + process + SETITEM + text("w") + tensor + SETITEM + STOP
    path = tmp_path / "model.pth"
    path.write_bytes(as_torch_zip(program, **{"0": bytes(4)}))
    checkpoint = read_checkpoint(path)
    assert checkpoint.groups[""]["w"].tolist() == [0.0]
    assert checkpoint.metadata["classes_passed_over"] == ["subprocess.Popen"]


GADGETS = {
    "a state for a function": (
        name("torch._utils", "_rebuild_tensor_v2") + EMPTY_DICT + BUILD,
        "gives a state to a Global",
    ),
    "a state for a list": (EMPTY_LIST + EMPTY_DICT + BUILD, "gives a state to a list"),
    "attributes of numpy's type": (
        call(name("numpy", "dtype"), text("f4")) + tuple_of(number(3), text("<"), EMPTY_DICT, b"N", b"N") + BUILD,
        "structured or big endian",
    ),
    "items for a number": (number(1) + text("a") + number(2) + SETITEM, "sets items of a int"),
    "an instance of a text": (text("os") + EMPTY_TUPLE + NEWOBJ, "no class"),
    "a call of a text": (text("os.system") + EMPTY_TUPLE + REDUCE, "no function"),
    "a name that is no text": (number(1) + text("system") + b"\x93", "short text"),
    "an overlong name": (name("os", "x" * 300), "short"),
    "an instance in Python 1's way": (MARK + b"ios\nsystem\n", "opcode INST"),
    "an object in Python 1's way": (MARK + name("os", "system") + b"o", "opcode OBJ"),
    "an extension code": (b"\x82\x01", "opcode EXT1"),
    "an out-of-band buffer": (b"\x97", "opcode NEXT_BUFFER"),
    "a persistent text": (b"Pevil\n", "opcode PERSID"),
    "a persistent number": (number(1) + BINPERSID, "outside of it"),
    "an empty stack": (b"0000", "more from the stack"),
    "an unknown opcode": (b"\xff", "unknown opcode 255"),
    "a missing object": (b"h\x05", "object 5"),
    "a value for a list": (EMPTY_LIST + text("a") + EMPTY_TUPLE + SETITEM, "sets items of a list"),
    "a text that is not UTF-8": (b"X\x02\x00\x00\x00\xff\xff", "not UTF-8"),
    "a mark without end": (b"t", "more from the stack"),
}


MISUSES = {
    "a type of a number": (call(name("numpy", "dtype"), number(4)), "of something else than its name"),
    "a scalar of nothing": (call(name("numpy.core.multiarray", "scalar")), "function of numpy with arguments"),
    "a text in another encoding": (call(name("_codecs", "encode"), text("a"), text("utf-7")), "another way than numpy"),
    "a text that is no bytes": (call(name("_codecs", "encode"), text("\u20ac"), text("latin1")), "that are no bytes"),
    "a parameter of nothing": (call(name("torch._utils", "_rebuild_parameter")), "something else than a tensor"),
    "a tensor of nothing": (call(name("torch._utils", "_rebuild_tensor_v2")), "something else than a storage"),
    "a size of two": (call(name("torch", "Size"), EMPTY_TUPLE, EMPTY_TUPLE), "copies 2 things"),
    "a dictionary of a text": (call(name("collections", "OrderedDict"), text("ab")), "something else than pairs"),
    "a storage that is a tensor": (tuple_of(text("tensor"), number(1)) + BINPERSID, "something else than a storage"),
    "a storage that shrinks": (storage(count=-1), "holds no tensors"),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_known_function_takes_only_what_it_is_for(misuse: str, refused) -> None:
    program, reason = MISUSES[misuse]
    refused(as_torch_zip(state_dict(program)), reason)


def test_a_tuple_of_something_else_than_a_tuple_is_refused(refused) -> None:
    refused(state_dict(call(name("builtins", "tuple"), EMPTY_LIST)), "something else than a tuple")


def test_a_legacy_file_that_lists_other_storages_than_it_uses_is_refused(refused) -> None:
    program = state_dict(rebuild_tensor(storage(), 0, (1,), (1,)))
    refused(as_torch_legacy(program), "list of storages does not fit")
    refused(as_torch_legacy(program).replace(b"]q\x00.", b"]X\x01\x00\x00\x001a."), "list of storages does not fit")


def test_a_legacy_file_of_another_version_or_machine_is_refused(refused) -> None:
    good = as_torch_legacy(state_dict(number(1)))
    refused(good.replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2)), "another version than 1001")
    refused(good.replace(pickle.dumps({"little_endian": True}, 2), pickle.dumps({}, 2)), "little-endian machine")


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("gadget", GADGETS)
def test_a_malformed_program_is_refused(gadget: str, wrap: Callable[[bytes], bytes], refused) -> None:
    program, reason = GADGETS[gadget]
    refused(wrap(state_dict(program)), reason)


def test_a_gadget_does_not_outlive_its_file(refused, tmp_path: Path) -> None:
    defaults = EMPTY_DICT + text("__defaults__") + EMPTY_TUPLE + SETITEM
    refused(as_torch_zip(state_dict(name("torch._utils", "_rebuild_tensor_v2") + defaults + BUILD)), "gives a state")
    path = tmp_path / "good.pth"
    path.write_bytes(as_torch_zip(state_dict(rebuild_tensor(storage(), 0, (1,), (1,))), **{"0": bytes(4)}))
    assert read_checkpoint(path).groups[""]["weight"].shape == (1,)


LAUGHS = text("ha") + b"2\x86" * 60  # a pair of the same pair of the same pair ...: 2**60 leaves


BOMBS = {
    "a memo index of four billion": (text("a") + b"r\xff\xff\xff\xff", "holds no tensors"),
    "a billion laughs": (LAUGHS, "holds no tensors"),
    "a key that takes forever to hash": (EMPTY_DICT + LAUGHS + b"N" + SETITEM, "a tuple as a key"),
    "a tuple in a tuple in a tuple": (EMPTY_TUPLE + b"\x85" * 50_000, "holds no tensors"),
    "bytes that are not there": (b"\x8e" + struct.pack("<Q", 2**62), "only [0-9]+ are there"),
    "an array of bytes that is not there": (b"\x96" + struct.pack("<Q", 2**40), "only [0-9]+ are there"),
    "a text of negative length": (b"T" + struct.pack("<i", -5), "refers to -5 bytes"),
    "a number of a million digits": (
        b"\x8b" + struct.pack("<i", 500_000) + b"\x7f" * 500_000,
        "integer of 500000 bytes",
    ),
    "keys that collide": (
        EMPTY_DICT + MARK + b"".join(number(i * (2**61 - 1)) + b"N" for i in range(2000)) + b"u",
        "a int as a key",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_takes_little_memory_and_time(bomb: str, refused) -> None:
    program, reason = BOMBS[bomb]
    refused(as_torch_zip(state_dict(program)), reason)


def test_a_flood_of_opcodes_is_cut_off(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_OPCODES", 20_000)
    refused(state_dict(EMPTY_LIST * 30_000), "more than 20000 steps")


def test_a_text_that_is_encoded_again_and_again_is_encoded_once(refused) -> None:
    long_text = text("x" * 1_000_000) + b"q\x00" + text("latin1") + b"q\x01"
    encode = name("_codecs", "encode") + b"q\x02"
    again = b"".join(b"h\x02h\x00h\x01\x86R0" for _ in range(2000))
    refused(state_dict(long_text + encode + again + b"00"), "holds no tensors")


def test_a_list_of_pairs_that_becomes_a_dictionary_again_and_again_does_so_once(refused) -> None:
    pair = text("k") + number(1) + b"\x86"
    pairs = EMPTY_LIST + b"q\x00" + MARK + pair * 10_000 + APPENDS
    again = b"".join(name("collections", "OrderedDict") + b"h\x00\x85R0" for _ in range(5000))
    refused(state_dict(pairs + again), "holds no tensors")


def numpy_array(dtype: str, shape: tuple[int, ...], raw: bytes) -> bytes:
    empty = call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), tuple_of(number(0)), text("b")
    )
    kind = call(name("numpy", "dtype"), text(dtype), b"\x89", b"\x88")
    content = b"B" + struct.pack("<I", len(raw)) + raw
    return empty + tuple_of(number(1), tuple_of(*map(number, shape)), kind, b"\x89", content) + BUILD


ARRAYS = {
    "of objects": (numpy_array("O8", (1,), bytes(8)), "holds no tensors by name"),
    "of structures": (numpy_array("f4,f4", (1,), bytes(8)), "holds no tensors by name"),
    "of another class": (
        call(name("numpy.core.multiarray", "_reconstruct"), name("os", "system"), tuple_of(number(0)), text("b")),
        "something else than a numpy array",
    ),
    "larger than its bytes": (numpy_array("f4", (2**20, 2**15), bytes(8)), "in 8 bytes"),
    "of a size that overflows": (numpy_array("f4", (2**62, 4), bytes(0)), "impossible shape"),
    "of a huge size next to zero": (numpy_array("f4", (0, 2**62), bytes(0)), "impossible shape"),
    "of negative size": (numpy_array("f4", (-2, -2), bytes(16)), "impossible shape"),
    "of a thousand axes": (numpy_array("f4", (1,) * 1000, bytes(4)), "impossible shape"),
}


@pytest.mark.parametrize("array", ARRAYS)
def test_a_numpy_array_is_refused(array: str, refused) -> None:
    program, reason = ARRAYS[array]
    refused(state_dict(program), reason)


TENSORS = {
    "beyond its storage": (storage(), 0, (2,), (1,), "reaches outside"),
    "repeating one number": (storage(), 0, (2**30,), (0,), "reaches outside"),
    "starting before its storage": (storage(), -1, (1,), (1,), "reaches outside"),
    "running backwards": (storage(count=2), 1, (2,), (-1,), "reaches outside"),
    "overflowing its strides": (storage(), 0, (2,), (2**62,), "reaches outside"),
    "of a size that overflows": (storage(), 0, (2**40, 2**40), (1, 1), "impossible shape"),
    "of too many axes": (storage(), 0, (1,) * 40, (1,) * 40, "something else than a storage"),
    "of shape and strides that differ": (storage(), 0, (1, 1), (1,), "something else than a storage"),
    "in a storage elsewhere": (
        storage(key="../../../etc/passwd"),
        0,
        (1,),
        (1,),
        "part 'model/data/../../../etc/passwd'",
    ),
    "in a storage of another size": (storage(count=2**40), 0, (1,), (1,), "in [48] bytes"),
    "in a storage of functions": (storage(kind="system"), 0, (1,), (1,), "unknown type 'torch.system'"),
}


@pytest.mark.parametrize("tensor", TENSORS)
def test_a_tensor_is_refused(tensor: str, refused) -> None:
    *parts, reason = TENSORS[tensor]
    refused(as_torch_zip(state_dict(rebuild_tensor(*parts)), **{"0": bytes(8 if "backwards" in tensor else 4)}), reason)


def test_many_views_of_one_storage_do_not_add_up_to_more_than_the_file_allows(refused) -> None:
    view = rebuild_tensor(storage(count=50_000), 0, (50_000,), (1,))
    program = PROTO + EMPTY_DICT + MARK + b"".join(text(f"w{i}") + view for i in range(50)) + b"u" + STOP
    refused(as_torch_zip(program, **{"0": bytes(200_000)}), "more than 4 times the file")
