"""Weights that an ONNX file keeps in files next to it, which exporters write for large networks."""

from pathlib import Path
from typing import Any

from xception.adoption.outline import refuse
from xception.inputs import file_size, open_file

MAX_BYTES = 2**31 - 1 - 2**20
"""Bytes of weights that fit into one protocol buffer together with the graph."""


def with_data_inside(onnx: Any, model: Any, path: Path) -> tuple[str, ...]:
    """Take all weights into the model. Returns the names of the files that they came from.

    Only plain files in the model's own folder are read.

    Raises:
        InputError: a file is missing, too short, or named so that it may lie anywhere else.
    """
    tensors = [tensor for tensor in _all_tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    total, names = 0, []
    for tensor in tensors:
        stated = {entry.key: entry.value for entry in tensor.external_data}
        content = _content(path, tensor.name, stated)
        total += len(content)
        if total > MAX_BYTES:
            raise refuse(path, "its weights do not fit into one file", "no network of this family is so large")
        tensor.raw_data = content
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
        names.append(stated["location"])
    return tuple(dict.fromkeys(names))


def _all_tensors(model: Any) -> list[Any]:
    nodes = [node for part in (model.graph, *model.functions) for node in part.node]
    return [*model.graph.initializer, *(row.t for node in nodes for row in node.attribute if row.HasField("t"))]


def _content(path: Path, tensor: str, stated: dict[str, str]) -> bytes:
    """The bytes of one tensor."""
    location = stated.get("location", "")
    if not location or Path(location).name != location or location in (".", ".."):
        raise refuse(path, f"it keeps {tensor} in {location!r}", "expected a file in the same folder")
    try:
        with open_file(path.parent / location, follow_link=False) as file:
            whole = file_size(file)
            offset, size = int(stated.get("offset", 0)), int(stated.get("length", whole))
            if offset < 0 or not 0 <= size <= min(whole - offset, MAX_BYTES):
                raise refuse(path, f"{location} is too short for {tensor}", "fetch both files again")
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        reason = f"it keeps its weights in {location}, which cannot be read ({error.strerror})"
        raise refuse(path, reason, "put that file next to it") from error
    except ValueError:
        raise refuse(path, f"it states no numbers for the place of {tensor}", "export it again") from None
