"""Sends a server what nobody should: python -m tests.fuzz.fuzz_server --requests 100000

Requests are drawn from the server's own description, and mutated; photos are broken ones of all kinds. It ends at the
first reply that is neither an answer nor a refusal in a sentence, and says at the end how memory went.
"""

import argparse
import json
import random
import sys
import tempfile
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.serve.running import Running, opened, running
from tests.support.reader import digits_bundle, reader_spec
from tests.support.samples import drawn_tensors, encoded, picture
from xception.machine import peak_memory_bytes

EXPECTED = {200, *range(400, 500), 503, 504}
WORDS = ["", "a", "pixels", "images", "logits", "FP32", "BYTES", "INT8", "\u0000", "\ud7ff", "x" * 5000, "../..", "<b>"]
NUMBERS = [0, 1, -1, 2**31, 2**63, -(2**63), 2**70, 1e308, 0.5, True, False, None]
HEADERS = {
    "content-type": [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=b",
        "text/plain",
        "\xff",
    ],
    "content-encoding": ["gzip", "deflate", "identity", "br"],
    "inference-header-content-length": ["0", "1", "10", "99999999999999999999", "-1", "x"],
    "accept": ["*/*"],
    "x-request-id": ["a", "x" * 100, "<b>"],
}


def photos(rng: random.Random) -> bytes:
    """An image file of some kind, whole or broken."""
    kind = rng.choice(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PCX", "ICO"])
    data = bytearray(encoded(picture(seed=rng.randrange(5)), kind))
    for _ in range(rng.choice([0, 0, 1, 5, 50])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def anything(rng: random.Random, depth: int = 0) -> Any:
    """A JSON value of any shape."""
    kind = rng.randrange(6 if depth < 4 else 3)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind == 2:
        return rng.choice(WORDS)
    if kind < 5:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(WORDS): anything(rng, depth + 1) for _ in range(rng.randrange(4))}


def document(rng: random.Random) -> dict[str, Any]:
    """An inference request, with some of its values replaced."""
    tensor: dict[str, Any] = {"name": "pixels", "datatype": "FP32", "shape": [1, 1, 32, 32], "data": [0.5] * 1024}
    if rng.random() < 0.3:
        tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": ["abc"]}
    found: dict[str, Any] = {"inputs": [tensor], "id": "a", "parameters": {}, "outputs": [{"name": "logits"}]}
    for _ in range(rng.randrange(3)):
        place = rng.choice([found, tensor, found["outputs"][0] if isinstance(found["outputs"], list) else found])
        place[rng.choice([*place, "parameters", "data"])] = anything(rng)
        if not (isinstance(found.get("outputs"), list) and found["outputs"] and isinstance(found["outputs"][0], dict)):
            break
    return found


def body(rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return photos(rng)
    if kind == 1:
        return rng.choice(
            [b"", b"[" * 10_000, b"{" * 100, zlib.compress(bytes(10**7)), b"\xff" * 100, b"--b\r\n\r\nx\r\n--b--"]
        )
    if kind == 2:
        data = photos(rng)
        raw = len(data).to_bytes(4, "little") + data
        tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
        return json.dumps({"inputs": [tensor]}).encode() + raw[: rng.choice([len(raw), rng.randrange(len(raw))])]
    text = json.dumps(document(rng)).encode("utf-8", "surrogatepass")
    if kind == 3 and text:
        changed = bytearray(text)
        changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    return text


def request(rng: random.Random, paths: list[str], version: str) -> tuple[str, str, bytes, dict[str, str]]:
    path = rng.choice([*paths, "/v2/models/digits/infer", "/v1/classify"])
    names = {
        "{name}": rng.choice(["digits"] * 9 + ["none", "%00", "%2e%2e"]),
        "{version}": rng.choice([version, "1", "%ff"]),
    }
    for mark, word in names.items():
        path = path.replace(mark, word)
    if rng.random() < 0.2:
        path += rng.choice(["?top=0", "?top=3&maps=1&seen=1", "?timeout_ms=1", "?model=x", "?%ff", "/", "?seen=1"])
    headers = {name: rng.choice(values) for name, values in HEADERS.items() if rng.random() < 0.15}
    return rng.choice(["POST"] * 6 + ["GET", "PUT", "OPTIONS", "HEAD"]), path, body(rng), headers


def attack(server: Running, requests: int, seed: int) -> str | None:
    """The first reply that should not be, with the request's number; None if there is none."""
    rng = random.Random(seed)
    paths = list(server.get("/openapi.json").json["paths"])
    version = server.service.models["digits"].version
    for number in range(requests):
        method, path, content, headers = request(rng, paths, version)
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
    with tempfile.TemporaryDirectory() as folder:
        bundle = digits_bundle(Path(folder) / "onnx", spec, drawn_tensors(spec))
        with running(opened({"digits": bundle})) as server:
            attack(server, 500, arguments.seed + 1)
            before = peak_memory_bytes() or 0
            found = attack(server, arguments.requests, arguments.seed)
            after = peak_memory_bytes() or 0
    print(found or f"{arguments.requests:,} requests; memory {before >> 20} MiB before and {after >> 20} MiB at most")
    sys.exit(found is not None)


if __name__ == "__main__":
    main()
