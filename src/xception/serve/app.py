"""The application: its routes, and what each of them does with a request."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from xception.oip.documents import OipError, document_bytes
from xception.oip.tensors import HEADER_LENGTH, message, parse_request
from xception.serve.bodies import BodyBudget, Held, parts_of, read_body
from xception.serve.classify import classified, classified_bytes
from xception.serve.extensions import absent_extension
from xception.serve.front import HELD, MODEL, REQUEST, Front, broken_at, error_body
from xception.serve.grpc_api import GrpcApi
from xception.serve.grpc_server import GrpcSettings, grpc_serving
from xception.serve.inference import inference, model_metadata, response, response_bytes, server_metadata
from xception.serve.keys import Keyring
from xception.serve.limits import MIB
from xception.serve.measures import Measures
from xception.serve.model import ServedModel
from xception.serve.openapi import openapi_document
from xception.serve.page import page_file
from xception.serve.photos import SentPhoto
from xception.serve.query import classify_options
from xception.serve.refusal import Refusal
from xception.serve.service import Service

OIP_MEDIA_TYPES = ("", "application/json", "application/octet-stream", "application/x-www-form-urlencoded")
"""Media types of the protocol's requests: clients send none, or what their library thinks of."""

NOT_PHOTOS = ("text/", "application/json", "application/xml")


