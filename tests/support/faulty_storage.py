"""A proxy in front of an object storage, whose requests fail by a seeded plan."""

import http.client
import random
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Literal

Fault = Literal["429", "500", "503", "reset while sending", "reset before the answer", "reset in the answer"]

FAULTS: tuple[Fault, ...] = (
    *("429", "500", "503"),
    *("reset while sending", "reset before the answer", "reset in the answer"),
)

CODES = {"429": "TooManyRequests", "500": "InternalError", "503": "ServiceUnavailable"}
"""Statuses that some faults answer with, and what an S3 server calls them."""

MAX_IN_A_ROW = 2
"""Faults that one request meets at most, however often it is made again: fewer than a client is patient."""

HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "expect", "content-length", "trailer"})


class FaultyStorage(ThreadingHTTPServer):
    """Passes requests on to `upstream`; the fraction `rate` of them fails. `faults` counts those that did.

    A request is known by its method and path, so that what fails does not depend on the order of threads.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, rate: float, seed: int = 0, kinds: tuple[Fault, ...] = FAULTS) -> None:
        super().__init__(("127.0.0.1", 0), Door)
        self.upstream = upstream.removeprefix("http://")
        self.rate, self.seed, self.kinds = rate, seed, kinds
        self.faults: Counter[str] = Counter()
        self.versions: dict[str, set[bytes]] = {}
        """All contents that an object ever had and anybody could see, by its path."""
        self._asked: Counter[str] = Counter()
        self._lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, request: str) -> Fault | None:
        """The fault that this request meets now, if any."""
        with self._lock:
            self._asked[request] += 1
            turn = self._asked[request]
            drawn = random.Random(f"{self.seed} {request} {turn}")
            failed_before = all(
                random.Random(f"{self.seed} {request} {earlier}").random() < self.rate
                for earlier in range(max(1, turn - MAX_IN_A_ROW), turn)
            )
            if drawn.random() >= self.rate or (turn > MAX_IN_A_ROW and failed_before):
                return None
            kind = drawn.choice(self.kinds)
            self.faults[kind] += 1
            return kind

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up; that is no news."""

    def __enter__(self) -> "FaultyStorage":
        self._thread = Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Door(BaseHTTPRequestHandler):
    server: FaultyStorage
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        with suppress(OSError):
            super().handle_one_request()

    def do_any(self) -> None:
        fault = self.server.fault(f"{self.command} {self.path.partition('?')[0]}")
        length = self.headers.get("Content-Length")
        if fault == "reset while sending":
            if length:
                self.rfile.read(int(length) // 2)
            self._reset()
            return
        body = self.rfile.read(int(length)) if length else self._chunks()
        if fault in CODES:
            self._refuse(fault)
            return
        status, headers, content = self._passed_on(self.command, body)
        if self.command == "PUT" and status == 200:
            path = self.path.partition("?")[0]
            self.server.versions.setdefault(path, set()).add(self._passed_on("GET", b"")[2])
        if fault == "reset before the answer":
            self._reset()
            return
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", headers["Content-Length"] if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if fault == "reset in the answer":
            self.wfile.write(content[: len(content) // 2])
            self._reset()
        else:
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815 - the names of HTTP

    def _chunks(self) -> bytes:
        """The body of a request that comes in chunks, if it has one."""
        parts: list[bytes] = []
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        return b"".join(parts)

    def _passed_on(self, method: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        connection.request(method, self.path, body if method == "PUT" else body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {"Content-Length": "0"} | dict(answer.getheaders()), content

    def _refuse(self, status: str) -> None:
        content = f"<Error><Code>{CODES[status]}</Code><Message>a fault was planted</Message></Error>".encode()
        self.send_response_only(int(status))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        """End the connection without a farewell."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        # Reader and writer hold the connection as well, and it is reset with the last of them.
        self.rfile.close()

    def log_message(self, *args: object) -> None:
        """Nothing: `faults` holds what happened."""
