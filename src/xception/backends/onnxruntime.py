"""Inference with ONNX Runtime on the CPU."""

from typing import Any

from numpy.typing import NDArray

from xception.backends.base import GraphSession, Session
from xception.bundle import Bundle
from xception.errors import InputError
from xception.extras import require


class OnnxSession(GraphSession):
    """One `InferenceSession`; input and output names come from the bundle."""

    name = "onnxruntime"

    def __init__(self, runtime: Any, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._runtime = runtime

    def _run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        names = [port.name for port in self._runtime.get_outputs()]
        return dict(zip(names, self._runtime.run(names, {self.graph.input_name: values}), strict=True))

    def close(self) -> None:
        del self._runtime


def open_session(bundle: Bundle, threads: int | None = None) -> Session:
    """The bundle's graph in ONNX Runtime.

    Raises:
        MissingExtra: onnxruntime is not installed.
        InputError: ONNX Runtime refuses the file.
    """
    onnxruntime = require("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    try:
        runtime = onnxruntime.InferenceSession(bundle.main_file, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime raises a dozen exception types of its own, which share no base class but this one.
    except Exception as error:
        raise InputError(f"ONNX Runtime refuses {bundle.main_file}: {error}; export the bundle again") from error
    return OnnxSession(runtime, bundle)
