"""Inference with LiteRT (TensorFlow Lite) on the CPU."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Compute, Session
from xception.backends.graph_session import GraphSession
from xception.backends.graphs import check_ports, litert_interpreter_ports
from xception.backends.pool import HandlePool
from xception.backends.trial import try_litert
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
            interpreter.set_tensor(given["index"], _on_grid(values, given))
            interpreter.invoke()
            ports = interpreter.get_output_details()
            return {port["name"]: _off_grid(interpreter.get_tensor(port["index"]), port) for port in ports}

    def close(self) -> None:
        del self._pool


def _on_grid(values: NDArray[Any], port: Mapping[str, Any]) -> NDArray[Any]:
    """Values as an input stores them: as integers on its grid, where it has one."""
    scale, zero = port["quantization"]
    if not scale:
        return values.astype(port["dtype"], copy=False)
    bounds = np.iinfo(port["dtype"])
    return np.asarray(np.rint(values / scale + zero).clip(bounds.min, bounds.max), port["dtype"])


def _off_grid(values: NDArray[Any], port: Mapping[str, Any]) -> NDArray[Any]:
    """The real numbers that an output's integers stand for, where it has a grid."""
    scale, zero = port["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values


def open_session(bundle: Bundle, compute: Compute) -> Session:
    """The bundle's graph in LiteRT interpreters.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        InputError: LiteRT refuses the file, or crashes on it.
    """
    litert = require("ai_edge_litert.interpreter", "litert")

    content = bundle.content()
    try_litert(content, bundle.main_file)

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
