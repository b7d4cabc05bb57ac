"""The Open Inference Protocol over gRPC: the same service, admission and answers as over HTTP."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec

from xception.errors import EnvironmentFault
from xception.extras import require
from xception.inputs import DOCUMENT_LIMIT, read_bytes
from xception.oip.documents import OipError
from xception.serve.addresses import Tls
from xception.serve.front import MODEL_HEADER, PREPROCESS_HEADER, REQUEST_ID_HEADER, broken_at
from xception.serve.grpc_messages import GRPC_SERVICE, body_of, message_classes, metadata_reply, reply_of
from xception.serve.inference import infer_response, model_metadata, parse_inference, server_metadata
from xception.serve.keys import Keyring
from xception.serve.limits import Limits
from xception.serve.measures import Measures
from xception.serve.model import ServedModel
from xception.serve.refusal import Refusal
from xception.serve.service import Service

_logger = logging.getLogger(__name__)

STATUS_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "RESOURCE_EXHAUSTED",
    504: "DEADLINE_EXCEEDED",
}
"""Codes by the status of a refusal over HTTP. Clients repeat what is UNAVAILABLE by themselves, which a server that is
saturated must not ask for; one that ends must."""

OPEN_METHODS = ("ServerLive", "ServerReady")
"""Methods that need no key: they say nothing of the models and compute nothing."""


@dataclass(frozen=True, kw_only=True)
class GrpcSettings:
    """The address of the service over gRPC."""

    address: str
    port: int
    tls: Tls | None = None


@dataclass(frozen=True, kw_only=True)
class GrpcApi:
    """The methods."""

    service: Service
    measures: Measures
    keyring: Keyring | None

    def handlers(self) -> dict[str, Any]:
        """The handlers of all methods by their names."""
        grpc: Any = require("grpc", "grpc")
        classes = message_classes()
        methods: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
            "ServerLive": self.live,
            "ServerReady": self.ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server,
            "ModelMetadata": self.model,
            "ModelInfer": self.infer,
        }
        return {
            name: grpc.unary_unary_rpc_method_handler(
                self._guarded(name, method),
                request_deserializer=classes[f"{name}Request"].FromString,
                response_serializer=classes[f"{name}Response"].SerializeToString,
            )
            for name, method in methods.items()
        }

    async def live(self, _: Any, __: Any) -> Any:
        """True while the process answers."""
        return message_classes()["ServerLiveResponse"](live=True)

    async def ready(self, _: Any, __: Any) -> Any:
        """True while all models work and the service is to stay."""
        return message_classes()["ServerReadyResponse"](ready=self.service.is_ready)

    async def model_ready(self, request: Any, context: Any) -> Any:
        """True while a model works and the service is to stay."""
        model = self._asked(request.name, request.version, context)
        return message_classes()["ModelReadyResponse"](ready=self.service.takes(model))

    async def server(self, _: Any, __: Any) -> Any:
        """The protocol's server metadata."""
        return metadata_reply("ServerMetadataResponse", server_metadata())

    async def model(self, request: Any, context: Any) -> Any:
        """The protocol's model metadata."""
        return metadata_reply(
            "ModelMetadataResponse", model_metadata(self._asked(request.name, request.version, context))
        )

    async def infer(self, request: Any, context: Any) -> Any:
        """The protocol's inference."""
        model = self._asked(request.model_name, request.model_version, context)
        model.batcher.check(1, self.service.limits.timeout_s)
        body, length = body_of(request)
        asked = parse_inference(model, body, length, self.service.limits)
        limits = [limit for limit in (asked.timeout_s, context.time_remaining()) if limit is not None]
        timeout_s = self.service.timeout_s(min(limits, default=None))
        outcomes = await self.service.outcomes(model, asked.works, timeout_s)
        self.measures.count_images(model, outcomes)
        return reply_of(*infer_response(model, asked, outcomes))

    def _asked(self, name: str, version: str, context: Any) -> ServedModel:
        """The model that a request asks for, which its reply will name."""
        model = self.service.model(name or None, version or None)
        context.set_trailing_metadata(
            ((MODEL_HEADER, f"{model.name}@{model.digest}"), (PREPROCESS_HEADER, model.preprocess_id))
        )
        return model

    def _guarded(self, name: str, method: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        """A method behind the check of the key, with its failures in gRPC's codes, counted and logged."""
        grpc: Any = require("grpc", "grpc")

        async def answer(request: Any, context: Any) -> Any:
            began, request_id, key_name, status = time.perf_counter(), secrets.token_hex(8), "-", 200
            refusal: Refusal | None = None
            try:
                with self._checked(name, context) as key_name:
                    return await method(request, context)
            except Refusal as error:
                refusal = error
            except OipError as error:
                refusal = Refusal(400, "request", str(error))
            except asyncio.CancelledError:
                status = 499
                raise
            except Exception as error:
                _logger.exception("request %s failed: %s", request_id, type(error).__name__)
                refusal = broken_at(request_id)
            finally:
                status = refusal.status if refusal else status
                self._account(f"grpc {name}", key_name, status, time.perf_counter() - began, request_id)
            self.measures.count_refusal(refusal)
            return await context.abort(
                getattr(grpc.StatusCode, _code(refusal)), refusal.sentence, _trailing(refusal, request_id)
            )

        return answer

    def _checked(self, name: str, context: Any) -> AbstractContextManager[str]:
        if self.keyring is None or name in OPEN_METHODS:
            return nullcontext("-")
        metadata = {key: value for key, value in context.invocation_metadata() or () if key == "authorization"}
        return self.keyring.using(self.keyring.key_of(metadata.get("authorization"), "infer"))

    def _account(self, route: str, key: str, status: int, seconds: float, request_id: str) -> None:
        self.measures.count_request(route, status, seconds)
        line = {"request": request_id, "key": key, "route": route, "status": status, "ms": round(1000 * seconds, 3)}
        _logger.info("%s", msgspec.json.encode(line).decode())


def _code(refusal: Refusal) -> str:
    return "UNAVAILABLE" if refusal.reason == "draining" else STATUS_CODES.get(refusal.status, "INTERNAL")


def _trailing(refusal: Refusal, request_id: str) -> tuple[tuple[str, str], ...]:
    headers = {name.lower(): value for name, value in refusal.headers.items() if name != "Connection"}
    return ((REQUEST_ID_HEADER, request_id), *headers.items())


@asynccontextmanager
async def grpc_serving(api: GrpcApi, settings: GrpcSettings, limits: Limits) -> AsyncIterator[None]:
    """The service over gRPC until the end of the block; requests that were taken by then are answered.

    Raises:
        EnvironmentFault: nothing can listen at the address.
    """
    grpc: Any = require("grpc", "grpc")
    aio: Any = require("grpc.aio", "grpc")
    # Each call holds one message, which is in memory before anything here sees it.
    calls = max(1, limits.max_bodies_mb // limits.max_body_mb)
    options = (
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 1024 * limits.max_header_kb),
        ("grpc.so_reuseport", 0),
    )
    server = aio.server(options=options, maximum_concurrent_rpcs=calls)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(GRPC_SERVICE, api.handlers()),))
    host = f"[{settings.address}]" if ":" in settings.address else settings.address
    place = f"{host}:{settings.port}"
    try:
        if settings.tls:
            server.add_secure_port(place, _credentials(grpc, settings.tls))
        else:
            server.add_insecure_port(place)
    except RuntimeError as error:
        raise EnvironmentFault(f"nothing can listen for gRPC at {place}; choose another --grpc-port") from error
    await server.start()
    try:
        yield
    finally:
        await server.stop(limits.drain_s)


def _credentials(grpc: Any, tls: Tls) -> Any:
    clients = read_bytes(tls.clients, DOCUMENT_LIMIT) if tls.clients else None
    pair = (read_bytes(tls.key, DOCUMENT_LIMIT), read_bytes(tls.certificate, DOCUMENT_LIMIT))
    return grpc.ssl_server_credentials([pair], clients, require_client_auth=clients is not None)
