"""The address of a server: who reaches it, under which names, and by which certificate."""

import ipaddress
import socket
import ssl
from collections.abc import Set
from pathlib import Path

import msgspec

from xception.errors import EnvironmentFault, InputError, UsageError, first_line
from xception.inputs import DOCUMENT_LIMIT, read_bytes

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a certificate and its key, both PEM."""

    certificate: Path
    key: Path
    clients: Path | None = None
    """Certificates of the authorities whose clients are let in; None asks clients for none."""


def check_tls(tls: Tls) -> None:
    """Refuse files that are no certificate with its key.

    Raises:
        InputError: one cannot be read, is something else, or the key is another certificate's or encrypted.
    """
    for path in filter(None, (tls.certificate, tls.key, tls.clients)):
        try:
            content = read_bytes(path, DOCUMENT_LIMIT)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}; expected a PEM file") from error
        if path == tls.key and b"-----BEGIN PRIVATE KEY-----" not in content:
            raise InputError(f"{path} holds no key that the server reads; convert it: openssl pkcs8 -topk8 -nocrypt")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.clients:
            context.load_verify_locations(tls.clients)
    except (ssl.SSLError, OSError) as error:
        raise InputError(
            f"{tls.certificate} is no certificate that goes with {tls.key}: {first_line(error)}; expected PEM files"
        ) from error


def is_loopback(address: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def check_address_is_free(address: str, port: int) -> None:
    """Refuse an address on which no server can listen, before the models are loaded.

    Raises:
        UsageError: it is none of this machine's.
        EnvironmentFault: its port is taken, or not for this user.
    """
    try:
        family, *_, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError, OverflowError) as error:
        raise UsageError(f"{address!r} is no address of this machine: {error}; expected an IP address") from error
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(place)
        except OSError as error:
            raise EnvironmentFault(
                f"nothing can listen at {address}, port {port}: {error.strerror}; choose another --port"
            ) from error


def allowed_hosts(address: str, host_names: Set[str]) -> frozenset[str] | None:
    """The names under which a server at an address may be asked; None allows all.

    Only this machine's own address is safe from pages that lead to it by names of theirs, and so always looked at.
    """
    own = LOOPBACK_NAMES if is_loopback(address) else frozenset((address,))
    return own | host_names if host_names or is_loopback(address) else None
