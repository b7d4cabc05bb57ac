"""The messages are those of the protocol's own description, and say the same as over HTTP."""

from typing import Any

import numpy as np
import pytest

from xception.oip.documents import OipError
from xception.serve.grpc_messages import MESSAGES, message_classes, request_of


def request(**tensor: object) -> Any:
    return message_classes()["ModelInferRequest"](model_name="a", inputs=[tensor])


def test_bytes_on_the_wire_are_those_of_the_protocol() -> None:
    """Written by hand, as grpc_predict_v2.proto numbers its fields."""
    asked = message_classes()["ModelInferRequest"](model_name="m", id="7", raw_input_contents=[b"\x01"])
    asked.parameters["timeout"].int64_param = 5
    asked.inputs.add(name="x", datatype="UINT8", shape=[1])
    parameter = b"\x22\x0d\x0a\x07timeout\x12\x02\x10\x05"
    tensor = b"\x2a\x0d\x0a\x01x\x12\x05UINT8\x1a\x01\x01"
    assert asked.SerializeToString() == b"\x0a\x01m\x1a\x017" + parameter + tensor + b"\x3a\x01\x01"


def test_every_message_is_known() -> None:
    assert set(message_classes()) == set(MESSAGES)


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("FP32", "fp32_contents", [0.5, -1.0]),
        ("FP64", "fp64_contents", [0.1, 2.0]),
        ("UINT8", "uint_contents", [0, 255]),
        ("INT16", "int_contents", [-5, 300]),
        ("INT64", "int64_contents", [-(2**62), 1]),
        ("BOOL", "bool_contents", [True, False]),
        ("BYTES", "bytes_contents", [b"", b"\xff\x00"]),
    ],
)
def test_typed_values_become_those_of_the_request_over_http(datatype: str, field: str, values: list) -> None:
    _, (found,) = request_of(request(name="x", datatype=datatype, shape=[2, 1], contents={field: values}))
    assert found.shape == (2, 1)
    assert found.ravel().tolist() == pytest.approx(values) if datatype.startswith("FP") else values


def test_raw_values_are_taken_as_they_are() -> None:
    asked = request(name="x", datatype="FP16", shape=[2])
    asked.raw_input_contents.append(np.array([0.5, 2], np.float16).tobytes())
    asked.parameters["partial"].bool_param = True
    document, (found,) = request_of(asked)
    assert found.tolist() == [0.5, 2]
    assert document.parameters["partial"] is True


@pytest.mark.parametrize(
    ("tensor", "raw", "words"),
    [
        ({"datatype": "FP32", "shape": [2], "contents": {"fp32_contents": [1.0]}}, [], "has 1 values"),
        ({"datatype": "FP32", "shape": [2], "contents": {"int_contents": [1, 2]}}, [], "has 0 values in fp32_contents"),
        ({"datatype": "UINT8", "shape": [1], "contents": {"uint_contents": [256]}}, [], "go beyond UINT8"),
        ({"datatype": "FP16", "shape": [1]}, [], "needs raw_input_contents"),
        ({"datatype": "FP32", "shape": [1]}, [b"1234", b"1234"], "has to hold the values of all inputs"),
        ({"datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [1.0]}}, [b"1234"], "send one of both"),
    ],
)
def test_values_that_do_not_fit_are_refused(tensor: dict, raw: list[bytes], words: str) -> None:
    asked = request(name="x", **tensor)
    asked.raw_input_contents.extend(raw)
    with pytest.raises(OipError, match=words):
        request_of(asked)
