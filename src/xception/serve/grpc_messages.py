"""The messages of the Open Inference Protocol v2 over gRPC, described by a table, and the documents that say the same.

Source: grpc_predict_v2.proto of https://github.com/kserve/open-inference-protocol
"""

from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.extras import require
from xception.oip.documents import InferRequest, InferResponse, OipError, Parameters, StatedTensor, WantedOutput
from xception.oip.tensors import BINARY_OUTPUT, BINARY_OUTPUTS, BINARY_SIZE, NUMPY_TYPES, STRINGS, tensors_of

GRPC_PACKAGE = "inference"
GRPC_SERVICE = f"{GRPC_PACKAGE}.GRPCInferenceService"

GRPC_KINDS = {
    "double": 1,
    "float": 2,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
}
"""Numbers of the types in descriptors; every other type is a message, whose number is 11."""
MESSAGE_KIND, ONCE, REPEATED = 11, 1, 3

TENSOR = "name:string datatype:string shape:int64* parameters:InferParameter% contents:InferTensorContents"
MESSAGES: Mapping[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool",
    "ModelReadyRequest": "name:string version:string",
    "ModelReadyResponse": "ready:bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:string version:string extensions:string*",
    "ModelMetadataRequest": "name:string version:string",
    "ModelMetadataResponse": "name:string versions:string* platform:string "
    "inputs:ModelMetadataResponse.TensorMetadata* outputs:ModelMetadataResponse.TensorMetadata*",
    "ModelMetadataResponse.TensorMetadata": "name:string datatype:string shape:int64*",
    "InferParameter": "bool_param:bool? int64_param:int64? string_param:string? double_param:double? "
    "uint64_param:uint64?",
    "InferTensorContents": "bool_contents:bool* int_contents:int32* int64_contents:int64* uint_contents:uint32* "
    "uint64_contents:uint64* fp32_contents:float* fp64_contents:double* bytes_contents:bytes*",
    "ModelInferRequest": "model_name:string model_version:string id:string parameters:InferParameter% "
    "inputs:ModelInferRequest.InferInputTensor* outputs:ModelInferRequest.InferRequestedOutputTensor* "
    "raw_input_contents:bytes*",
    "ModelInferRequest.InferInputTensor": TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": "name:string parameters:InferParameter%",
    "ModelInferResponse": "model_name:string model_version:string id:string parameters:InferParameter% "
    "outputs:ModelInferResponse.InferOutputTensor* raw_output_contents:bytes*",
    "ModelInferResponse.InferOutputTensor": TENSOR,
}
"""Fields of each message in the order of their numbers: `*` is repeated, `%` a mapping of strings, `?` one of many."""

CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    STRINGS: "bytes_contents",
}
"""Fields of values by the types of tensors."""


@cache
def message_classes() -> Mapping[str, Any]:
    """The classes of all messages by their names."""
    descriptors: Any = require("google.protobuf.descriptor_pb2", "grpc")
    pools: Any = require("google.protobuf.descriptor_pool", "grpc")
    factory: Any = require("google.protobuf.message_factory", "grpc")
    file = descriptors.FileDescriptorProto(name="xception_oip.proto", package=GRPC_PACKAGE, syntax="proto3")
    described: dict[str, Any] = {}
    for name, fields in MESSAGES.items():
        outer, _, inner = name.rpartition(".")
        described[name] = (described[outer].nested_type if outer else file.message_type).add(name=inner)
        for number, field in enumerate(fields.split(), start=1):
            _add_field(described[name], name, number, *field.split(":"))
    pool = pools.DescriptorPool()
    pool.Add(file)
    return {name: factory.GetMessageClass(pool.FindMessageTypeByName(f"{GRPC_PACKAGE}.{name}")) for name in MESSAGES}


def _add_field(holder: Any, holder_name: str, number: int, name: str, stated: str) -> None:
    kind, mark = stated.rstrip("*%?"), stated[-1]
    field = holder.field.add(name=name, number=number, label=REPEATED if mark in "*%" else ONCE)
    if mark == "%":
        entry = holder.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=ONCE, type=GRPC_KINDS["string"])
        entry.field.add(name="value", number=2, label=ONCE, type=MESSAGE_KIND, type_name=f".{GRPC_PACKAGE}.{kind}")
        kind = f"{holder_name}.{entry.name}"
    if mark == "?":
        if not holder.oneof_decl:
            holder.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if kind in GRPC_KINDS:
        field.type = GRPC_KINDS[kind]
    else:
        field.type, field.type_name = MESSAGE_KIND, f".{GRPC_PACKAGE}.{kind}"


