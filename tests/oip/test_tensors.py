"""Tensors and documents of the protocol, as clients send them and as they must not."""

import base64
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xception.oip.documents import InferResponse, OipError
from xception.oip.tensors import (
    NUMPY_TYPES,
    STRINGS,
    Output,
    message,
    parse_request,
    parse_response,
    stated,
    wants_binary,
)


def body(*inputs: dict[str, Any], raw: bytes = b"", **more: Any) -> tuple[bytes, str | None]:
    head = msgspec.json.encode({"inputs": inputs, **more})
    return head + raw, str(len(head)) if raw else None


def tensor(data: Any, shape: list[int], datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": shape, "datatype": datatype, "data": data, **more}


def only(*inputs: dict[str, Any], raw: bytes = b"") -> np.ndarray:
    _, (values,) = parse_request(*body(*inputs, raw=raw))
    return values


@pytest.mark.parametrize(
    ("data", "shape", "datatype"),
    [
        ([1.5, 2, 3, 4], [2, 2], "FP32"),
        ([[1.5, 2], [3, 4]], [2, 2], "FP32"),
        ([1, 2], [2], "FP64"),
        ([True, False], [2], "BOOL"),
        ([-128, 127], [2], "INT8"),
        ([0, 2**64 - 1], [2], "UINT64"),
        ([], [0, 3], "FP32"),
    ],
)
def test_data_in_json_are_flat_or_nested(data: Any, shape: list[int], datatype: str) -> None:
    values = only(tensor(data, shape, datatype))
    assert (values.shape, values.dtype) == (tuple(shape), NUMPY_TYPES[datatype])
    assert values.ravel().tolist() == np.array(data, object).ravel().tolist()


def test_strings_are_bytes_and_base64_where_it_is_said() -> None:
    assert only(tensor(["ä", "b"], [2], STRINGS)).tolist() == ["ä".encode(), b"b"]
    assert only(tensor([["a", "b"]], [1, 2], STRINGS)).tolist() == [[b"a", b"b"]]
    text = base64.b64encode(b"\xff\xd8").decode()
    assert only(tensor([text], [1], STRINGS, parameters={"content_type": "base64"})).tolist() == [b"\xff\xd8"]


def test_raw_bytes_follow_in_the_order_of_the_inputs() -> None:
    one = {"name": "a", "shape": [2], "datatype": "FP16", "parameters": {"binary_data_size": 4}}
    two = {"name": "b", "shape": [2], "datatype": STRINGS, "parameters": {"binary_data_size": 11}}
    three = {"name": "c", "shape": [1], "datatype": "INT32", "data": [7]}
    raw = np.array([1, 2], "<f2").tobytes() + b"\x03\x00\x00\x00abc" + b"\x00\x00\x00\x00"
    _, values = parse_request(*body(one, two, three, raw=raw))
    assert [part.tolist() for part in values] == [[1.0, 2.0], [b"abc", b""], [7]]


@pytest.mark.parametrize(
    ("given_tensor", "raw", "words"),
    [
        (tensor([1], [2]), b"", "shape"),
        (tensor([[1], [2]], [1, 2]), b"", "flat or nested"),
        (tensor([[1], [2, 3]], [3]), b"", "one shape"),
        (tensor(["1.5"], [1]), b"", "not all FP32"),
        (tensor([None], [1]), b"", "not all FP32"),
        (tensor([1.5], [1], "INT32"), b"", "not all INT32"),
        (tensor([True], [1], "INT32"), b"", "not all INT32"),
        (tensor([1], [1], "BOOL"), b"", "not all BOOL"),
        (tensor([300], [1], "UINT8"), b"", "beyond UINT8"),
        (tensor([-1], [1], "UINT64"), b"", "beyond"),
        (tensor([10**30], [1], "INT64"), b"", "beyond INT64"),
        (tensor([1.0], [1], "FP16"), b"", "no form in JSON"),
        (tensor([1.0], [1], "BF16"), b"", "expected BOOL"),
        (tensor([1.0], [-1]), b"", "sizes from 0"),
        (tensor([1.0], [1] * 9), b"", "sizes from 0"),
        (tensor([1.0], [2**40]), b"", "sizes from 0"),
        (tensor([1], [1], STRINGS), b"", "no strings"),
        (tensor(["a"], [2], STRINGS), b"", "1 elements; expected 2"),
        (tensor([["a"], ["b", "c"]], [2, 1], STRINGS), b"", "not nested"),
        (tensor(["*"], [1], STRINGS, parameters={"content_type": "base64"}), b"", "no base64"),
        ({"name": "x", "shape": [1], "datatype": "FP32"}, b"", "neither data nor"),
        (tensor([1.0], [1], parameters={"binary_data_size": 4}), b"1234", "both data and"),
        ({"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 8}}, b"1234", "4 are left"),
        ({"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 4}}, b"1234", "expected 8"),
        (
            {"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}},
            b"12345",
            "1 bytes follow",
        ),
        (
            {"name": "x", "shape": [1], "datatype": STRINGS, "parameters": {"binary_data_size": 4}},
            b"\x09\0\0\0",
            "longer than",
        ),
        (
            {"name": "x", "shape": [1], "datatype": "BOOL", "parameters": {"binary_data_size": 1}},
            b"\x02",
            "than 0 and 1",
        ),
        (
            {"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": "4"}},
            b"1234",
            "number of bytes",
        ),
    ],
)
def test_what_is_wrong_is_said(given_tensor: dict[str, Any], raw: bytes, words: str) -> None:
    with pytest.raises(OipError, match=words):
        parse_request(*body(given_tensor, raw=raw))


@pytest.mark.parametrize(
    ("sent", "length", "words"),
    [
        (b"", None, "no inference request"),
        (b"[]", None, "no inference request"),
        (b'{"inputs": [{"name": "x"}]}', None, "missing required field"),
        (b"[" * 100_000, None, "no inference request"),
        (b'{"inputs": "\xff"}', None, "no inference request"),
        (b"{}", "3", "up to 2"),
        (b"{}", "-1", "up to 2"),
        (b"{}", "two", "up to 2"),
    ],
)
def test_what_is_no_request_is_refused(sent: bytes, length: str | None, words: str) -> None:
    with pytest.raises(OipError, match=words):
        parse_request(sent, length)


def test_data_that_are_nested_without_end_are_refused() -> None:
    with pytest.raises(OipError):
        parse_request(*body(tensor(msgspec.Raw(b"[" * 50_000 + b"]" * 50_000), [1])))
    with pytest.raises(OipError, match="one shape"):
        parse_request(*body(tensor(msgspec.Raw(b"[" * 100 + b"1" + b"]" * 100), [1])))


def test_a_tensor_may_not_come_twice() -> None:
    with pytest.raises(OipError, match="twice"):
        parse_request(*body(tensor([1], [1]), tensor([1], [1])))


def test_keys_that_the_protocol_does_not_know_are_passed_over() -> None:
    request, _ = parse_request(*body({**tensor([1], [1]), "hint": 1}, model_name="a", id="7"))
    assert request.id == "7"


@given(
    arrays.arrays(
        st.sampled_from([np.dtype(kind) for kind in NUMPY_TYPES.values()]),
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    st.booleans(),
)
def test_what_is_sent_is_what_is_read(values: np.ndarray, binary: bool) -> None:
    binary = binary or values.dtype == np.float16
    tensors, raw = stated([Output("y", values, binary)])
    sent, length = message(InferResponse(model_name="m", outputs=tensors), raw)
    _, found = parse_response(sent, None if length is None else str(length))
    np.testing.assert_array_equal(found["y"], values)
    assert found["y"].dtype == values.dtype


def test_bytes_are_sent_and_read() -> None:
    values = np.array([[b"", b"abc"]], object)
    for binary in (True, False):
        tensors, raw = stated([Output("y", values, binary)])
        sent, length = message(InferResponse(model_name="m", outputs=tensors), raw)
        _, found = parse_response(sent, None if length is None else str(length))
        assert found["y"].tolist() == values.tolist()


def test_numbers_that_json_has_no_form_for_are_not_sent_as_null() -> None:
    with pytest.raises(OipError, match="cannot hold"):
        stated([Output("y", np.array([np.nan], np.float32), binary=False)])
    with pytest.raises(OipError, match="FP16"):
        stated([Output("y", np.array([1], np.float16), binary=False)])


def test_an_outputs_own_wish_goes_before_that_of_the_request() -> None:
    assert wants_binary({}, {"binary_data_output": True})
    assert not wants_binary({"binary_data": False}, {"binary_data_output": True})
    assert not wants_binary({}, {})
    with pytest.raises(OipError, match="true or false"):
        wants_binary({"binary_data": 1}, {})
