"""Inference with OpenVINO on the CPU, in the precision of the file."""

from typing import Any

from numpy.typing import NDArray

from xception.backends.base import GraphSession, Session
from xception.bundle import Bundle
from xception.errors import InputError
from xception.extras import require


class OpenVinoSession(GraphSession):
    """One compiled model; it has a single input."""

    name = "openvino"

    def __init__(self, compiled: Any, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._compiled = compiled

    def _run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        results = self._compiled(values)
        return {name: value for port, value in results.items() for name in port.get_names()}

    def close(self) -> None:
        del self._compiled


def open_session(bundle: Bundle, threads: int | None = None) -> Session:
    """The bundle's graph, compiled for the CPU.

    Float32 files are computed in float32: the runtime's own default would round to bfloat16 where the
    processor can, and the agreement in the bundle would not hold.

    Raises:
        MissingExtra: openvino is not installed.
        InputError: OpenVINO refuses the file.
    """
    openvino = require("openvino", "openvino")
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        compiled = openvino.Core().compile_model(bundle.main_file, "CPU", settings)
    except RuntimeError as error:
        raise InputError(f"OpenVINO refuses {bundle.main_file}: {error}; export the bundle again") from error
    return OpenVinoSession(compiled, bundle)
