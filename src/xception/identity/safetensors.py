"""The description in a safetensors file: an entry of `__metadata__` in its header."""

import json
from typing import TYPE_CHECKING

from xception.identity.words import IDENTITY_KEY

if TYPE_CHECKING:
    from xception.identity.identity import Identity

METADATA = "__metadata__"
ALIGNMENT = 8
"""The header is filled up with blanks to a multiple of this."""


def write(data: bytes, identity: "Identity", document: str) -> bytes:  # noqa: ARG001 - as in every format
    """The file with the description."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header[METADATA] = {**header.get(METADATA, {}), IDENTITY_KEY: document}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join((len(text).to_bytes(8, "little"), text, data[8 + size :]))


def read_safetensors_text(data: bytes) -> str | None:
    """The description."""
    try:
        size = int.from_bytes(data[:8], "little")
        document = json.loads(data[8 : 8 + size])[METADATA][IDENTITY_KEY]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return document if isinstance(document, str) else None
