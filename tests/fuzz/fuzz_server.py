"""Sends a server what nobody should: python -m tests.fuzz.fuzz_server --requests 100000

Requests are drawn from the server's own description: its paths, parameters and schemas, whose values are then spoilt.
Photos are files of all kinds, whole, broken, and some that say more than they are. It ends at the first reply that is
neither an answer nor a refusal in a sentence, and fails if the server took more memory than it said it might.
"""

import argparse
import gzip
import json
import logging
import random
import sys
import tempfile
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.serve.running import Running, opened, running
from tests.support.hostile_photos import drawn_photo
from tests.support.reader import digits_bundle, reader_spec
from tests.support.samples import drawn_tensors
from xception.machine import peak_memory_bytes
from xception.serve.limits import MIB
from xception.serve.photos import limit_decoders
from xception.serve.server import SILENT_LOGGERS, memory_bytes

EXPECTED = {200, *range(400, 500), 503, 504}
WORDS = ["", "a", "pixels", "images", "logits", "FP32", "BYTES", "INT8", "\u0000", "\ud7ff", "x" * 5000, "../..", "<b>"]
NUMBERS = [0, 1, -1, 2**31, 2**63, -(2**63), 2**70, 1e308, 0.5, True, False, None]
PATH_WORDS = ["none", "%00", "%2e%2e", "%ff", "1"]
METHODS = ["get", "post", "put", "options", "head", "patch", "delete"]
HEADERS = {
    "content-type": [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=b",
        "text/plain",
        "image/jpeg",
        "\xff",
    ],
    "content-encoding": ["gzip", "deflate", "identity", "br"],
    "inference-header-content-length": ["0", "1", "10", "99999999999999999999", "-1", "x"],
    "accept": ["*/*"],
    "x-request-id": ["a", "x" * 100, "<b>"],
}

NONSENSE = (
    b"",
    b"[" * 10_000,
    b'{"a":' * 10_000,
    b"{" * 100,
    b"\xff" * 100,
    b"--b\r\n\r\nx\r\n--b--",
    zlib.compress(bytes(10**8)),
    gzip.compress(bytes(10**7)),
)
"""Bodies of no kind; two of them grow when they are inflated."""

