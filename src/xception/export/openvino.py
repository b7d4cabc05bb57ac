"""A bundle's network as OpenVINO IR, by way of the ONNX graph."""

import tempfile
from pathlib import Path

from xception.arch.spec import Architecture
from xception.export.fold import Tensors
from xception.export.onnx import onnx_files
from xception.extras import require


def openvino_files(architecture: Architecture, tensors: Tensors, height_px: int, width_px: int) -> dict[str, bytes]:
    """`model.xml` and `model.bin` in float32, with the names and the free batch size of the ONNX graph.

    Raises:
        MissingExtra: openvino or onnx is not installed.
    """
    openvino = require("openvino", "openvino")
    (graph,) = onnx_files(architecture, tensors, height_px, width_px).values()
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        openvino.save_model(openvino.Core().read_model(graph), xml, compress_to_fp16=False)
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}
