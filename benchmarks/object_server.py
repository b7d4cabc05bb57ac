"""The reading half of an object storage, which costs as little processor time as one on another machine would.

An ASGI application: the folders in `OBJECTS` are its buckets, and each answer waits for `LATENCY_MS`. It checks no
signature.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

OBJECTS, LATENCY_S = Path(os.environ["OBJECTS"]), float(os.environ.get("LATENCY_MS", "0")) / 1e3

DATE = "2026-11-27T00:00:00.000Z"
RANGE = re.compile(rb"bytes=(\d+)-(\d+)")

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def app(scope: Mapping[str, Any], _: object, send: Send) -> None:
    """Answer a request for an object, for its size, or for a list of objects."""
    if scope["type"] != "http":
        return
    bucket, _, key = scope["path"].lstrip("/").partition("/")
    await asyncio.sleep(LATENCY_S)
    if key:
        status, headers, body = read(OBJECTS / bucket / key, dict(scope["headers"]).get(b"range"))
    else:
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        status, headers, body = 200, {}, listing(OBJECTS / bucket, query.get("prefix", ""), query.get("delimiter", ""))
    headers |= {"content-length": str(len(body)), "etag": '"0"', "last-modified": "Fri, 27 Nov 2026 00:00:00 GMT"}
    is_head = scope["method"] == "HEAD"
    rows = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": rows})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


def read(place: Path, part: bytes | None) -> Answer:
    """A file, or the part of it that a header `Range` asks for."""
    if not place.is_file():
        return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
    asked = RANGE.fullmatch(part) if part else None
    if not asked:
        return 200, {}, place.read_bytes()
    start, end, size = int(asked[1]), int(asked[2]), place.stat().st_size
    with place.open("rb") as file:
        file.seek(start)
        body = file.read(end + 1 - start)
    return 206, {"content-range": f"bytes {start}-{start + len(body) - 1}/{size}"}, body


def listing(bucket: Path, prefix: str, delimiter: str) -> bytes:
    """The objects whose names begin with a prefix, as ListObjectsV2 tells them; all in one answer."""
    found = dict.fromkeys(_rows(bucket, prefix, delimiter))
    head = f"<Name>{bucket.name}</Name><KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>"
    return f"<?xml version='1.0'?><ListBucketResult>{head}{''.join(found)}</ListBucketResult>".encode()


def _rows(bucket: Path, prefix: str, delimiter: str) -> Iterator[str]:
    for place in sorted(bucket.rglob("*")):
        name = place.relative_to(bucket).as_posix()
        if not place.is_file() or not name.startswith(prefix):
            continue
        folder, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if found:
            yield f"<CommonPrefixes><Prefix>{escape(prefix + folder + delimiter)}</Prefix></CommonPrefixes>"
        else:
            facts = f"<Size>{place.stat().st_size}</Size><LastModified>{DATE}</LastModified><ETag>0</ETag>"
            yield f"<Contents><Key>{escape(name)}</Key>{facts}</Contents>"
