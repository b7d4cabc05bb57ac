"""The description in an ONNX file: `metadata_props`, and sentences for people in its doc strings."""

from typing import TYPE_CHECKING

from xception.errors import InputError
from xception.extras import require
from xception.identity.words import IDENTITY_KEY, properties, summary
from xception.protobuf import content, fields, text
from xception.version import __version__

if TYPE_CHECKING:
    from xception.identity.identity import Identity

MAX_MODEL_FIELDS = 10_000
"""Fields of the outermost message, which has one for each entry of the metadata."""

METADATA_PROPS = 14
"""Number of that field in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto."""


def write(data: bytes, identity: "Identity", document: str) -> bytes:
    """The file with the description."""
    model = require("onnx", "onnx").load_from_string(data)
    known = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    for key, value in {**known, **properties(identity.model, identity.names), IDENTITY_KEY: document}.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name, model.producer_version = IDENTITY_KEY, __version__
    model.doc_string = model.graph.doc_string = summary(identity.model)
    return bytes(model.SerializeToString(deterministic=True))


def read_onnx_text(data: bytes) -> str | None:
    """The description, read field by field without any package of ONNX."""
    try:
        for number, value in fields(memoryview(data), MAX_MODEL_FIELDS):
            if number == METADATA_PROPS:
                entry = dict(fields(content(value), MAX_MODEL_FIELDS))
                if 1 in entry and 2 in entry and text(entry[1]) == IDENTITY_KEY:
                    return text(entry[2])
    except InputError:
        return None
    return None
