"""Tensors of the protocol: values in JSON, flat or nested, and values as raw bytes behind the document.

An array of BYTES is a NumPy array of objects that are `bytes`.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.inputs import parse_json
from xception.oip.documents import InferRequest, InferResponse, OipError, Parameters, StatedTensor

T = TypeVar("T")
Array = NDArray[Any]

STRINGS = "BYTES"
NUMPY_TYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    **{f"{sign}INT{bits}": getattr(np, f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
"""NumPy's types of the protocol's numbers."""

DATATYPES = {np.dtype(kind): name for name, kind in NUMPY_TYPES.items()}
"""The protocol's names of NumPy's types."""

BINARY_SIZE = "binary_data_size"
BINARY_OUTPUT = "binary_data"
"""Parameter of an output: its values come as raw bytes."""
BINARY_OUTPUTS = "binary_data_output"
"""Parameter of a request: the same for all outputs that do not say themselves."""
HEADER_LENGTH = "Inference-Header-Content-Length"
"""Header that tells where the document ends and the raw bytes begin."""
CONTENT_TYPE, BASE64 = "content_type", "base64"
"""Parameter of a BYTES input whose JSON strings are base64, and its value."""

NUMBERS_AT_ONCE = 1 << 16
"""Numbers that are written as JSON in one go."""

MAX_DIMENSIONS = 8
MAX_TENSOR_ELEMENTS = 1 << 31
"""Bounds of a shape that is looked at at all."""


class Output(NamedTuple):
    """A tensor that is to be sent."""

    name: str
    values: Array
    binary: bool


def split_message(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """The document of a message, and the raw bytes behind it.

    Raises:
        OipError: the length is no number, or longer than the message.
    """
    if header_length is None:
        return body, memoryview(b"")
    if not (header_length.isascii() and header_length.isdecimal()) or int(header_length) > len(body):
        raise OipError(f"{HEADER_LENGTH} is {header_length[:40]!r}; expected a number of bytes up to {len(body)}")
    return body[: int(header_length)], memoryview(body)[int(header_length) :]


def _document(head: bytes, kind: type[T], otherwise: str) -> T:
    try:
        return parse_json(head, kind)
    except msgspec.DecodeError as error:
        raise OipError(f"{otherwise}: {error}") from error


def parse_request(body: bytes, header_length: str | None) -> tuple[InferRequest, list[Array]]:
    """The document of a request, and the values of its inputs in their order.

    Raises:
        OipError: it is not as the protocol says.
    """
    head, raw = split_message(body, header_length)
    request = _document(head, InferRequest, "the request is no inference request")
    return request, tensors_of(request.inputs, raw)


def parse_response(body: bytes, header_length: str | None) -> tuple[InferResponse, dict[str, Array]]:
    """The document of an answer, and the values of its outputs by name.

    Raises:
        OipError: it is not as the protocol says.
    """
    head, raw = split_message(body, header_length)
    response = _document(head, InferResponse, "the answer is no inference response")
    names = [tensor.name for tensor in response.outputs]
    return response, dict(zip(names, tensors_of(response.outputs, raw), strict=True))


def tensors_of(stated: Sequence[StatedTensor], raw: memoryview) -> list[Array]:
    """The values of tensors, whose raw bytes follow one another in their order.

    Raises:
        OipError: a name comes twice, a type or shape is none, or there are more or fewer values than stated.
    """
    names = [tensor.name for tensor in stated]
    if len(set(names)) < len(names):
        raise OipError("a tensor is given twice; expected a name of its own for each")
    found, start = [], 0
    for tensor in stated:
        size = _binary_size(tensor)
        if size is None:
            found.append(_from_json(tensor))
        else:
            if size > len(raw) - start:
                raise OipError(f"the tensor {tensor.name!r} has {size} bytes and {len(raw) - start} are left; send all")
            found.append(_from_bytes(tensor, raw[start : start + size]))
            start += size
    if start != len(raw):
        raise OipError(f"{len(raw) - start} bytes follow the last tensor; expected none")
    return found


def message(document: object, raw: Sequence[bytes]) -> tuple[bytes, int | None]:
    """A message and the length of its document, None where no raw bytes follow."""
    head = msgspec.json.encode(document)
    return (b"".join((head, *raw)), len(head)) if raw else (head, None)


def stated(outputs: Sequence[Output]) -> tuple[tuple[StatedTensor, ...], list[bytes]]:
    """Tensors as they stand in a document, and the raw bytes that follow it.

    Raises:
        OipError: JSON cannot hold the values.
    """
    tensors, raw = [], []
    for name, values, binary in outputs:
        datatype = STRINGS if values.dtype == object else DATATYPES[values.dtype]
        parameters: Parameters = {}
        data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
        if binary:
            raw.append(_to_bytes(values))
            parameters = {BINARY_SIZE: len(raw[-1])}
        else:
            data = _to_json(name, values)
        tensors.append(
            StatedTensor(name=name, datatype=datatype, shape=tuple(values.shape), parameters=parameters, data=data)
        )
    return tuple(tensors), raw


def wants_binary(parameters: Parameters, all_outputs: Parameters) -> bool:
    """Tell whether an output is to come as raw bytes, by its own parameters or else those of the request.

    Raises:
        OipError: the parameter is neither true nor false.
    """
    value = parameters.get(BINARY_OUTPUT, all_outputs.get(BINARY_OUTPUTS, False))
    if not isinstance(value, bool):
        raise OipError(f"{BINARY_OUTPUT} is {value!r:.40}; expected true or false")
    return value


def _binary_size(tensor: StatedTensor) -> int | None:
    """Raw bytes of a tensor; None if its values stand in the document. Its shape and type are looked at, too."""
    if tensor.datatype != STRINGS and tensor.datatype not in NUMPY_TYPES:
        raise OipError(
            f"the tensor {tensor.name!r:.80} has the type {tensor.datatype!r:.40}; expected "
            f"{', '.join(NUMPY_TYPES)} or BYTES"
        )
    if (
        len(tensor.shape) > MAX_DIMENSIONS
        or any(side < 0 for side in tensor.shape)
        or _count(tensor) > MAX_TENSOR_ELEMENTS
    ):
        raise OipError(
            f"the tensor {tensor.name!r:.80} has the shape {list(tensor.shape)!s:.80}; expected sizes from 0"
        )
    size, has_data = tensor.parameters.get(BINARY_SIZE), tensor.data is not msgspec.UNSET
    if (size is None) != has_data:
        words = "both data and binary_data_size" if has_data else "neither data nor binary_data_size"
        raise OipError(f"the tensor {tensor.name!r:.80} has {words}; expected one of them")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise OipError(
            f"the tensor {tensor.name!r:.80} has a {BINARY_SIZE} of {size!r:.40}; expected a number of bytes"
        )
    return size


def _count(tensor: StatedTensor) -> int:
    return prod(tensor.shape)


def _from_bytes(tensor: StatedTensor, raw: memoryview) -> Array:
    if tensor.datatype == STRINGS:
        return _shaped(tensor, _elements(tensor, raw))
    kind = np.dtype(NUMPY_TYPES[tensor.datatype]).newbyteorder("<")
    if len(raw) != kind.itemsize * _count(tensor):
        raise OipError(
            f"the tensor {tensor.name!r:.80} has {len(raw)} bytes; expected {kind.itemsize * _count(tensor)} for the "
            f"shape {list(tensor.shape)} of {tensor.datatype}"
        )
    if tensor.datatype == "BOOL" and bytes(raw).strip(b"\x00\x01"):
        raise OipError(f"the tensor {tensor.name!r:.80} has a BOOL of another value than 0 and 1")
    return np.frombuffer(raw, kind).reshape(tensor.shape)


def _elements(tensor: StatedTensor, raw: memoryview) -> list[bytes]:
    """Elements of BYTES: each is its length, four bytes, and so many bytes."""
    found, start = [], 0
    while start < len(raw):
        length = int.from_bytes(raw[start : start + 4], "little")
        if len(raw) - start < 4 or length > len(raw) - start - 4:
            raise OipError(f"an element of the tensor {tensor.name!r:.80} is longer than the bytes that came")
        found.append(bytes(raw[start + 4 : start + 4 + length]))
        start += 4 + length
    return found


def _shaped(tensor: StatedTensor, elements: Sequence[bytes]) -> Array:
    if len(elements) != _count(tensor):
        raise OipError(
            f"the tensor {tensor.name!r:.80} has {len(elements)} elements; expected {_count(tensor)} for the shape "
            f"{list(tensor.shape)}"
        )
    values = np.empty(len(elements), object)
    values[:] = elements
    return values.reshape(tensor.shape)


def _from_json(tensor: StatedTensor) -> Array:
    if tensor.datatype == "FP16":
        raise OipError(f"the tensor {tensor.name!r:.80} is FP16, which has no form in JSON; send it as raw bytes")
    try:
        data = parse_json(bytes(tensor.data), list[Any])  # type: ignore[arg-type]  # it is set, see `_binary_size`
    except msgspec.DecodeError as error:
        raise OipError(f"the data of the tensor {tensor.name!r:.80} are no array: {error}") from error
    if tensor.datatype == STRINGS:
        return _shaped(tensor, [_element(tensor, text) for text in _flat_texts(tensor, data)])
    values = _numbers(tensor, data)
    if values.size != _count(tensor) or (values.ndim > 1 and values.shape != tensor.shape):
        raise OipError(
            f"the tensor {tensor.name!r:.80} has data of the shape {list(values.shape)}; expected "
            f"{list(tensor.shape)}, flat or nested"
        )
    return values.reshape(tensor.shape)


JSON_TYPES: Mapping[type[np.generic], tuple[type, ...]] = {
    np.bool_: (bool,),
    np.float32: (int, float),
    np.float64: (int, float),
}
"""Python's types of the values in JSON that make numbers of a type; whole numbers are made of whole ones."""


