"""From an int8 graph in QDQ form to the files of each target's bundle."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xception.backends.base import BACKENDS, default_backend
from xception.bundle import Form
from xception.extras import require
from xception.quantize.litert import litert_files

Target = Literal["onnx", "openvino", "litert"]


@dataclass(frozen=True, kw_only=True)
class TargetForm:
    """What a target's bundle holds."""

    form: Form
    files: Callable[[Any], dict[str, bytes]]
    """Of an `onnx.ModelProto` in QDQ form."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    rounds_logits: bool = False
    """See `Scheme`."""

    @property
    def package(self) -> str:
        """The package that runs it."""
        return BACKENDS[default_backend(self.form)].package


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


TARGETS: Mapping[Target, TargetForm] = {
    "onnx": TargetForm(form="onnx", files=onnx_files),
    "openvino": TargetForm(form="openvino", files=openvino_files),
    "litert": TargetForm(form="litert", files=litert_files, layout="nhwc", rounds_logits=True),
}