@dataclass(frozen=True)
class Api:
    """The handlers of all routes."""

    service: Service
    measures: Measures

    def routes(self) -> list[Route]:
        """All routes. Repository calls, shared memory, and other ways to change the server, are none of them."""
        model = "/v2/models/{name}"
        versioned = model + "/versions/{version}"
        return [
            Route("/", self.page),
            Route("/page/{file}", self.page),
            Route("/openapi.json", self.openapi),
            Route("/metrics", self.metrics),
            Route("/v1/models", self.models),
            Route("/v1/classify", self.classify, methods=["POST"]),
            *(Route(path, self.server) for path in ("/v2", "/v2/")),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            *(Route(path, self.model) for path in (model, versioned)),
            *(Route(f"{path}/ready", self.model_ready) for path in (model, versioned)),
            *(Route(f"{path}/infer", self.infer, methods=["POST"]) for path in (model, versioned)),
        ]

    async def page(self, request: Request) -> Response:
        """The page for people, and its parts."""
        return page_file(request.path_params.get("file", "index.html"))

    async def openapi(self, _: Request) -> Response:
        """The description of all this for programs."""
        return _json(openapi_document())

    async def metrics(self, _: Request) -> Response:
        """Figures for Prometheus."""
        return Response(self.measures.text(), media_type=self.measures.media_type)

    async def models(self, _: Request) -> Response:
        """Descriptions of the models."""
        described = [
            {
                "name": model.name,
                "version": model.version,
                "preprocess_id": model.preprocess_id,
                "classes": len(model.bundle.labels),
                "class_maps": model.map_px is not None,
                "model": model.bundle.model,
            }
            for model in self.service.models.values()
        ]
        return _json({"models": described})

    async def server(self, _: Request) -> Response:
        """The protocol's server metadata."""
        return _json(server_metadata())

    async def live(self, _: Request) -> Response:
        """True while the process answers."""
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        """True while all models work and the service is to stay."""
        is_ready = self.service.is_ready
        return _json({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    async def model(self, request: Request) -> Response:
        """The protocol's model metadata."""
        return _json(model_metadata(self._asked(request)))

    async def model_ready(self, request: Request) -> Response:
        """True while a model works and the service is to stay."""
        model = self._asked(request)
        is_ready = self.service.takes(model)
        return _json({"name": model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def infer(self, request: Request) -> Response:
        """The protocol's inference."""
        model = self._asked(request)
        media_type = _media_type(request)
        if media_type not in OIP_MEDIA_TYPES:
            raise Refusal(
                415, "media type", f"the media type {media_type!r:.60} is not taken; expected application/json"
            )
        held: Held = request.scope[HELD]
        with model.batcher.arriving(self.service.limits.timeout_s) as arrival:
            body = await read_body(_chunks(request), request.headers, self.service.limits, held)
            asked = inference(model, *parse_request(body, request.headers.get(HEADER_LENGTH)), self.service.limits)
            del body
            held.add(response_bytes(model, asked))
            timeout_s = self.service.timeout_s(asked.timeout_s)
            outcomes = await self.service.outcomes(model, asked.works, timeout_s, arrival, _departure(request))
            self.measures.count_images(model, outcomes)
            content, length = message(*response(model, asked, outcomes))
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={HEADER_LENGTH: str(length)})

    async def classify(self, request: Request) -> Response:
        """Labels for photos."""
        model = self._asked(request, request.query_params.get("model"))
        options = classify_options(request.query_params, model)
        media_type = _media_type(request)
        if media_type.startswith(NOT_PHOTOS):
            raise Refusal(
                415,
                "media type",
                f"the media type {media_type!r:.60} is no image; send the bytes of an image, or a form",
            )
        deadline_s, held = self.service.timeout_s(options.timeout_s), request.scope[HELD]
        with model.batcher.arriving(deadline_s) as arrival:
            body = await read_body(_chunks(request), request.headers, self.service.limits, held)
            is_form = media_type == "multipart/form-data"
            files = parts_of(body, _boundary(request), self.service.limits) if is_form else [body]
            if is_form and not files:
                raise Refusal(400, "request", "the form has no file; send images as files, in fields of any name")
            held.add(classified_bytes(model, len(files), options))
            photos = [SentPhoto(data, shown=options.seen) for data in files]
            outcomes = await self.service.outcomes(model, photos, deadline_s, arrival, _departure(request))
            self.measures.count_images(model, outcomes)
        if not is_form and isinstance(outcomes[0], Refusal):
            raise outcomes[0]
        return _json(classified(model, outcomes, options, request.scope[REQUEST]))

    def _asked(self, request: Request, name: str | None = None) -> ServedModel:
        """The model that a request asks for, which its reply will name."""
        parameters = request.path_params
        model = self.service.model(parameters.get("name", name), parameters.get("version"))
        request.scope[MODEL] = model
        return model


def application(
    service: Service,
    keyring: Keyring | None = None,
    hosts: frozenset[str] | None = None,
    grpc: GrpcSettings | None = None,
) -> Front:
    """The application of a service.

    Args:
        service: whose models are ready.
        keyring: the keys of those who may ask; None lets everybody.
        hosts: names under which the server may be asked; None allows all.
        grpc: where the service is to be asked over gRPC, too.
    """
    measures, budget = Measures(service.models), BodyBudget(service.limits.max_bodies_mb * MIB)
    api = Api(service, measures)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        api = GrpcApi(service=service, measures=measures, keyring=keyring, budget=budget)
        async with grpc_serving(api, grpc, service.limits) if grpc else nullcontext():
            yield
        await asyncio.to_thread(service.close)

    starlette = Starlette(routes=api.routes(), exception_handlers=_handlers(measures), lifespan=lifespan)
    starlette.router.redirect_slashes = False
    return Front(
        app=starlette,
        service=service,
        limits=service.limits,
        budget=budget,
        measures=measures,
        keyring=keyring,
        hosts=hosts,
    )


def _handlers(measures: Measures) -> dict[Any, Any]:
    """Replies to errors by their kind; all are JSON."""

    async def refused(request: Request, refusal: Refusal) -> Response:
        measures.count_refusal(refusal)
        # A model may be called `stats`: its path is only an extension's where there is no such model.
        extension = absent_extension(request.url.path) if refusal.status == 404 else None
        return _failure(refusal.status, extension or refusal.sentence, refusal.headers)

    async def wrong(request: Request, error: OipError) -> Response:
        return await refused(request, Refusal(400, "request", str(error)))

    async def departed(request: Request, _: ClientDisconnect) -> Response:
        return await refused(request, Refusal(499, "departed", "the client is gone"))

    async def not_routed(request: Request, error: HTTPException) -> Response:
        path = f"{request.url.path!r:.80}"
        words = {
            404: absent_extension(request.url.path) or f"there is nothing at {path}; the paths are in /openapi.json",
            405: f"{request.method!r:.20} is not for {path}; the header Allow says what is",
        }
        sentence = words.get(error.status_code, str(error.detail))
        return _failure(error.status_code, sentence, dict(error.headers or {}))

    async def broken(request: Request, _: Exception) -> Response:
        return await refused(request, broken_at(request.scope[REQUEST]))

    return {Refusal: refused, OipError: wrong, ClientDisconnect: departed, HTTPException: not_routed, Exception: broken}


def _failure(status: int, sentence: str, headers: Mapping[str, str]) -> Response:
    return Response(error_body(sentence), status, headers=headers, media_type="application/json")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk


async def _departure(request: Request) -> None:
    """Ends when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(document: Any, status: int = 200) -> Response:
    return Response(document_bytes(document), status, media_type="application/json")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _boundary(request: Request) -> bytes:
    for option in request.headers.get("content-type", "").split(";")[1:]:
        name, _, value = option.strip().partition("=")
        if name.lower() == "boundary" and value:
            return value.strip('"').encode("latin-1", "replace")
    raise Refusal(400, "request", "the form names no boundary; send it as the media type multipart/form-data says")