def _numbers(tensor: StatedTensor, data: list[Any]) -> Array:
    kind = NUMPY_TYPES[tensor.datatype]
    values = np.array(data, object)  # as they are: NumPy would make a float of a large whole number, and 1 of true
    allowed = JSON_TYPES.get(kind, (int,))
    if wrong := set(map(type, values.ravel())).difference(allowed):
        words = "no array of one shape" if list in wrong else f"not all {tensor.datatype}"
        raise OipError(f"the data of the tensor {tensor.name!r:.80} are {words}")
    try:
        with np.errstate(over="ignore"):
            return values.astype(kind)
    except OverflowError as error:
        raise OipError(f"the data of the tensor {tensor.name!r:.80} go beyond {tensor.datatype}") from error


def _flat_texts(tensor: StatedTensor, data: list[Any]) -> list[str]:
    """Strings of an array that is flat, or nested as the shape says."""
    level: list[Any] = data
    for side in tensor.shape[1:]:
        if not level or not isinstance(level[0], list):
            break
        if any(not isinstance(part, list) or len(part) != side for part in level):
            raise OipError(f"the data of the tensor {tensor.name!r:.80} are not nested as the shape says")
        level = [text for part in level for text in part]
    if not all(isinstance(text, str) for text in level):
        raise OipError(f"the data of the tensor {tensor.name!r:.80} are no strings")
    return level


