"""The options of verbs that ask a server."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.errors import InputError
from xception.inputs import DOCUMENT_LIMIT, read_utf8

KeyFile = Annotated[
    Path | None,
    Parameter(help="File that holds the key which the server asks for, so that it stands in no list of processes."),
]

ServedModelName = Annotated[
    str | None, Parameter(name="--model", help="Name of the model on the server (default: the bundle's own).")
]
ServedTensor = Annotated[
    str | None,
    Parameter(name="--tensor", help="Input to send, of a model with several that may take each other's place."),
]


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
