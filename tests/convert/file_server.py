"""A server on this machine that serves files as well, and as badly, as servers do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass
class Served:
    """A file and how it is served: each entry of `cuts` ends one response after so many bytes."""

    content: bytes = b""
    etag: str | None = '"one"'
    takes_ranges: bool = True
    states_length: bool = True
    status: int = 200
    location: str | None = None
    linked_etag: str | None = None
    cuts: list[int] = field(default_factory=list)
    hangs: bool = False
    shift: int = 0
    """Added to the place at which a continued file is said to go on."""


class FileServer(ThreadingHTTPServer):
    """`files` by path; `requests` are the paths that were asked for, with their Range header."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.authorizations: list[str | None] = []
        self.released = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up in the middle; that is no news."""


class Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.server.authorizations.append(self.headers.get("Authorization"))
        file = self.server.files.get(self.path, Served(status=404))
        start = self.start(file)
        if start > len(file.content) or (start and start == len(file.content)):
            self.reply(file, 416, b"")
        elif start:
            end = f"{len(file.content) - 1}/{len(file.content)}"
            self.reply(file, 206, file.content[start:], {"Content-Range": f"bytes {start + file.shift}-{end}"})
        else:
            self.reply(file, file.status, file.content)

    def start(self, file: Served) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        unchanged = self.headers.get("If-Range") in (None, file.etag)
        return int(asked[1]) if asked and file.takes_ranges and unchanged else 0

    def reply(self, file: Served, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        known = {"ETag": file.etag, "Location": file.location, "X-Linked-Etag": file.linked_etag}
        if file.states_length:
            known["Content-Length"] = str(len(body))
        for name, value in {**known, **(headers or {})}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.send_body(file, body)

    def send_body(self, file: Served, body: bytes) -> None:
        cut = file.cuts.pop(0) if file.cuts else None
        self.wfile.write(body if cut is None else body[:cut])
        self.close_connection = cut is not None or not file.states_length
        if file.hangs:
            self.server.released.wait()

    def log_message(self, *args: object) -> None:
        """Nothing: `requests` holds what happened."""


@contextmanager
def serving() -> Iterator[FileServer]:
    """A running server that is gone afterwards."""
    with FileServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
