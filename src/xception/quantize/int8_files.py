"""Files of an int8 graph in QDQ form, for runtimes that read this form; `quantize.litert` writes LiteRT's own."""

from typing import Any

from xception.backends.openvino_core import openvino_core
from xception.export.openvino import saved_files, with_own_names


def int8_onnx_files(graph: Any) -> dict[str, bytes]:
    """`model.onnx`, for ONNX Runtime and for compilers that read QDQ."""
    return {"model.onnx": bytes(graph.SerializeToString(deterministic=True))}


def int8_openvino_files(graph: Any) -> dict[str, bytes]:
    """`model.xml` and `model.bin`; takes an `onnx.ModelProto` or an `openvino.Model`.

    Raises:
        MissingExtra: openvino is not installed.
    """
    model = openvino_core().read_model(int8_onnx_files(graph)["model.onnx"]) if hasattr(graph, "graph") else graph
    return saved_files(with_own_names(model))
