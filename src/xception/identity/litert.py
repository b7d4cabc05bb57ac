"""The description in a LiteRT file: TensorFlow Lite's model metadata, and a zip archive behind it that holds the label
file that the metadata names, and the whole description.

Numbers of fields are those of https://github.com/tensorflow/tflite-support, `metadata_schema.fbs`.
"""

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xception.extras import require
from xception.identity.words import IDENTITY_KEY, input_words, normalizes_itself, summary
from xception.labels import labels_text
from xception.version import __version__

if TYPE_CHECKING:
    from xception.identity.identity import Identity

METADATA_NAME, METADATA_IDENTIFIER = b"TFLITE_METADATA", b"M001"
LABEL_FILE, DOCUMENT_FILE = "labels.txt", f"{IDENTITY_KEY}.json"
TENSOR_AXIS_LABELS, IMAGE_PROPERTIES, NORMALIZATION = 2, 2, 1
"""Members of the schema's enumerations."""

COLOR_SPACES = {"rgb": 1, "gray": 2}
"""Members of its enumeration of orders of channels, which has none for BGR but 0, "unknown"."""

MAX_DOCUMENT_BYTES = 64 << 20

BROKEN_ARCHIVE = (
    *(zipfile.BadZipFile, KeyError, IndexError, ValueError, RuntimeError, OSError, EOFError, MemoryError),
    *(zlib.error, lzma.LZMAError, struct.error),
)
"""Exceptions of the standard library's reader on archives that are none, or lack the entry, or are damaged."""

Table = Mapping[int, Any]
"""Fields of a table by their number; a text, numbers, a table, a list of these, or `Byte`."""


class Byte(int):
    """A number of one byte, as enumerations have."""


def write(data: bytes, identity: "Identity", document: str) -> bytes:
    """The file with the description."""
    schema = require("ai_edge_litert.schema_py_generated", "litert")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(_packed(_metadata(identity, len(model.subgraphs[0].outputs)), METADATA_IDENTIFIER))
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.description = summary(identity.model).encode()
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or ()), entry]
    builder = require("flatbuffers", "litert").Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    graph = bytes(builder.Output())
    names = {LABEL_FILE: labels_text(identity.labels).encode()} if identity.names else {}
    return graph + _archive({**names, DOCUMENT_FILE: document.encode()}, len(graph))


def read_litert_text(data: bytes) -> str | None:
    """The description, from the archive behind the graph."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.getinfo(DOCUMENT_FILE).file_size > MAX_DOCUMENT_BYTES:
                return None
            return archive.read(DOCUMENT_FILE).decode()
    except BROKEN_ARCHIVE:
        return None


def _metadata(identity: "Identity", outputs: int) -> Table:
    model = identity.model
    preprocess, graph = model.preprocess, model.graph
    normalization = {0: [0.0], 1: [1.0]}
    if not normalizes_itself(model):
        normalization = {
            0: [value * preprocess.divisor for value in preprocess.mean],
            1: [value * preprocess.divisor for value in preprocess.std],
        }
    size = preprocess.output_px
    image: dict[int, Any] = {0: Byte(COLOR_SPACES.get(preprocess.color, 0))}
    image |= {1: {0: size[1], 1: size[0]}} if size else {}
    given = {
        0: graph.input_name if graph else "image",
        1: input_words(model),
        3: {0: Byte(IMAGE_PROPERTIES), 1: image},
        4: [{0: Byte(NORMALIZATION), 1: normalization}],
    }
    file = {0: LABEL_FILE, 1: "Names of the classes.", 2: Byte(TENSOR_AXIS_LABELS)}
    names = graph.outputs if graph else ("logits",)
    results: list[Table] = [{0: name} for name in names[:outputs]]
    if identity.names:
        results[0] = {0: names[0], 1: "A number for each class.", 6: [file]}
    return {
        0: model.name,
        1: summary(model),
        2: __version__,
        3: [{0: model.network.title, 2: [given], 3: results}],
    }


def _packed(table: Table, identifier: bytes) -> bytes:
    builder = require("flatbuffers", "litert").Builder(1024)
    builder.Finish(_table(builder, table), identifier)
    return bytes(builder.Output())


def _table(builder: Any, table: Table) -> int:
    """Write a table behind all that it refers to; returns its place."""
    places = {number: value if isinstance(value, int) else _place(builder, value) for number, value in table.items()}
    builder.StartObject(max(table) + 1)
    for number, value in places.items():
        if isinstance(table[number], Byte):
            builder.PrependUint8Slot(number, value, 0)
        elif isinstance(table[number], int):
            builder.PrependUint32Slot(number, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, value, 0)
    return int(builder.EndObject())


def _place(builder: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Mapping):
        return _table(builder, value)
    is_numbers = isinstance(value[0], float)
    places = [] if is_numbers else [_table(builder, item) for item in value]
    builder.StartVector(4, len(value), 4)
    for item in reversed(value if is_numbers else places):
        builder.PrependFloat32(item) if is_numbers else builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())


def _archive(files: Mapping[str, bytes], start: int) -> bytes:
    """A zip archive that begins at a byte of a file; equal content gives equal bytes."""
    file = io.BytesIO()
    file.write(b"\0" * start)
    with zipfile.ZipFile(file, "a") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()[start:]
