"""Loads of which each fills one term of the memory that a server at its limits may take."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from math import isqrt, prod
from typing import Any

import grpc
from PIL import Image

from tests.serve.running import Running
from tests.support.hostile_photos import tiled_tiff, wordy_png
from tests.support.samples import encoded
from xception.oip.tensors import HEADER_LENGTH
from xception.serve.grpc_messages import GRPC_SERVICE, message_classes
from xception.serve.limits import Limits
from xception.serve.photos import MAX_TEXT_CHARACTERS

CLASSIFY, INFER = "/v1/classify?seen=1", "/v2/models/model/infer"

CUT = 0
"""Status of a request whose connection was cut."""

REPLY_S = 120.0

ASPECTS = (10, 100, 1000, 10_000)

TILE_PX = 1 << 14
"""Side of the tile of a TIFF file, of which the image has sixteen."""

Headers = dict[str, str]
Load = Callable[[], int]
"""Sends a request; returns the status of its reply."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server at its limits."""

    port: int
    grpc_port: int
    limits: Limits

    @property
    def client(self) -> Running:
        return Running(self.port, None)  # type: ignore[arg-type]  # the service is in another process

    def tensor(self) -> dict[str, Any]:
        """The model's input of pixels, with as many images as a request may have."""
        stated = self.client.get("/v2/models/model").json["inputs"][0]
        image = [side if side > 0 else 64 for side in stated["shape"][1:]]
        images = min(self.limits.max_images, (self.limits.max_body_bytes - 4096) // (4 * prod(image)))
        return {"name": stated["name"], "datatype": stated["datatype"], "shape": [images, *image]}


def loads(target: Target, clients: int) -> Iterator[Load]:
    """All loads, some clients each, and as many connections that say nothing as the server has room for."""
    limits, headers = target.limits, {"Content-Type": "multipart/form-data; boundary=b"}
    for photo in photos(limits):
        for _ in range(2):
            yield partial(posted, target, CLASSIFY, photo, {})
    form, document, tensor = full_form(limits), deep_document(limits), target.tensor()
    raw, raw_headers = raw_request(tensor)
    for _ in range(clients):
        yield partial(withheld, target, CLASSIFY, form, headers)
        yield partial(posted, target, CLASSIFY, gzip.compress(form, 1), {**headers, "Content-Encoding": "gzip"})
        yield partial(posted, target, INFER, document, {})
        yield partial(posted, target, INFER, raw, raw_headers)
        yield partial(unread, target, INFER, raw, raw_headers)
        yield partial(unread_call, target, tensor)
    for _ in range(limits.max_connections):
        yield partial(half_a_head, target)


def photos(limits: Limits) -> Iterator[bytes]:
    """Files of which each decoder takes most, and some that say more than they are."""
    side = isqrt(limits.max_pixels)
    rgb, turned = Image.new("RGB", (side, side), (90, 120, 150)), Image.Exif()
    turned[0x112] = 6
    yield encoded(rgb, "JPEG", progressive=True, subsampling=0)
    yield encoded(rgb, "JPEG", exif=turned)
    yield encoded(rgb.convert("CMYK"), "JPEG", progressive=True, subsampling=0)
    yield encoded(rgb.convert("RGBA"), "PNG", compress_level=1, exif=turned)
    yield encoded(rgb.convert("RGBA"), "WEBP", lossless=True, method=0, quality=0)
    yield encoded(rgb.convert("P"), "GIF", save_all=True, append_images=[Image.new("P", rgb.size, 1)])
    yield encoded(Image.new("I;16", rgb.size), "PNG")
    yield encoded(Image.new("I;16", rgb.size), "TIFF", compression="tiff_deflate")
    for aspect in ASPECTS:
        yield encoded(Image.new("RGB", (4, 4 * aspect)), "PNG")
    yield encoded(Image.new("RGB", (2 * side, side)), "PNG", compress_level=1)
    yield wordy_png(MAX_TEXT_CHARACTERS)
    yield tiled_tiff(TILE_PX)


def full_form(limits: Limits) -> bytes:
    """A form as large as it may be, with as many images as it may have."""
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    image = encoded(Image.new("RGB", (64, 64), (90, 120, 150)), "JPEG")
    room = (limits.max_body_bytes - 64) // limits.max_images - len(head) - len(image) - 2
    return (head + image + bytes(room) + b"\r\n") * limits.max_images + b"--b--\r\n"


def deep_document(limits: Limits) -> bytes:
    """A request in JSON whose values take most memory per byte."""
    head, tail = b'{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":[', b"{}]}]}"
    return head + b"{}," * ((limits.max_body_bytes - len(head) - len(tail)) // 3) + tail


def raw_request(tensor: dict[str, Any]) -> tuple[bytes, Headers]:
    """A request for all outputs, in JSON, of pixels as raw bytes."""
    raw = bytes((1 if tensor["datatype"] == "UINT8" else 4) * prod(tensor["shape"]))
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    return head + raw, {HEADER_LENGTH: str(len(head))}


def posted(target: Target, path: str, body: bytes, headers: Headers) -> int:
    """Send a request as it should be sent."""
    try:
        return target.client.ask("POST", path, body, headers).status
    except (OSError, HTTPException):
        return CUT


def withheld(target: Target, path: str, body: bytes, headers: Headers) -> int:
    """Send a request whose last byte comes late, so that many bodies are held at once."""
    with suppress(OSError), _connected(target) as connection:
        connection.sendall(_head(path, body, headers) + body[:-1])
        time.sleep(target.limits.body_timeout_s / 2)
        connection.sendall(body[-1:])
        return _status(connection)
    return CUT


def unread(target: Target, path: str, body: bytes, headers: Headers) -> int:
    """Send a request, and do not read its reply until the time for that is over."""
    with suppress(OSError), _connected(target) as connection:
        connection.sendall(_head(path, body, headers) + body)
        time.sleep(target.limits.body_timeout_s)
        return _status(connection)
    return CUT


def half_a_head(target: Target) -> int:
    """Send headers that are large and have no end."""
    line = b"X: " + b"x" * 1019 + b"\r\n"
    with suppress(OSError), _connected(target) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\n" + line * target.limits.max_header_kb)
        return _status(connection)
    return CUT


def unread_call(target: Target, tensor: dict[str, Any]) -> int:
    """Call over gRPC, and do not read the reply until the time for that is over."""
    request = message_classes()["ModelInferRequest"](model_name="model", inputs=[tensor])
    request.raw_input_contents.append(bytes((1 if tensor["datatype"] == "UINT8" else 4) * prod(tensor["shape"])))
    with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel:
        call: Any = channel.unary_stream(f"/{GRPC_SERVICE}/ModelInfer")(request.SerializeToString(), timeout=REPLY_S)
        time.sleep(target.limits.body_timeout_s)
        try:
            list(call)
        except grpc.RpcError as error:
            return 503 if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED else CUT
    return 200


def _connected(target: Target) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(REPLY_S)
    connection.connect(("127.0.0.1", target.port))
    return connection


def _head(path: str, body: bytes, headers: Headers) -> bytes:
    stated = {"Host": "127.0.0.1", "Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = (f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in stated.items()), "", "")
    return "\r\n".join(lines).encode()


def _status(connection: socket.socket) -> int:
    words = connection.recv(64).split()
    return int(words[1]) if len(words) > 1 else CUT
