"""The address of the service over gRPC; what it answers there is in `test_grpc_api.py`."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from tests.serve.running import Running, free_port
from tests.support.samples import HANG_S
from xception.errors import EnvironmentFault
from xception.serve.bodies import BodyBudget
from xception.serve.grpc_api import GrpcApi
from xception.serve.grpc_messages import GRPC_SERVICE
from xception.serve.grpc_server import GrpcSettings, grpc_serving
from xception.serve.limits import Limits
from xception.serve.measures import Measures


def test_a_port_that_is_taken_is_said_in_a_sentence(server: Running) -> None:
    service = server.service
    measures = Measures(service.models)
    api = GrpcApi(service=service, measures=measures, keyring=None, budget=BodyBudget(1 << 20))

    async def listen(port: int) -> None:
        async with grpc_serving(api, GrpcSettings(address="127.0.0.1", port=port), service.limits):
            pass

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EnvironmentFault, match="nothing can listen for gRPC at "):
            asyncio.run(listen(taken.getsockname()[1]))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def call_that_takes_no_reply(method: str) -> bytes:
    """All that a client sends whose window for replies is closed."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "a",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    headers = b"".join(b"\0" + b"".join(bytes((len(word),)) + word.encode() for word in one) for one in fields.items())
    no_window, end_headers, end_stream, is_answered = b"\0\4\0\0\0\0", 4, 1, 1
    return b"".join(
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            frame(4, 0, 0, no_window),
            frame(4, is_answered, 0),
            frame(1, end_headers, 1, headers),
            frame(0, end_stream, 1, bytes(5)),
        )
    )


def test_a_client_that_does_not_take_its_reply_is_cut_off() -> None:
    limits, port = Limits(body_timeout_s=0.2, timeout_s=0.2), free_port()

    async def ask_and_take_nothing() -> None:
        asked, released = asyncio.Event(), asyncio.Event()

        async def answer(_: Any, context: Any) -> bytes:
            context.add_done_callback(lambda _: released.set())
            asked.set()
            return bytes(1 << 20)

        api: Any = SimpleNamespace(handlers=lambda: {"ModelInfer": grpc.stream_unary_rpc_method_handler(answer)})
        async with grpc_serving(api, GrpcSettings(address="127.0.0.1", port=port), limits), asyncio.timeout(HANG_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(call_that_takes_no_reply(f"/{GRPC_SERVICE}/ModelInfer"))
            await asked.wait()
            assert not released.is_set()
            assert len(await reader.read()) < 1000  # until the server hangs up
            await released.wait()
            writer.close()

    asyncio.run(ask_and_take_nothing())
