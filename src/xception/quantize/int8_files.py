"""Files of an int8 graph in QDQ form, for runtimes that read this form; `quantize.litert` writes LiteRT's own."""

import tempfile
from pathlib import Path
from typing import Any

from xception import inputs
from xception.export.openvino import with_own_names
from xception.extras import require


def int8_onnx_files(graph: Any) -> dict[str, bytes]:
    """`model.onnx`, for ONNX Runtime and for compilers that read QDQ."""
    return {"model.onnx": bytes(graph.SerializeToString(deterministic=True))}


def int8_openvino_files(graph: Any) -> dict[str, bytes]:
    """`model.xml` and `model.bin`; takes an `onnx.ModelProto` or an `openvino.Model`.

    Raises:
        MissingExtra: openvino is not installed.
    """
    openvino = require("openvino", "openvino")
    model = openvino.Core().read_model(int8_onnx_files(graph)["model.onnx"]) if hasattr(graph, "graph") else graph
    with tempfile.TemporaryDirectory() as folder:
        openvino.save_model(with_own_names(model), Path(folder) / "model.xml", compress_to_fp16=False)
        return {name: inputs.read_bytes(Path(folder) / name, inputs.MODEL_LIMIT) for name in ("model.xml", "model.bin")}