def parsed(name: str, content: bytes) -> Any:
    """A message from its bytes.

    Raises:
        OipError: they are none.
    """
    errors: Any = require("google.protobuf.message", "grpc")
    try:
        return message_classes()[name].FromString(content)
    except errors.DecodeError as error:
        raise OipError(f"the message is no {name}; send one of {GRPC_SERVICE}") from error


def request_of(message: Any) -> tuple[InferRequest, list[NDArray[Any]]]:
    """The document that would say the same over HTTP, with all outputs as raw bytes, and the values of the inputs.

    Raises:
        OipError: a tensor has no values, or values of another type.
    """
    raw = list(message.raw_input_contents)
    if raw and (len(raw) != len(message.inputs) or any(tensor.HasField("contents") for tensor in message.inputs)):
        raise OipError("raw_input_contents has to hold the values of all inputs, and contents none; send one of both")
    contents = raw or [_raw_contents(tensor) for tensor in message.inputs]
    inputs = tuple(
        StatedTensor(
            name=tensor.name,
            datatype=tensor.datatype,
            shape=tuple(tensor.shape),
            parameters={**_parameters(tensor.parameters), BINARY_SIZE: len(values)},
        )
        for tensor, values in zip(message.inputs, contents, strict=True)
    )
    outputs = tuple(
        WantedOutput(name=one.name, parameters={**_parameters(one.parameters), BINARY_OUTPUT: True})
        for one in message.outputs
    )
    document = InferRequest(
        inputs=inputs,
        id=message.id or None,
        parameters={**_parameters(message.parameters), BINARY_OUTPUTS: True},
        outputs=outputs or None,
    )
    return document, tensors_of(inputs, memoryview(b"".join(contents)))


def _raw_contents(tensor: Any) -> bytes:
    """The values of a tensor as raw bytes."""
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        raise OipError(f"the tensor {tensor.name!r:.80} of {tensor.datatype!r:.40} needs raw_input_contents")
    values = getattr(tensor.contents, field)
    if len(values) != prod(tensor.shape):
        raise OipError(
            f"the tensor {tensor.name!r:.80} has {len(values)} values in {field}; expected {prod(tensor.shape)} for "
            f"the shape {list(tensor.shape)!s:.80}"
        )
    if tensor.datatype == STRINGS:
        return b"".join(len(value).to_bytes(4, "little") + value for value in values)
    wide, kind = np.array(values), np.dtype(NUMPY_TYPES[tensor.datatype])
    narrow = wide.astype(kind)
    if kind.kind in "iu" and not np.array_equal(wide, narrow):
        raise OipError(f"the values of the tensor {tensor.name!r:.80} go beyond {tensor.datatype}")
    return narrow.astype(kind.newbyteorder("<")).tobytes()


def _parameters(stated: Mapping[str, Any]) -> Parameters:
    found = {name: value.WhichOneof("parameter_choice") for name, value in stated.items()}
    return {name: getattr(stated[name], field) for name, field in found.items() if field}


def reply_of(response: InferResponse, raw: Sequence[bytes]) -> Any:
    """The message of an answer whose outputs are all raw bytes."""
    reply = message_classes()["ModelInferResponse"](
        model_name=response.model_name,
        model_version=response.model_version or "",
        id=response.id or "",
        raw_output_contents=raw,
    )
    _set_parameters(reply.parameters, response.parameters)
    for tensor in response.outputs:
        reply.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    return reply


def _set_parameters(place: Any, parameters: Parameters) -> None:
    for name, value in parameters.items():
        kinds: Sequence[tuple[type, str]] = ((bool, "bool"), (int, "int64"), (str, "string"), (float, "double"))
        field = next(word for kind, word in kinds if isinstance(value, kind))
        setattr(place[name], f"{field}_param", value)


def metadata_reply(name: str, document: Any) -> Any:
    """A reply of metadata, from the document over HTTP."""
    found = message_classes()[name]
    values = msgspec.to_builtins(document)
    known = {field.name for field in found.DESCRIPTOR.fields}
    tensors = {key: values[key] for key in ("inputs", "outputs") if key in values}
    reply = found(**{key: value for key, value in values.items() if key in known and key not in tensors})
    for key, rows in tensors.items():
        for row in rows:
            getattr(reply, key).add(name=row["name"], datatype=row["datatype"], shape=row["shape"])
    return reply
