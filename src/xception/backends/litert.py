"""Inference with LiteRT (TensorFlow Lite) on the CPU."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from xception.backends.base import Compute, GraphSession, Session
from xception.backends.graphs import check_ports, litert_interpreter_ports
from xception.backends.pool import HandlePool
from xception.bundle import Bundle
from xception.errors import InputError
from xception.extras import require


class LiteRtSession(GraphSession):
    """An interpreter for each instance, which is prepared anew when the shape of its input changes."""

    name = "litert"

    def __init__(self, interpreters: Sequence[Any], bundle: Bundle, compute: Compute) -> None:
        super().__init__(bundle, compute)
        self._pool = HandlePool(interpreters)

    def _run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        with self._pool.lend() as interpreter:
            (given,) = interpreter.get_input_details()
            if tuple(given["shape"]) != values.shape:
                interpreter.resize_tensor_input(given["index"], values.shape, strict=True)
                interpreter.allocate_tensors()
            interpreter.set_tensor(given["index"], values)
            interpreter.invoke()
            return {port["name"]: interpreter.get_tensor(port["index"]) for port in interpreter.get_output_details()}

    def close(self) -> None:
        del self._pool


def open_session(bundle: Bundle, compute: Compute) -> Session:
    """The bundle's graph in LiteRT interpreters.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        InputError: LiteRT refuses the file.
    """
    litert = require("ai_edge_litert.interpreter", "litert")

    content = bundle.content()

    def interpreter() -> Any:
        made = litert.Interpreter(model_content=content, num_threads=compute.threads_per_instance)
        made.allocate_tensors()
        return made

    try:
        interpreters = [interpreter() for _ in range(compute.instances_at_once)]
    except (ValueError, RuntimeError) as error:
        raise InputError(f"LiteRT refuses {bundle.main_file}: {error}; export the bundle again") from error
    check_ports(bundle, litert_interpreter_ports(interpreters[0]))
    return LiteRtSession(interpreters, bundle, compute)