DRAWN_BY_TYPE = {
    "string": lambda rng: rng.choice(WORDS),
    "integer": lambda rng: rng.choice((1, 5, *NUMBERS)),
    "number": lambda rng: rng.choice((0.5, *NUMBERS)),
    "boolean": lambda rng: rng.choice((True, False)),
    "null": lambda _: None,
}

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Drawing:
    """Draws requests from a server's description, for one model of it."""

    rng: random.Random
    described: Document
    name: str
    version: str

    def request(self) -> tuple[str, str, bytes, dict[str, str]]:
        """A method, path, body and headers."""
        path, operations = self.rng.choice([*self.described["paths"].items(), *self._posted(), *self._posted()])
        method = self.rng.choice(tuple(operations)) if self.rng.random() < 0.9 else self.rng.choice(METHODS)
        operation = operations.get(method, {})
        for mark, word in (("{name}", self.name), ("{version}", self.version)):
            path = path.replace(mark, word if self.rng.random() < 0.9 else self.rng.choice(PATH_WORDS))
        content, fitting = self._body(operation)
        wrong = {name: self.rng.choice(values) for name, values in HEADERS.items() if self.rng.random() < 0.1}
        return method.upper(), path + self._query(operation), content, fitting | wrong

    def _posted(self) -> list[tuple[str, Document]]:
        return [(path, operations) for path, operations in self.described["paths"].items() if "post" in operations]

    def _query(self, operation: Document) -> str:
        stated = [one for one in operation.get("parameters", ()) if one["in"] == "query" and self.rng.random() < 0.3]
        if self.rng.random() < 0.02:
            return self.rng.choice(("?%ff", "?", "/", "?a=b&a=c"))
        values = [(one["name"], self._plain(one["schema"])) for one in stated]
        return "?" * bool(values) + "&".join(f"{name}={value}" for name, value in values)

    def _plain(self, schema: Document) -> str:
        """A value of a query: a model that is there, a number, or a word that is neither."""
        if schema["type"] == "string":
            return self.name if self.rng.random() < 0.8 else self.rng.choice(PATH_WORDS)
        return str(self.rng.choice((*schema.get("enum", ()), 1, 3, 0.5, 0, -1, "x")))

    def _body(self, operation: Document) -> tuple[bytes, dict[str, str]]:
        """A body of one of the media types of an operation, with the headers that go with it; some are nonsense."""
        media_type = self.rng.choice(tuple(operation.get("requestBody", {}).get("content", {"": {}})))
        if self.rng.random() < 0.05:
            return self.rng.choice(NONSENSE), {"content-type": media_type}
        if media_type == "application/json":
            document = json.dumps(self._inference()).encode("utf-8", "surrogatepass")
            return self._spoilt(document), {"content-type": media_type}
        if media_type == "application/octet-stream":
            document, raw = self._raw_photos()
            return document + raw, {"content-type": media_type, "inference-header-content-length": str(len(document))}
        if media_type == "multipart/form-data":
            return self._spoilt(self._form()), {"content-type": "multipart/form-data; boundary=b"}
        return drawn_photo(self.rng), {"content-type": "image/png"} if media_type else {}

    def _inference(self) -> Any:
        """An inference request: one that can be answered, or one as the schema has it; with values spoilt."""
        if self.rng.random() < 0.3:
            return self._value({"$ref": "#/components/schemas/InferRequest"})
        tensor: dict[str, Any] = {"name": "pixels", "datatype": "FP32", "shape": [1, 1, 32, 32], "data": [0.5] * 1024}
        if self.rng.random() < 0.3:
            tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": ["abc"]}
        found: dict[str, Any] = {"inputs": [tensor], "id": "a", "parameters": {}, "outputs": [{"name": "logits"}]}
        for _ in range(self.rng.randrange(3)):
            place = self.rng.choice((found, tensor))
            place[self.rng.choice((*place, "parameters", "data"))] = self._anything()
        return found

    def _value(self, schema: Document, depth: int = 0) -> Any:
        """A value that a schema allows, or nearly."""
        if "$ref" in schema:
            return self._value(self.described["components"]["schemas"][schema["$ref"].rpartition("/")[2]], depth)
        if "anyOf" in schema:
            return self._value(self.rng.choice(schema["anyOf"]), depth)
        kind = schema.get("type")
        if kind == "object" and depth < 6:
            own = schema.get("properties", {})
            kept = [name for name in own if name in schema.get("required", ()) or self.rng.random() < 0.5]
            more = schema.get("additionalProperties")
            extra = {self.rng.choice(WORDS): self._value(more, depth + 1)} if isinstance(more, dict) else {}
            return {name: self._value(own[name], depth + 1) for name in kept} | extra
        if kind == "array" and depth < 6:
            return [self._value(schema.get("items", {}), depth + 1) for _ in range(self.rng.randrange(4))]
        return DRAWN_BY_TYPE.get(kind, lambda _: self._anything())(self.rng)

    def _anything(self, depth: int = 0) -> Any:
        """A JSON value of any shape."""
        kind = self.rng.randrange(6 if depth < 4 else 3)
        if kind < 2:
            return self.rng.choice(NUMBERS)
        if kind == 2:
            return self.rng.choice(WORDS)
        if kind < 5:
            return [self._anything(depth + 1) for _ in range(self.rng.randrange(4))]
        return {self.rng.choice(WORDS): self._anything(depth + 1) for _ in range(self.rng.randrange(4))}

    def _raw_photos(self) -> tuple[bytes, bytes]:
        """A document, and photos as the raw bytes behind it, of which some may be missing."""
        photos = [drawn_photo(self.rng) for _ in range(self.rng.choice((1, 1, 3)))]
        raw = b"".join(len(data).to_bytes(4, "little") + data for data in photos)
        stated = {"binary_data_size": len(raw)}
        tensor = {"name": "images", "datatype": "BYTES", "shape": [len(photos)], "parameters": stated}
        document = {"inputs": [tensor], "parameters": {"partial": self.rng.random() < 0.5}}
        return json.dumps(document).encode(), raw[: self.rng.choice((len(raw), self.rng.randrange(len(raw))))]

    def _form(self) -> bytes:
        head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="<b>.png"\r\n\r\n'
        photos = [drawn_photo(self.rng) for _ in range(self.rng.randrange(5))]
        return b"".join(head + data + b"\r\n" for data in photos) + b"--b--\r\n"

    def _spoilt(self, content: bytes) -> bytes:
        """Some bytes as they are, or with one of them changed."""
        if not content or self.rng.random() < 0.7:
            return content
        place = self.rng.randrange(len(content))
        return content[:place] + bytes([self.rng.randrange(256)]) + content[place + 1 :]


def attack(server: Running, requests: int, seed: int) -> str | None:
    """The first reply that should not be, with the request's number; None if there is none."""
    (name, model), *_ = server.service.models.items()
    drawing = Drawing(random.Random(seed), server.get("/openapi.json").json, name, model.version)
    for number in range(requests):
        method, path, content, headers = drawing.request()
        try:
            reply = server.ask(method, path, content, headers)
        except (OSError, HTTPException) as error:
            return f"request {number}, {method} {path}: {type(error).__name__} {error}"
        is_told = method == "HEAD" or reply.status == 200 or (reply.body and b'"error"' in reply.body)
        if reply.status not in EXPECTED or not is_told:
            return (
                f"request {number}, {method} {path} {headers}: {reply.status} {reply.body[:200]!r} to {content[:200]!r}"
            )
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    spec = reader_spec()
    for name in SILENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        bundle = digits_bundle(Path(folder) / "onnx", spec, drawn_tensors(spec))
        service = opened({"digits": bundle})
        limit_decoders(service.limits.max_pixels)
        bound = sum(memory_bytes(service))
        with running(service) as server:
            found = attack(server, arguments.requests, arguments.seed)
            peak = peak_memory_bytes() or 0
    if not found and peak > bound:
        found = f"the server took {peak // MIB} MiB, and said that it takes {bound // MIB} at most"
    print(found or f"{arguments.requests:,} requests; at most {peak // MIB:,} MiB, of {bound // MIB:,} that may be")
    sys.exit(found is not None)


if __name__ == "__main__":
    main()
