"""numpy's arrays, types and scalars in pickles; Paddle's checkpoints consist of them, and torch's may hold some."""

import re
from functools import cache
from types import UnionType
from typing import Any

import numpy as np

from xception.byte_span import damaged
from xception.convert.readers.binary import decode_array, stored_type
from xception.convert.readers.pickles import Global, Opaque, PickledCall
from xception.errors import InputError

_MAX_NUMBER_LENGTH = 8
_TEXTS = re.compile(r"U[1-9][0-9]{0,3}")
_NUMBERS = re.compile(r"[<|=]?(b1|[iu][1248]|f[248])")


class NumpyType:
    """An element type; the pickle tells its byte order last."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.is_number = bool(_NUMBERS.fullmatch(code))

    def build(self, state: object) -> None:
        match state:
            case (_, "<" | "|" | "=", None, None, None, *_):
                pass
            case _ if self.is_number:
                raise InputError(
                    "its pickle holds a numpy type that is structured or big endian; save only the state dict"
                )
            case _:
                self.code = ""


class NumpyArray:
    """An array, which the pickle creates empty and then fills. One of texts or of objects holds no numbers."""

    def __init__(self) -> None:
        self.array: np.ndarray | None = None
        self._texts: tuple[str, object] = "", None

    def build(self, state: object) -> None:
        match state:
            case (int(), tuple(), NumpyType(is_number=False) as dtype, int(), raw):
                self._texts = dtype.code, raw
            case (int(), tuple(shape), NumpyType() as dtype, int(fortran), memoryview() as raw) if all(
                isinstance(size, int) for size in shape
            ):
                self.array = decode_array(raw, dtype.code, shape, "F" if fortran else "C")
            case _:
                raise damaged(
                    "its pickle fills a numpy array with something else than a shape, a numeric type and bytes"
                )

    def texts(self) -> list[object]:
        """The elements of an array of texts or of objects; none of any other."""
        match self._texts:
            case (_, list(items)):
                return items
            case (code, memoryview() as raw) if (
                _TEXTS.fullmatch(code) and len(raw) % stored_type(f"<{code}").itemsize == 0
            ):
                return list(np.frombuffer(raw, f"<{code}").tolist())
        return []


def numpy_calls() -> dict[str, PickledCall]:
    """Stand-ins for numpy's functions in one pickle, under the names that numpy 1 and 2 write."""
    # Cached, because a pickle can ask to encode the same long text any number of times.
    encode_latin1 = cache(_encode_latin1)
    calls: dict[str, PickledCall] = {
        "numpy.dtype": _dtype,
        "_codecs.encode": lambda arguments: encode_latin1(*_expect(arguments, str, str)),
    }
    for package in ("numpy.core", "numpy._core"):
        calls[f"{package}.multiarray._reconstruct"] = _reconstruct
        calls[f"{package}.multiarray.scalar"] = _scalar
    return calls


def _expect(arguments: tuple[Any, ...], *types: type | UnionType) -> tuple[Any, ...]:
    if len(arguments) != len(types) or not all(map(isinstance, arguments, types)):
        raise damaged("its pickle calls a function of numpy with arguments that do not fit")
    return arguments


def _dtype(arguments: tuple[Any, ...]) -> NumpyType:
    match arguments:
        case (str(code), *_):
            return NumpyType(code)
    raise damaged("its pickle makes a numpy type of something else than its name")


def _reconstruct(arguments: tuple[Any, ...]) -> NumpyArray:
    match arguments:
        case (Global(name="numpy.ndarray"), (0,), _):
            return NumpyArray()
        case _:
            raise damaged("its pickle makes something else than a numpy array of numpy's parts")


def _scalar(arguments: tuple[Any, ...]) -> object:
    if arguments and isinstance(arguments[0], NumpyType) and not arguments[0].is_number:
        return Opaque("a value of numpy that is no number")
    dtype, raw = _expect(arguments, NumpyType, memoryview | str)
    if isinstance(raw, str):  # Python 2's bytes
        raw = _encode_latin1(raw[:_MAX_NUMBER_LENGTH], "latin1")
    return decode_array(raw, dtype.code, ()).item()


def _encode_latin1(text: str, encoding: str) -> memoryview:
    try:
        if encoding == "latin1":
            return memoryview(text.encode(encoding))
    except UnicodeEncodeError as error:
        raise damaged("its pickle holds bytes written as text that are no bytes") from error
    raise damaged("its pickle encodes a text in another way than numpy does")
