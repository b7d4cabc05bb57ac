"""A bundle's network as OpenVINO IR, by way of the ONNX graph."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xception import inputs
from xception.backends.openvino_core import openvino_core
from xception.errors import EnvironmentFault, first_line
from xception.export.onnx import onnx_files
from xception.export.program import Program
from xception.extras import require


def openvino_files(program: Program) -> dict[str, bytes]:
    """`model.xml` and `model.bin` with the names and shapes of the ONNX graph.

    In float16 only the weights are half precision; the runtime computes in float32.

    Raises:
        MissingExtra: openvino or onnx is not installed.
    """
    compress = program.options.precision == "float16"
    (graph,) = onnx_files(replace(program, options=replace(program.options, precision="float32"))).values()
    return saved_files(with_own_names(openvino_core().read_model(graph)), compress=compress)


def saved_files(model: Any, *, compress: bool = False) -> dict[str, bytes]:
    """`model.xml` and `model.bin` of an `openvino.Model`, which OpenVINO only writes to a folder.

    Raises:
        EnvironmentFault: the folder for temporary files cannot hold them.
    """
    openvino = require("openvino", "openvino")
    with tempfile.TemporaryDirectory() as folder:
        try:
            openvino.save_model(model, Path(folder) / "model.xml", compress_to_fp16=compress)
        except RuntimeError as error:
            raise EnvironmentFault(
                f"OpenVINO cannot write its files to {tempfile.gettempdir()} ({first_line(error)}); "
                "make room there, or name another folder in TMPDIR"
            ) from error
        return {name: inputs.read_bytes(Path(folder) / name, inputs.MODEL_LIMIT) for name in ("model.xml", "model.bin")}


def with_own_names(model: Any) -> Any:
    """A model read from ONNX whose outputs bear only their own names.

    An identity gives each output its name there. The compiler takes identities away and leaves two names, of which
    programs may see the inner one.
    """
    openvino = require("openvino", "openvino")
    sources = []
    for output in model.outputs:
        made = output.get_node().input_value(0)
        source = made.get_node().input_value(0) if made.get_node().get_type_name() == "Identity" else made
        source.get_tensor().set_names(output.get_names())
        sources.append(source)
    return openvino.Model(sources, model.get_parameters(), model.get_name())


def open_taps(file: Path) -> "OpenVinoTaps":
    """A model that shows what it computes inside."""
    openvino = require("openvino", "openvino")
    return OpenVinoTaps(openvino, openvino_core().read_model(file))


class OpenVinoTaps:
    """The first named operations of a model, each an output of its own."""

    def __init__(self, openvino: Any, model: Any) -> None:
        self._openvino, self._model = openvino, model
        self._ports = {
            _inner_name(port): port
            for node in model.get_ordered_ops()
            for port in node.outputs()
            if port.get_names() and node.get_type_name() not in INERT
        }
        self.names = list(self._ports)

    def __call__(self, values: NDArray[Any], count: int) -> dict[str, NDArray[Any]]:
        names = self.names[:count]
        part = self._openvino.Model([self._ports[name] for name in names], self._model.get_parameters())
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        results = openvino_core().compile_model(part, "CPU", settings)(values)
        return {name: results[index] for index, name in enumerate(names)}


def _inner_name(port: Any) -> str:
    """The name that a value has in the ONNX graph: an output's own name replaced it, and its operation kept it."""
    is_output = any(reader.get_node().get_type_name() == "Result" for reader in port.get_target_inputs())
    return str(port.get_node().get_friendly_name() if is_output else min(port.get_names()))


INERT = ("Parameter", "Constant", "Result")
