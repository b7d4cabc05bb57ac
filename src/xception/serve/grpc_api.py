"""The methods of the Open Inference Protocol over gRPC: the same service, admission and answers as over HTTP."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xception.extras import require
from xception.oip.documents import OipError
from xception.serve.bodies import BodyBudget, Held, too_slow
from xception.serve.front import REQUEST_ID_HEADER, broken_at, identity_headers, request_id
from xception.serve.grpc_messages import message_classes, metadata_reply, parsed, reply_of, request_of
from xception.serve.inference import inference, model_metadata, response, response_bytes, server_metadata
from xception.serve.keys import Keyring
from xception.serve.measures import Measures
from xception.serve.model import ServedModel
from xception.serve.refusal import Refusal
from xception.serve.request_log import account
from xception.serve.service import Service

_logger = logging.getLogger(__name__)

STATUS_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
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
class Call:
    """A call of a method."""

    context: Any
    """gRPC's own object, from which the message is read."""
    held: Held
    """The bytes of its message and its reply."""
    metadata: Mapping[str, str]
    """The headers of its client."""
    request_id: str

    def say_who_answers(self, models: Iterable[ServedModel]) -> None:
        """Put the identity of the models behind the reply."""
        self.context.set_trailing_metadata(tuple(identity_headers(self.request_id, models).items()))

    async def refuse(self, refusal: Refusal) -> Any:
        """End without a reply."""
        grpc: Any = require("grpc", "grpc")
        headers = {name.lower(): value for name, value in refusal.headers.items() if name != "Connection"}
        behind = (*self.context.trailing_metadata(), *headers.items())
        return await self.context.abort(getattr(grpc.StatusCode, _code(refusal)), refusal.sentence, behind)


RpcMethod = Callable[[Call], Awaitable[Any]]
"""A method, from its call to its reply."""


@dataclass(frozen=True, kw_only=True)
class GrpcApi:
    """The methods."""

    service: Service
    measures: Measures
    keyring: Keyring | None
    budget: BodyBudget
    """The bytes of all requests and replies at once, over HTTP and gRPC."""

    @cached_property
    def _readers(self) -> asyncio.Semaphore:
        """One for each message that may be read at the same time, as none tells its size before it is whole."""
        limits = self.service.limits
        return asyncio.Semaphore(limits.max_bodies_mb // limits.max_body_mb)

    def handlers(self) -> dict[str, Any]:
        """The handlers of all methods by their names."""
        grpc: Any = require("grpc", "grpc")
        methods: dict[str, RpcMethod] = {
            "ServerLive": self.live,
            "ServerReady": self.ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server,
            "ModelMetadata": self.model,
            "ModelInfer": self.infer,
        }
        # On the wire one message is a stream of one, which is only read when it is asked for: after the admission.
        return {
            name: grpc.stream_unary_rpc_method_handler(
                self._guarded(name, method),
                response_serializer=message_classes()[f"{name}Response"].SerializeToString,
            )
            for name, method in methods.items()
        }

    async def live(self, _: Call) -> Any:
        """True while the process answers."""
        return message_classes()["ServerLiveResponse"](live=True)

    async def ready(self, _: Call) -> Any:
        """True while all models work and the service is to stay."""
        return message_classes()["ServerReadyResponse"](ready=self.service.is_ready)

    async def server(self, _: Call) -> Any:
        """The protocol's server metadata."""
        return metadata_reply("ServerMetadataResponse", server_metadata())

    async def model_ready(self, call: Call) -> Any:
        """True while a model works and the service is to stay."""
        request = await self._message("ModelReadyRequest", call)
        model = self._asked(request.name, request.version, call)
        return message_classes()["ModelReadyResponse"](ready=self.service.takes(model))

    async def model(self, call: Call) -> Any:
        """The protocol's model metadata."""
        request = await self._message("ModelMetadataRequest", call)
        model = self._asked(request.name, request.version, call)
        return metadata_reply("ModelMetadataResponse", model_metadata(model))

    async def infer(self, call: Call) -> Any:
        """The protocol's inference."""
        limits = self.service.limits
        with self.service.arriving(limits.timeout_s) as arrival:
            request = await self._message("ModelInferRequest", call)
            model = self._asked(request.model_name, request.model_version, call)
            asked = inference(model, *request_of(request), limits)
            del request
            call.held.add(response_bytes(model, asked))
            timeouts_s = [time_s for time_s in (asked.timeout_s, call.context.time_remaining()) if time_s is not None]
            timeout_s = self.service.timeout_s(min(timeouts_s, default=None))
            outcomes = await self.service.outcomes(model, asked.works, timeout_s, arrival)
            self.measures.count_images(model, outcomes)
            return reply_of(*response(model, asked, outcomes))

    async def _message(self, name: str, call: Call) -> Any:
        """The message of a call.

        Raises:
            Refusal: it is too slow, or there is no room for it.
            OipError: there is none, or another.
        """
        limits = self.service.limits
        try:
            async with asyncio.timeout(limits.body_timeout_s), self._readers:
                content = await call.context.read()
        except TimeoutError:
            raise too_slow(limits) from None
        if not isinstance(content, bytes):
            raise OipError(f"the call ends without a message; send one {name}")
        call.held.add(len(content))
        return parsed(name, content)

    def _asked(self, name: str, version: str, call: Call) -> ServedModel:
        """The model that a request asks for, which its reply will name."""
        model = self.service.model(name or None, version or None)
        call.say_who_answers([model])
        return model

    def _guarded(self, name: str, method: RpcMethod) -> Callable[[Any, Any], Awaitable[Any]]:
        """A method behind the check of the key, with its failures in gRPC's codes, counted and logged."""

        async def answer(_: Any, context: Any) -> Any:
            began_s, key_name, status = time.perf_counter(), "-", 200
            refusal: Refusal | None = None
            held = Held(self.budget)
            context.add_done_callback(lambda _: held.release())  # after the reply is sent
            sent = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
            own_id = request_id(sent.get(REQUEST_ID_HEADER))
            call = Call(context=context, held=held, metadata=sent, request_id=own_id)
            call.say_who_answers(self.service.models.values())
            try:
                with self._checked(name, call) as key_name:
                    return await method(call)
            except Refusal as error:
                refusal = error
            except OipError as error:
                refusal = Refusal(400, "request", str(error))
            except asyncio.CancelledError:
                status = 499
                raise
            except Exception as error:
                _logger.exception("request %s failed: %s", call.request_id, type(error).__name__)
                refusal = broken_at(call.request_id)
            finally:
                status = refusal.status if refusal else status
                account(
                    self.measures,
                    request_id=call.request_id,
                    key=key_name,
                    route=f"grpc {name}",
                    status=status,
                    began_s=began_s,
                )
            self.measures.count_refusal(refusal)
            return await call.refuse(refusal)

        return answer

    def _checked(self, name: str, call: Call) -> AbstractContextManager[str]:
        if self.keyring is None or name in OPEN_METHODS:
            return nullcontext("-")
        return self.keyring.using(self.keyring.key_of(call.metadata.get("authorization"), "infer"))


def _code(refusal: Refusal) -> str:
    return "UNAVAILABLE" if refusal.reason == "draining" else STATUS_CODES.get(refusal.status, "INTERNAL")
