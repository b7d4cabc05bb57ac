"""The JSON documents of the Open Inference Protocol v2. Keys that the protocol does not know are passed over."""

from typing import Any

import msgspec

from xception.errors import InputError

Parameters = dict[str, str | int | float | bool]


class OipError(InputError):
    """A request or an answer that is not as the protocol says; the message is one sentence."""


class ErrorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every failure."""

    error: str


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /v2`."""

    name: str
    version: str
    extensions: tuple[str, ...]


class TensorFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tensor that a model takes or gives; -1 is a free size."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    """True where another input may take its place; Triton's word for it."""


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `GET /v2/models/{name}`."""

    name: str
    platform: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    versions: tuple[str, ...] = ()
    parameters: Parameters = {}


class StatedTensor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tensor of a request or an answer; its values stand in `data`, or behind the document where `parameters` has a
    `binary_data_size`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Parameters = {}
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class WantedOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An output that a request asks for."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document of `POST .../infer`."""

    inputs: tuple[StatedTensor, ...]
    id: str | None = None
    parameters: Parameters = {}
    outputs: tuple[WantedOutput, ...] | None = None
    """None asks for all."""


class InferResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document of its answer."""

    model_name: str
    outputs: tuple[StatedTensor, ...]
    model_version: str | None = None
    id: str | None = None
    parameters: Parameters = {}


def document_bytes(document: Any) -> bytes:
    """A document as it is sent."""
    return msgspec.json.encode(document)