def _element(tensor: StatedTensor, text: str) -> bytes:
    if tensor.parameters.get(CONTENT_TYPE) != BASE64:
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise OipError(f"an element of the tensor {tensor.name!r:.80} is no base64") from error


def _to_bytes(values: Array) -> bytes:
    if values.dtype == object:
        return b"".join(len(element).to_bytes(4, "little") + element for element in values.ravel())
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _to_json(name: str, values: Array) -> msgspec.Raw:
    if values.dtype == object:
        return msgspec.Raw(msgspec.json.encode([element.decode("utf-8", "replace") for element in values.ravel()]))
    if values.dtype == np.float16:
        raise OipError(f"the output {name!r} is FP16, which has no form in JSON; ask for {BINARY_OUTPUT}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise OipError(f"the output {name!r} has values that JSON cannot hold; ask for {BINARY_OUTPUT}")
    return msgspec.Raw(b"".join((b"[", *_numbers_in_json(values.ravel()), b"]")))


def _numbers_in_json(values: Array) -> Iterator[bytes]:
    """Numbers with commas between them, part by part: Python's own of a large tensor would take gigabytes."""
    for start in range(0, len(values), NUMBERS_AT_ONCE):
        if start:
            yield b","
        yield msgspec.json.encode(values[start : start + NUMBERS_AT_ONCE].tolist())[1:-1]
