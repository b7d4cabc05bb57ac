"""A client for one server, which sends exactly the given bytes."""

import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from xception.errors import EnvironmentFault, InputError, UsageError, first_line
from xception.inputs import parse_json
from xception.network import READ_TIMEOUT_S, check_address, refuse_offline
from xception.oip.documents import ErrorDocument, InferRequest, InferResponse, ModelMetadata, Parameters, WantedOutput
from xception.oip.tensors import BINARY_OUTPUT, HEADER_LENGTH, Array, Output, message, parse_response, stated
from xception.screen import printable, without_credentials

MAX_REPLY_BYTES = 1 << 30
"""Bytes of an answer that are read: a thousand class maps of a large batch."""


@dataclass(frozen=True)
class Reply:
    """A server's reply, whatever it says."""

    status: int
    headers: Mapping[str, str]
    """Values by names in small letters."""
    body: bytes

    @property
    def error(self) -> str | None:
        """The sentence of a failure; None if the body is no document of one."""
        try:
            return parse_json(self.body, ErrorDocument).error
        except ValueError:
            return None


@dataclass(frozen=True)
class OipClient:
    """A server by its URL, up to and without `/v2`."""

    url: str
    key: str | None = field(default=None, repr=False)
    trust: ssl.SSLContext | None = field(default=None, repr=False)
    """The authorities whose word counts for the server, see `trusting`; None leaves that to the system."""
    timeout_s: float = READ_TIMEOUT_S

    def __post_init__(self) -> None:
        check_address(self.url)
        if not _is_here(self.url):
            refuse_offline(self.url)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request, and return what comes.

        Raises:
            EnvironmentFault: nothing comes, or what comes is no HTTP.
        """
        parts, connection = urlsplit(self.url), self._connection()
        own = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            # A server that refuses a request by its headers may hang up on the body: its reply is there all the same.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, parts.path.rstrip("/") + path, body, {**own, **(headers or {})})
            response = connection.getresponse()
            content = response.read(MAX_REPLY_BYTES + 1)
        except ssl.SSLError as error:
            raise EnvironmentFault(self._untrusted(error)) from error
        except (OSError, http.client.HTTPException) as error:
            words = (
                error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
            )
            raise EnvironmentFault(
                f"{without_credentials(self.url)} does not answer: {words}; is it running?"
            ) from error
        finally:
            connection.close()
        if len(content) > MAX_REPLY_BYTES:
            raise InputError(f"{without_credentials(self.url)} sends more than {MAX_REPLY_BYTES:,} bytes")
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        try:
            if parts.scheme == "https":
                trust = self.trust or ssl.create_default_context()
                return http.client.HTTPSConnection(
                    parts.hostname or "", parts.port, timeout=self.timeout_s, context=trust
                )
            return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self.timeout_s)
        except ValueError as error:
            raise UsageError(f"{without_credentials(self.url)} is no address of a server: {error}") from error

    def _untrusted(self, error: ssl.SSLError) -> str:
        """The sentence about an encrypted connection that did not come about."""
        url = without_credentials(self.url)
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the certificate of {url} is not trusted: {error.verify_message}; pass its authority's"
        reason = (error.reason or str(error)).lower().replace("_", " ")
        return f"{url} and this client agree on no encryption: {reason}; does it ask clients for a certificate?"

    def model(self, name: str) -> ModelMetadata:
        """A model's metadata.

        Raises:
            InputError: the server says that it has none of that name, or says something else.
        """
        reply = self.ask("GET", f"/v2/models/{name}")
        _check(reply, f"the model {name!r}")
        try:
            return parse_json(reply.body, ModelMetadata)
        except ValueError as error:
            raise InputError(
                f"{without_credentials(self.url)} describes the model {name!r} otherwise: {error}"
            ) from error

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: tuple[str, ...],
        *,
        parameters: Parameters | None = None,
        output_parameters: Mapping[str, int] | None = None,
    ) -> dict[str, Array]:
        """Some outputs of a model by name, sent and asked for as raw bytes.

        Raises:
            InputError: the server refuses the request, or its answer is none.
        """
        tensors, raw = stated([Output(name, values, binary=True) for name, values in inputs.items()])
        own: Parameters = {BINARY_OUTPUT: True, **(output_parameters or {})}
        wanted = tuple(WantedOutput(name=name, parameters=own) for name in outputs)
        document = InferRequest(inputs=tensors, outputs=wanted, parameters=parameters or {})
        body, length = message(document, raw)
        headers = {} if length is None else {HEADER_LENGTH: str(length)}
        reply = self.ask("POST", f"/v2/models/{model}/infer", body, headers)
        _check(reply, f"a request to {model!r}")
        return self.answer(reply)[1]

    def answer(self, reply: Reply) -> tuple[InferResponse, dict[str, Array]]:
        """The document of an answer, and its values by output.

        Raises:
            OipError: it is not as the protocol says.
        """
        return parse_response(reply.body, reply.headers.get(HEADER_LENGTH.lower()))


def trusting(authorities: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """The trust in a server by its authorities' certificates, and a certificate of this client's own; all PEM.

    Args:
        authorities: those whose word counts; None leaves that to the system.
        certificate: the client's, with those between it and its authority.
        key: the certificate's, not encrypted.

    Raises:
        InputError: a file is missing, or something else.
    """
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (ssl.SSLError, OSError) as error:
        raise InputError(f"{authorities} is no certificate: {first_line(error)}; expected a PEM file") from error
    if certificate and key:
        try:
            context.load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, OSError) as error:
            raise InputError(
                f"{certificate} is no certificate that goes with {key}: {first_line(error)}; expected PEM files"
            ) from error
    return context


def _check(reply: Reply, what: str) -> None:
    if reply.status != 200:
        said = printable(reply.error or reply.body[:200].decode("utf-8", "replace"))
        raise InputError(f"the server refuses {what} with {reply.status}: {said}")


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
