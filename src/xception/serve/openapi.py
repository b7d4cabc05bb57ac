"""The description of the service for programs, as OpenAPI 3.1; its schemas are those of the documents themselves."""

from functools import cache
from typing import Any

import msgspec

from xception.oip.documents import (
    ErrorDocument,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ServerMetadata,
)
from xception.oip.tensors import HEADER_LENGTH
from xception.serve.classify import Classified
from xception.serve.query import QUERY_PARAMETERS
from xception.version import __version__

DOCUMENTS = (ServerMetadata, ModelMetadata, InferRequest, InferResponse, Classified, ErrorDocument)

FAILURE_WORDS = {
    400: "The request is not as described here.",
    401: "A key is needed.",
    403: "The key is for something else.",
    404: "There is no such model or version.",
    408: "The body came too slowly.",
    413: "The body, an image or the number of images is too large.",
    415: "The media type or the content coding is not taken.",
    429: "The key makes too many requests.",
    431: "The headers are too large.",
    500: "The model failed.",
    503: "The server is saturated or shutting down; ask again after Retry-After.",
    504: "The deadline passed.",
}

Schema = dict[str, Any]


@cache
def openapi_document() -> Schema:
    """The document."""
    schemas, components = msgspec.json.schema_components(DOCUMENTS, ref_template="#/components/schemas/{name}")
    del schemas
    security: Schema = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "xception serve", "version": __version__},
        "paths": _paths(),
        "components": {"schemas": components, "securitySchemes": security},
        "security": [{}, {"key": []}],
    }


def _paths() -> Schema:
    found: Schema = {
        "/v2": {"get": _operation("server", "The server", "ServerMetadata")},
        "/v2/health/live": {"get": _operation("live", "The process answers")},
        "/v2/health/ready": {"get": _operation("ready", "All models work")},
        "/v1/models": {"get": _operation("models", "Descriptions of the models")},
        "/v1/classify": {"post": _classify()},
        "/metrics": {"get": _operation("metrics", "Figures for Prometheus", media_type="text/plain")},
        "/openapi.json": {"get": _operation("openapi", "This document")},
    }
    for suffix, names in (("", ("name",)), ("/versions/{version}", ("name", "version"))):
        base, end = f"/v2/models/{{name}}{suffix}", "Version" * bool(suffix)
        found[base] = {"get": _operation(f"model{end}", "A model", "ModelMetadata", names)}
        found[f"{base}/ready"] = {"get": _operation(f"ready{end}", "The model works", None, names)}
        found[f"{base}/infer"] = {"post": _infer(f"infer{end}", names)}
    return found


def _operation(
    name: str, words: str, schema: str | None = None, path: tuple[str, ...] = (), media_type: str = "application/json"
) -> Schema:
    content = {media_type: {"schema": _reference(schema) if schema else {}}}
    failures = {str(status): _failure(text) for status, text in FAILURE_WORDS.items()}
    return {
        "operationId": name,
        "summary": f"{words}.",
        "parameters": [{"name": part, "in": "path", "required": True, "schema": {"type": "string"}} for part in path],
        "responses": {"200": {"description": words, "content": content}, **failures},
    }


def _infer(name: str, path: tuple[str, ...]) -> Schema:
    length = {
        "name": HEADER_LENGTH,
        "in": "header",
        "description": "Bytes of the document, where raw bytes of tensors follow it.",
        "schema": {"type": "integer", "minimum": 0},
    }
    operation = _operation(name, "Inference by the Open Inference Protocol", "InferResponse", path)
    body = {
        "application/json": {"schema": _reference("InferRequest")},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
    operation["parameters"].append(length)
    return operation | {"requestBody": {"required": True, "content": body}}


def _classify() -> Schema:
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "additionalProperties": {"type": "array", "items": binary}}
    body = {"image/*": {"schema": binary}, "multipart/form-data": {"schema": form}}
    operation = _operation("classify", "Labels for photos", "Classified")
    operation["parameters"] = [
        {"name": name, "in": "query", "schema": schema} for name, schema in QUERY_PARAMETERS.items()
    ]
    return operation | {"requestBody": {"required": True, "content": body}}


def _failure(words: str) -> Schema:
    return {"description": words, "content": {"application/json": {"schema": _reference("ErrorDocument")}}}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
