"""Inference with LiteRT (TensorFlow Lite) on the CPU."""

from typing import Any

from numpy.typing import NDArray

from xception.backends.base import GraphSession, Session
from xception.bundle import Bundle
from xception.errors import InputError
from xception.extras import require


class LiteRtSession(GraphSession):
    """One interpreter, which is prepared anew when the shape of its input changes."""

    name = "litert"

    def __init__(self, interpreter: Any, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._interpreter = interpreter
        (self._input,) = interpreter.get_input_details()

    def _run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        index = self._input["index"]
        if tuple(self._input["shape"]) != values.shape:
            self._interpreter.resize_tensor_input(index, values.shape, strict=True)
            self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
        self._interpreter.set_tensor(index, values)
        self._interpreter.invoke()
        return {
            port["name"]: self._interpreter.get_tensor(port["index"]) for port in self._interpreter.get_output_details()
        }

    def close(self) -> None:
        del self._interpreter


def open_session(bundle: Bundle, threads: int | None = None) -> Session:
    """The bundle's graph in a LiteRT interpreter.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        InputError: LiteRT refuses the file.
    """
    litert = require("ai_edge_litert.interpreter", "litert")
    try:
        interpreter = litert.Interpreter(str(bundle.main_file), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"LiteRT refuses {bundle.main_file}: {error}; export the bundle again") from error
    return LiteRtSession(interpreter, bundle)
