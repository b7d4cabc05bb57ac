"""A bundle's network as OpenVINO IR, by way of the ONNX graph."""

import tempfile
from dataclasses import replace
from pathlib import Path

from xception.export.onnx import onnx_files
from xception.export.program import Program
from xception.extras import require


def openvino_files(program: Program) -> dict[str, bytes]:
    """`model.xml` and `model.bin` with the names and shapes of the ONNX graph.

    In float16 the weights alone are half precision; the runtime computes in float32.

    Raises:
        MissingExtra: openvino or onnx is not installed.
    """
    openvino = require("openvino", "openvino")
    compress = program.options.precision == "float16"
    (graph,) = onnx_files(replace(program, options=replace(program.options, precision="float32"))).values()
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        openvino.save_model(openvino.Core().read_model(graph), xml, compress_to_fp16=compress)
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}
