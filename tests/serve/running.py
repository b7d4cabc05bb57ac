"""A server in this process, on loopback, and a client that sends what it is told to."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from granian.http import HTTP1Settings
from granian.server.embed import Server as Granian

from tests.support.samples import HANG_S
from xception.bundle import Bundle
from xception.pipeline.cores import Cores
from xception.pipeline.engine import Engine
from xception.serve.app import application
from xception.serve.grpc_server import GrpcSettings
from xception.serve.keys import Keyring
from xception.serve.limits import DEFAULT_LIMITS, Limits
from xception.serve.model import ServedModel
from xception.serve.service import Service


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The only thing that a failure says."""
        assert self.headers["content-type"] == "application/json"
        (text,) = self.json.values()
        return str(text) if "error" in self.json else ""


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    port: int
    service: Service

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_S)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        connection = self.connection()
        try:
            sent = json.dumps(body).encode() if isinstance(body, dict | list) else body
            connection.request(method, path, sent, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        return self.ask("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def raw(self, sent: bytes) -> bytes:
        """All that comes back for some bytes, until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=HANG_S) as connection:
            connection.sendall(sent)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def opened(bundles: Mapping[str, Bundle], limits: Limits = DEFAULT_LIMITS, **options: Any) -> Service:
    """The service of some bundles, with their models tried."""
    cores = Cores()
    models = {
        name: ServedModel.open(name, Engine.open(bundle, **options), limits, cores) for name, bundle in bundles.items()
    }
    for model in models.values():
        model.start()
    return Service(models=models, limits=limits)


@contextmanager
def running(
    service: Service,
    keyring: Keyring | None = None,
    hosts: frozenset[str] | None = None,
    closes: bool = True,
    grpc: GrpcSettings | None = None,
) -> Iterator[Running]:
    """A service behind HTTP, until the end of the block."""
    port, limits = free_port(), service.limits
    settings = HTTP1Settings(
        header_read_timeout=round(1000 * limits.header_timeout_s), max_buffer_size=2048 * limits.max_header_kb
    )
    app = application(service, keyring, hosts, grpc)
    with serving_app(app if closes else kept_open(app), port, settings):
        yield Running(port, service)


def kept_open(app: Any) -> Any:
    """An application whose service outlives it."""

    async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": f"{(await receive())['type']}.complete"})
            return
        await app(scope, receive, send)

    return without_lifespan


@contextmanager
def serving_app(app: Any, port: int, settings: HTTP1Settings | None = None) -> Iterator[None]:
    """Any application behind HTTP, until the end of the block."""
    is_up = Event()
    stop = []

    async def serve() -> None:
        server = Granian(
            app, port=port, interface="asgi", http="1", websockets=False, http1_settings=settings, log_enabled=False
        )
        stop.append((asyncio.get_running_loop(), server.stop))
        task = asyncio.ensure_future(server.serve())
        while not task.done() and not await asyncio.to_thread(is_open, port):
            pass
        is_up.set()
        await task

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert is_up.wait(HANG_S)
    try:
        yield
    finally:
        ((loop, end),) = stop
        loop.call_soon_threadsafe(end)
        thread.join(HANG_S)
