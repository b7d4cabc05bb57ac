"""The options of verbs that ask a server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.errors import InputError, UsageError
from xception.inputs import DOCUMENT_LIMIT, read_utf8
from xception.oip.client import OipClient, trusting
from xception.screen import without_credentials

ServedModelName = Annotated[
    str | None, Parameter(name="--model", help="Name of the model on the server (default: the bundle's own).")
]
ServedTensor = Annotated[
    str | None,
    Parameter(name="--tensor", help="Name of the input to send, where a model offers a choice."),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ServerAccess:
    """The trust between this client and the server."""

    key_file: Path | None = None
    """File with the key that the server asks for. A key in the command itself would stand in lists of processes."""
    tls_authority: Path | None = None
    """Certificates of the authorities that vouch for an https server, in PEM (default: those that the system knows)."""
    client_certificate: Path | None = None
    """Certificate of this client in PEM, for an https server that asks for one."""
    client_key: Path | None = None
    """Key of the client's certificate in PEM, not encrypted."""

    def client(self, url: str) -> OipClient:
        """The client of a server.

        Raises:
            UsageError: no address of a server, half a certificate, or certificates without encryption.
            InputError: a file is not what it is passed as.
        """
        files = (self.tls_authority, self.client_certificate, self.client_key)
        if (self.client_certificate is None) != (self.client_key is None):
            raise UsageError("a certificate goes with its key; pass both --client-certificate and --client-key")
        if any(files) and not url.startswith("https://"):
            raise UsageError(
                f"certificates go with an address that begins with https://; it is {without_credentials(url)}"
            )
        return OipClient(url, bearer_key(self.key_file), trust=trusting(*files) if any(files) else None)


DEFAULT_ACCESS = ServerAccess()


def bearer_key(path: Path | None) -> str | None:
    """The key in a file.

    Raises:
        InputError: the file cannot be read, or holds no key.
    """
    if path is None:
        return None
    try:
        key = read_utf8(path, DOCUMENT_LIMIT).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the key in {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not (key.isascii() and key.isprintable() and key) or " " in key:
        raise InputError(f"{path} holds no key; expected one line, as xception serve-key shows it")
    return key
