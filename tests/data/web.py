"""A web server of a folder that sends parts of files, as storage does."""

import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class WebServer(ThreadingHTTPServer):
    """`requests` are the paths that were asked for, with their Range header; `takes_ranges` turns parts off."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(root)))
        self.root = root
        self.requests: list[tuple[str, str, str | None]] = []
        self.takes_ranges = True
        self.status = 0
        self.location = ""
        """Address that all requests are sent on to."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up; that is no news."""


class Handler(SimpleHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append(("GET", self.path, asked))
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "")
        path = Path(self.translate_path(self.path))
        if self.server.location:
            self.send_response(302)
            self.send_header("Location", self.server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.server.status:
            self.send_error(self.server.status)
        elif part and path.is_file() and self.server.takes_ranges:
            data = path.read_bytes()[int(part[1]) : int(part[2]) + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Range", f"bytes {part[1]}-{int(part[1]) + len(data) - 1}/{path.stat().st_size}")
            self.end_headers()
            self.wfile.write(data)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        self.server.requests.append(("HEAD", self.path, None))
        if self.server.status:
            self.send_error(self.server.status)
        else:
            super().do_HEAD()

    def log_message(self, *args: object) -> None:
        """Nothing: `requests` holds what happened."""
