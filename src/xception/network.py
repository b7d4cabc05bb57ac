"""The network: allowed addresses, timeouts, repeated requests, and offline mode.

Data and published weights are all that is ever fetched, and both only when they are named.
"""

import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from xception.errors import EnvironmentFault, UsageError
from xception.extras import require
from xception.inputs import IMAGE_LIMIT
from xception.screen import without_credentials

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

WEB = ("http", "https")

OFFLINE = "XCEPTION_OFFLINE"
"""Environment variable that, unless it is empty or 0, forbids every use of the network."""

READ_TIMEOUT_S = 30.0
"""Time without a byte after which a server counts as gone."""

DEADLINE_S = 300.0
"""Time for one read of data, with all its attempts."""

TRANSFER_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before a broken transfer of a large file is continued; each comes once per `MIN_PART_BYTES`."""

MIN_PART_BYTES = 1 << 20
"""Bytes that a transfer has to go on by to be as good as new; a server may not send a byte per connection for ever."""

SLOW_AFTER_S = 120.0
MIN_BYTES_PER_S = 1024
"""Speed below which a transfer is given up, `SLOW_AFTER_S` after it began."""

PAUSES_S = (0.25, 1.0, 4.0)
"""Pauses between the attempts of a read, each longer, since a server in trouble needs fewer requests."""

METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata", "instance-data"})
"""Names of the servers from which a cloud's machines get their own credentials."""

now = time.monotonic
pause = time.sleep


def is_offline() -> bool:
    """Tell whether the environment forbids the use of the network."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def refuse_offline(url: str) -> None:
    """Refuse to ask a server where the network must not be used.

    Raises:
        EnvironmentFault: `XCEPTION_OFFLINE` is set.
    """
    if is_offline():
        raise EnvironmentFault(
            f"{without_credentials(url)} is needed and cannot be fetched ({OFFLINE} is set); unset it, or get the file "
            "by other means and pass its path"
        )


def check_address(url: str) -> None:
    """Refuse a web address at which no data or weights lie but a machine's own secrets may; redirects are asked too.

    Raises:
        UsageError: neither http nor https, or the address of a link-local host, such as a cloud's metadata service.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme not in WEB or not host:
        raise UsageError(
            f"{without_credentials(url)} cannot be fetched: it is no web address; expected http or https, and a host"
        )
    if host in METADATA_HOSTS or any(ip.is_link_local or ip.is_multicast for ip in _addresses(host)):
        raise UsageError(
            f"{without_credentials(url)} leads to a link-local address, which is no place for data; "
            "expected an address of a server"
        )


def _addresses(host: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of a host, as far as they are known here; behind a proxy they need not be."""
    with suppress(ValueError):
        yield _unmapped(ipaddress.ip_address(host))
        return
    with suppress(OSError, UnicodeError):
        for *_, place in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            with suppress(ValueError):
                yield _unmapped(ipaddress.ip_address(str(place[0]).partition("%")[0]))


def _unmapped(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    return getattr(ip, "ipv4_mapped", None) or ip


@dataclass
class Patience:
    """The attempts that are left for one read, and the time for all of them."""

    deadline_s: float = DEADLINE_S
    pauses_s: tuple[float, ...] | None = None
    """The pauses before the second attempt and those after it; None means `PAUSES_S`."""
    _began: float = field(default_factory=lambda: now())
    _attempt: int = 0

    def rest(self) -> bool:
        """Wait before the next attempt; False, at once, if there is to be none."""
        pauses = PAUSES_S if self.pauses_s is None else self.pauses_s
        if self._attempt >= len(pauses) or self.is_over():
            return False
        pause(pauses[self._attempt])
        self._attempt += 1
        return True

    def is_over(self) -> bool:
        """Tell whether the time has passed."""
        return now() - self._began > self.deadline_s


def patiently(ask: Callable[[], T], pauses_s: tuple[float, ...] | None = None) -> T:
    """Ask a server, and again after a pause where the failure may pass by itself; the last failure is raised."""
    patience = Patience(pauses_s=pauses_s)
    while True:
        try:
            return ask()
        except Exception as error:
            if not is_passing(error) or not patience.rest():
                raise


def is_passing(error: BaseException) -> bool:
    """Tell whether the failure of a request may pass by itself: a server in trouble, or a connection that broke.

    The client libraries' errors share no base, so that they are known by their names and by the status they hold, or
    that the error holds which they were made of. fsspec says of all requests to web servers that fail that there is no
    such file.
    """
    status = _http_status(error) or _http_status(error.__cause__)
    if isinstance(status, int):
        return status == 429 or status in (500, 502, 503, 504)
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        return is_passing(error.__cause__)
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & PASSING) or isinstance(error, TimeoutError | ConnectionError)


PASSING = frozenset(
    {
        *("ClientConnectionError", "ClientPayloadError"),  # aiohttp
        *("ConnectionError", "HTTPClientError", "IncompleteReadError", "ResponseParserError"),  # botocore
        "TransportError",  # httpx
    }
)
"""Names of the client libraries' errors of connections that broke or never were."""


def _http_status(error: BaseException | None) -> object:
    response = getattr(error, "response", None)
    told = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    return getattr(error, "status", None) or told


async def bounded_client(**options: Any) -> "aiohttp.ClientSession":
    """An HTTP client whose answers end at a size and at a time, and whose redirects `check_address` has seen.

    It is what fsspec takes as `get_client`.
    """
    aiohttp = require("aiohttp", "cloud")

    class BoundedResponse(aiohttp.ClientResponse):  # type: ignore[misc, name-defined]
        """A response that is read up to the limit of an image file."""

        async def read(self) -> bytes:
            if self._body is None:
                await _fill(self)
            return await super().read()  # type: ignore[no-any-return]

    async def check_redirect(_: object, __: object, found: Any) -> None:
        target = found.response.headers.get("Location", "")
        check_address(str(found.response.url.join(type(found.response.url)(target))))

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(check_redirect)
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S, sock_connect=READ_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
    bounds = {"response_class": BoundedResponse, "trace_configs": [trace], "timeout": timeout}
    return aiohttp.ClientSession(**options, **bounds)  # type: ignore[no-any-return]


async def _fill(response: Any) -> None:
    """Read a response's body, and hang up when it becomes too large."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > IMAGE_LIMIT.bytes:
            response.close()
            raise OSError(
                f"{without_credentials(str(response.url))} sends more than {IMAGE_LIMIT.bytes:,} bytes, the limit for "
                f"{IMAGE_LIMIT.kind} behind a URL; fetch it first, and use its path"
            )
    response._body = bytes(body)
