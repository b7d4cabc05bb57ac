"""Bodies of requests, read up to a size and a time, inflated and taken apart; bodies of replies, sent part by part.

All of them share one budget of memory: a request holds its own bytes and those of its reply until that is sent.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from xception.extras import require
from xception.serve.limits import MIB, PART_BYTES, Limits
from xception.serve.refusal import Refusal

CODINGS: Mapping[str, int] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""Content codings that are inflated, with zlib's names of them; of deflate the form that the standard names."""

PASS_OVER_S = 0.5
"""Time in which the rest of a body comes whose request is refused."""


@dataclass
class BodyBudget:
    """The bytes of all bodies at once, of requests and of replies."""

    max_bytes: int
    held_bytes: int = 0

    @contextmanager
    def holding(self) -> Iterator["Held"]:
        """The bytes of one request and its reply, for as long as they last."""
        held = Held(self)
        try:
            yield held
        finally:
            held.release()


@dataclass
class Held:
    """The bytes that one request holds of a budget."""

    budget: BodyBudget
    bytes: int = 0

    def add(self, count: int) -> None:
        """Hold more.

        Raises:
            Refusal: others have used the budget up, or it could never hold so much.
        """
        if self.bytes + count > self.budget.max_bytes:
            sentence = (
                f"the request and its reply may take {-(-(self.bytes + count) // MIB):,} MiB, and all bodies together "
                f"{self.budget.max_bytes // MIB:,}; ask for fewer images or outputs, or for raw bytes"
            )
            raise Refusal(413, "size", sentence, closes=True)
        if self.budget.held_bytes + count > self.budget.max_bytes:
            sentence = "other requests and their replies fill the memory that is set aside for them; ask again later"
            raise Refusal(503, "saturated", sentence, retry_after_s=1, closes=True)
        self.budget.held_bytes += count
        self.bytes += count

    def release(self) -> None:
        """Give all of them back."""
        self.budget.held_bytes -= self.bytes
        self.bytes = 0


Event = dict[str, Any]
"""An event of ASGI."""


@dataclass
class Incoming:
    """The events of a request as they come, with the knowledge of whether its body is all there."""

    source: Callable[[], Awaitable[Event]]
    ended: bool

    async def receive(self) -> Event:
        """The next event."""
        event = await self.source()
        self.ended = self.ended or not event.get("more_body", False)
        return event

    async def pass_over(self, max_bytes: int) -> None:
        """Read what is left of the body, for a moment: a client is cut off from its reply while it still sends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PASS_OVER_S):
                while not self.ended and max_bytes >= 0:
                    max_bytes -= len((await self.receive()).get("body", b""))


async def send_in_parts(send: Callable[[Event], Awaitable[None]], event: Event, timeout_s: float) -> bool:
    """Send an event of a reply's body as its client takes it; False if that takes too long, and the rest is dropped."""
    body = event.get("body", b"")
    if len(body) <= PART_BYTES:
        await send(event)
        return True
    try:
        async with asyncio.timeout(timeout_s):
            for start in range(0, len(body), PART_BYTES):
                more = event.get("more_body", False) or start + PART_BYTES < len(body)
                await send({**event, "body": body[start : start + PART_BYTES], "more_body": more})
    except TimeoutError:
        return False
    return True


async def read_body(chunks: AsyncIterator[bytes], headers: Mapping[str, str], limits: Limits, held: Held) -> bytes:
    """The body of a request, inflated.

    Raises:
        Refusal: it is too large, too slow, not what its coding says, or there is no room for it.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_body_bytes:
        raise _too_large(limits)
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", *CODINGS):
        raise Refusal(
            415, "media type", f"the content coding {coding!r:.40} is not known; expected gzip or deflate", closes=True
        )
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            async for chunk in chunks:
                if len(body) + len(chunk) > limits.max_body_bytes:
                    raise _too_large(limits)
                held.add(len(chunk))
                body += chunk
    except TimeoutError:
        raise too_slow(limits) from None
    return bytes(body) if coding == "identity" else _inflated(bytes(body), coding, limits, held)


def _inflated(body: bytes, coding: str, limits: Limits, held: Held) -> bytes:
    inflater = zlib.decompressobj(CODINGS[coding])
    try:
        content = inflater.decompress(body, limits.max_body_bytes + 1)
    except zlib.error as error:
        raise Refusal(400, "request", f"the body is no {coding}: {error}") from error
    if len(content) > limits.max_body_bytes:
        raise _too_large(limits)
    if not inflater.eof or inflater.unused_data:
        raise Refusal(400, "request", f"the body is not one whole {coding} stream")
    held.add(len(content))
    return content


def too_slow(limits: Limits) -> Refusal:
    """The refusal of a body that does not arrive in time."""
    sentence = f"the body took longer than {limits.body_timeout_s:g} s; send it faster, or less at once"
    return Refusal(408, "client speed", sentence, closes=True)


def _too_large(limits: Limits) -> Refusal:
    sentence = f"the body is larger than {limits.max_body_mb} MiB; send less at once"
    return Refusal(413, "size", sentence, closes=True)


def parts_of(body: bytes, boundary: bytes, limits: Limits) -> list[bytes]:
    """The contents of the files in a multipart body; fields without a file name are passed over.

    Raises:
        Refusal: it is no such body, or has too many parts.
    """
    multipart: Any = require("python_multipart.multipart", "serve")
    parts = _Parts(limits.max_images)
    try:
        parser = multipart.MultipartParser(boundary, parts.callbacks(), max_size=len(body) + 1)
        parser.write(body)
        parser.finalize()
    except multipart.FormParserError as error:
        raise Refusal(400, "request", f"the body is no multipart form: {error}") from error
    if not parts.ended:
        raise Refusal(400, "request", "the multipart form ends before its last boundary; send it whole")
    return parts.files


class _Parts:
    """Collects the files of a multipart body."""

    def __init__(self, max_files: int) -> None:
        self.files: list[bytes] = []
        self.ended = False
        self._max_files = max_files
        self._content, self._field, self._value, self._is_file = bytearray(), bytearray(), bytearray(), False

    def callbacks(self) -> dict[str, Any]:
        """Functions for the parser to call."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._content.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._content, self._is_file = bytearray(), False

    def _header(self) -> None:
        if self._field.lower() == b"content-disposition" and b"filename" in self._value.lower():
            self._is_file = True
        self._field, self._value = bytearray(), bytearray()

    def _end(self) -> None:
        if not self._is_file:
            return
        if len(self.files) == self._max_files:
            raise Refusal(413, "size", f"the form has more than {self._max_files} images; send fewer at once")
        self.files.append(bytes(self._content))

    def _finish(self) -> None:
        self.ended = True
