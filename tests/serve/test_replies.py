"""The memory of replies: counted before they are made, until their clients have taken them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from tests.serve.running import Running
from tests.support.samples import encoded
from xception.oip.tensors import parse_request
from xception.serve import bodies
from xception.serve.app import application
from xception.serve.bodies import Incoming
from xception.serve.classify import classified_bytes
from xception.serve.front import Front
from xception.serve.inference import inference, response_bytes
from xception.serve.limits import DEFAULT_LIMITS, Limits
from xception.serve.model import ServedModel
from xception.serve.query import ClassifyOptions

INFER = "/v2/models/digits/infer"

Send = Callable[[dict[str, Any]], Awaitable[None]]


def pixels_request(images: int, *, binary: bool, **more: Any) -> bytes:
    """A request for all outputs of random pixels."""
    values = np.random.default_rng(0).normal(size=images * 32 * 32).astype(np.float32)
    tensor = {"name": "pixels", "shape": [images, 1, 32, 32], "datatype": "FP32", "data": values.tolist()}
    return json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": binary}, **more}).encode()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("images", [1, 8])
@pytest.mark.parametrize(
    "outputs", [None, [{"name": "logits", "parameters": {"classification": 10}}], [{"name": "class_maps"}]]
)
def test_the_bound_of_a_response_holds_and_is_near(binary: bool, images: int, outputs: Any, server: Running) -> None:
    body = pixels_request(images, binary=binary, **({"outputs": outputs} if outputs else {}))
    model = server.service.models["digits"]
    bound = response_bytes(model, inference(model, *parse_request(body, None), server.service.limits))
    reply = server.post("/v2/models/digits/infer", body)
    assert reply.status == 200
    assert len(reply.body) <= bound <= 20_000 + 10 * len(reply.body)


def test_the_bound_of_an_answer_to_photos_holds(server: Running) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("digits", "small"):
        query = urlencode({"model": name, "top": 10, "maps": int(name == "digits"), "seen": 1})
        reply = server.post(f"/v1/classify?{query}", encoded(Image.fromarray(noise), "PNG"))
        assert reply.status == 200
        options = ClassifyOptions(top=10, maps=name == "digits", seen=True)
        assert len(reply.body) <= classified_bytes(server.service.models[name], 1, options)


def asked(front: Front, path: str, body: bytes, send: Send, headers: dict[str, str] | None = None) -> Awaitable[None]:
    """A request without a network between."""
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for event in events:
            return event
        await asyncio.Event().wait()
        raise AssertionError

    pairs = [
        (name.encode(), value.encode()) for name, value in {"content-length": str(len(body)), **(headers or {})}.items()
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": pairs,
    }
    return front({**scope, "root_path": "", "scheme": "http", "http_version": "1.1"}, receive, send)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """The bytes of a reply's part, fewer than those of a reply for eight digits."""
    monkeypatch.setattr(bodies, "PART_BYTES", 1024)
    return 1024


def needed_bytes(model: ServedModel, body: bytes) -> int:
    """The bytes that a request and its reply are counted as."""
    return len(body) + response_bytes(model, inference(model, *parse_request(body, None), DEFAULT_LIMITS))


def test_a_reply_is_counted_until_its_client_has_taken_it(server: Running, small_parts: int) -> None:
    front, held, parts = application(server.service), [], []

    async def send(event: dict[str, Any]) -> None:
        held.append(front.budget.held_bytes)
        parts.append(event.get("body", b""))

    body = pixels_request(8, binary=False)
    asyncio.run(as_task(asked(front, INFER, body, send)))
    assert len(parts) > 3
    assert max(map(len, parts)) == small_parts
    assert min(held) >= len(body) + len(b"".join(parts))
    assert front.budget.held_bytes == 0


def test_replies_that_others_have_not_taken_leave_no_room(server: Running) -> None:
    front, body, statuses = application(server.service), pixels_request(8, binary=False), []
    front.budget.max_bytes = needed_bytes(server.service.models["digits"], body)

    async def ask_beside_a_slow_client() -> None:
        begun, taken = asyncio.Event(), asyncio.Event()

        async def slow(event: dict[str, Any]) -> None:
            if event["type"] == "http.response.body":
                begun.set()
                await taken.wait()

        async def send(event: dict[str, Any]) -> None:
            statuses.extend([event["status"]] if "status" in event else [])

        first = asyncio.ensure_future(asked(front, INFER, body, slow))
        await begun.wait()
        await asked(front, INFER, body, send)
        taken.set()
        await first
        await asked(front, INFER, body, send)

    asyncio.run(ask_beside_a_slow_client())
    assert statuses == [503, 200]


@pytest.mark.usefixtures("small_parts")
def test_a_client_that_does_not_take_its_reply_is_left(server: Running) -> None:
    service = replace(server.service, limits=Limits(body_timeout_s=0.2))
    front, events = application(service), []

    async def send(event: dict[str, Any]) -> None:
        events.append(event)
        if len(events) > 2:
            await asyncio.Event().wait()

    asyncio.run(as_task(asked(front, INFER, pixels_request(8, binary=False), send)))
    assert events[-1]["more_body"]
    assert front.budget.held_bytes == 0


def test_a_reply_that_never_fits_is_refused_in_a_sentence(server: Running) -> None:
    front, body, events = application(server.service), pixels_request(8, binary=False), []
    front.budget.max_bytes = needed_bytes(server.service.models["digits"], body) - 1

    async def send(event: dict[str, Any]) -> None:
        events.append(event)

    asyncio.run(as_task(asked(front, INFER, body, send)))
    assert events[0]["status"] == 413
    assert b"the request and its reply may take 1 MiB" in events[1]["body"]
    assert front.budget.held_bytes == 0


async def as_task(wait: Awaitable[None]) -> None:
    await wait


def test_a_refused_body_is_heard_out_so_that_the_reply_arrives(server: Running) -> None:
    front, order = application(server.service), []
    chunks = [{"type": "http.request", "body": b"x", "more_body": more} for more in (True, True, False)]

    async def receive() -> dict[str, Any]:
        order.append("receive")
        return chunks.pop(0)

    async def send(event: dict[str, Any]) -> None:
        order.append(event["type"])

    scope = {"type": "http", "method": "POST", "path": "/v2/models/none/infer", "query_string": b"", "root_path": ""}
    asyncio.run(as_task(front({**scope, "headers": [(b"content-length", b"3")]}, receive, send)))
    assert order == ["receive"] * 3 + ["http.response.start", "http.response.body"]


def test_a_body_that_is_passed_over_has_an_end() -> None:
    async def forever() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(1000), "more_body": True}

    incoming = Incoming(forever, ended=False)
    asyncio.run(incoming.pass_over(10_000))
    assert not incoming.ended
