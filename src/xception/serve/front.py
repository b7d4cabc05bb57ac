"""Middleware around every request and reply: checks of host and key, identifiers, metrics, the log.

Errors of all kinds become JSON here or in the handlers of `app.py`, those of the framework included.
"""

import logging
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec

from xception.oip.documents import ErrorDocument
from xception.serve.bodies import BodyBudget, Event, Incoming, send_in_parts
from xception.serve.keys import Keyring, Scope
from xception.serve.limits import Limits
from xception.serve.measures import Measures
from xception.serve.model import ServedModel
from xception.serve.refusal import Refusal
from xception.serve.request_log import account
from xception.serve.service import Service

_logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
MODEL_HEADER, PREPROCESS_HEADER, REQUEST_ID_HEADER = "x-xception-model", "x-xception-preprocess", "x-request-id"

OPEN_PATHS = re.compile(r"/(v2/health/(live|ready)|openapi\.json|page/[\w.-]+)?")
"""Paths that need no key: they say nothing of the models and compute nothing."""

HEARD_OUT = (400, 401, 403, 404, 405, 415)
"""Statuses of refusals whose requests are read to their end. A connection on which bytes come unread is reset, and the
reply may be lost with it; others are refused unread, since they are too large or too many."""

SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "server": "xception",
}

MODEL = "xception.model"
"""Key of a request's scope under which its handler leaves the model that it asks."""
REQUEST = "xception.request_id"
HELD = "xception.held"
"""Key of a request's scope for the bytes that it holds until its reply is sent."""


@dataclass(frozen=True, kw_only=True)
class Front:
    """The application behind its checks."""

    app: Any
    service: Service
    limits: Limits
    budget: BodyBudget
    """The bytes of all requests and replies at once."""
    measures: Measures
    keyring: Keyring | None
    hosts: frozenset[str] | None
    """Names under which this server may be asked, so that no foreign page reaches it under a name of its own; None
    allows all."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s, headers = time.perf_counter(), _headers(scope["headers"])
        scope[REQUEST] = request_id(headers.get(REQUEST_ID_HEADER))
        status = 500
        has_begun = False
        incoming = Incoming(receive, ended=not {"content-length", "transfer-encoding"} & set(headers))

        async def reply(event: Event) -> None:
            nonlocal status, has_begun
            if event["type"] != "http.response.start":
                if not await send_in_parts(send, event, self.limits.body_timeout_s):
                    status = 408
                return
            status, has_begun = event["status"], True
            event["headers"] = [*event["headers"], *self._own_headers(scope, event["headers"])]
            if status in HEARD_OUT and (b"connection", b"close") not in event["headers"]:
                await incoming.pass_over(self.limits.max_body_bytes)
            await send(event)

        key_name = "-"
        try:
            with self.budget.holding() as scope[HELD], self._checked(scope, headers) as key_name:
                await self.app(scope, incoming.receive, reply)
        except Refusal as refusal:
            self.measures.count_refusal(refusal)
            if not has_begun:
                await send_error(reply, refusal)
        except Exception as error:
            _logger.exception("request %s failed: %s", scope[REQUEST], type(error).__name__)
            if not has_begun:
                await send_error(reply, broken_at(scope[REQUEST]))
        finally:
            # Neither path nor query: a client may write anything there.
            route = getattr(scope.get("endpoint"), "__name__", "none")
            account(self.measures, request_id=scope[REQUEST], key=key_name, route=route, status=status, began_s=began_s)

    def _checked(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> AbstractContextManager[str]:
        """The name of the key that a request brings, whose use is counted while the request lasts.

        Raises:
            Refusal: the request is not let in.
        """
        size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size > 1024 * self.limits.max_header_kb:
            raise Refusal(
                431, "size", f"the headers have {size} bytes; expected at most {self.limits.max_header_kb} KiB"
            )
        self._check_host(headers)
        if self.keyring is None or OPEN_PATHS.fullmatch(scope["path"]):
            return nullcontext("-")
        asked: Scope = "metrics" if scope["path"] == "/metrics" else "infer"
        key = self.keyring.key_of(headers.get("authorization"), asked)
        return self.keyring.using(key)

    def _check_host(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        if self.hosts is not None and host_name(host) not in self.hosts:
            raise Refusal(
                400, "address", f"the host {host!r:.80} is none of this server's; start it with --host-name to allow it"
            )
        origin = headers.get("origin")
        if origin not in (None, "null") and origin.partition("://")[2] != host:
            raise Refusal(403, "address", "a page of another origin asks; open the page of this server")

    def _own_headers(self, scope: Mapping[str, Any], given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        asked: ServedModel | None = scope.get(MODEL)
        models = [asked] if asked else list(self.service.models.values())
        own = {
            **SAFE_HEADERS,
            **identity_headers(scope[REQUEST], models),
            **({"connection": "close"} if self.service.leaving.is_set() else {}),
        }
        names = {name.lower() for name, _ in given}
        return [(name.encode(), value.encode()) for name, value in own.items() if name.encode() not in names]


def request_id(given: str | None) -> str:
    """The identifier of a request: its client's own, if that is fit for a log, or a new one."""
    return given if given and REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def identity_headers(request: str, models: Iterable[ServedModel]) -> dict[str, str]:
    """The headers of a reply that say which request it answers, and by which models and preprocessing."""
    named = [(f"{model.name}@{model.digest}", model.preprocess_id) for model in models]
    return {
        REQUEST_ID_HEADER: request,
        MODEL_HEADER: ", ".join(name for name, _ in named),
        PREPROCESS_HEADER: ", ".join(preprocess for _, preprocess in named),
    }


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def host_name(host: str) -> str:
    """A Host header's name without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[").lower()
    return host.partition(":")[0].rstrip(".").lower()


def broken_at(request_id: str) -> Refusal:
    """The refusal of a request at which this program fails."""
    return Refusal(500, "broken", f"an unforeseen error; the server's log tells of it under {request_id}")


async def send_error(send: Any, refusal: Refusal) -> None:
    """Reply with a refusal."""
    body = error_body(refusal.sentence)
    headers = {**refusal.headers, "content-type": "application/json", "content-length": str(len(body))}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def error_body(sentence: str) -> bytes:
    """The body of a failure."""
    return msgspec.json.encode(ErrorDocument(error=sentence.encode("utf-8", "backslashreplace").decode()))
