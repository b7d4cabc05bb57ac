"""From an int8 graph in QDQ form to the files of each target's bundle."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from xception.bundle import Form
from xception.extras import require

Target = Literal["onnx", "openvino"]


def onnx_files(graph: Any) -> dict[str, bytes]:
    """`model.onnx`, for ONNX Runtime and for compilers that read QDQ."""
    return {"model.onnx": bytes(graph.SerializeToString(deterministic=True))}


def openvino_files(graph: Any) -> dict[str, bytes]:
    """`model.xml` and `model.bin`; takes an `onnx.ModelProto` or an `openvino.Model`.

    Raises:
        MissingExtra: openvino is not installed.
    """
    openvino = require("openvino", "openvino")
    model = openvino.Core().read_model(onnx_files(graph)["model.onnx"]) if hasattr(graph, "graph") else graph
    with tempfile.TemporaryDirectory() as folder:
        openvino.save_model(model, Path(folder) / "model.xml", compress_to_fp16=False)
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}


TARGETS: Mapping[Target, tuple[Form, Callable[[Any], dict[str, bytes]]]] = {
    "onnx": ("onnx", onnx_files),
    "openvino": ("openvino", openvino_files),
}
"""The form of each target's bundle, and what makes its files."""
