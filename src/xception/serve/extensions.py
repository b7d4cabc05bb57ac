"""Extensions of the protocol that this server lacks, for replies that say so."""

import re
from collections.abc import Mapping

_MODEL = r"/v2/models/[^/]+(/versions/[^/]+)?"

ABSENT_EXTENSIONS: Mapping[str, re.Pattern[str]] = {
    "statistics": re.compile(rf"/v2/models/stats|{_MODEL}/stats"),
    "model_configuration": re.compile(rf"{_MODEL}/config"),
    "model_repository": re.compile(r"/v2/repository(/.*)?"),
    "generate": re.compile(rf"{_MODEL}/generate(_stream)?"),
    "trace": re.compile(r"/v2(/models/[^/]+)?/trace/setting"),
    "logging": re.compile(r"/v2/logging"),
    "system_shared_memory": re.compile(r"/v2/systemsharedmemory(/.*)?"),
    "cuda_shared_memory": re.compile(r"/v2/cudasharedmemory(/.*)?"),
}
"""Paths by the names that Triton gives the extensions."""


def absent_extension(path: str) -> str | None:
    """The sentence about a path of an extension that this server does not have; None for any other path."""
    for name, paths in ABSENT_EXTENSIONS.items():
        if paths.fullmatch(path):
            return f"this server does not have the extension {name!r} of the protocol; GET /v2 names those that it has"
    return None
