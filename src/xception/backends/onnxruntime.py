"""Inference with ONNX Runtime on the CPU."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception.backends.base import Compute, Session
from xception.backends.graph_session import GraphSession
from xception.backends.graphs import check_ports, onnx_session_ports
from xception.backends.pool import HandlePool
from xception.bundle import Bundle
from xception.errors import InputError
from xception.extras import require

PIXEL_TYPES = {"tensor(float16)": np.float16, "tensor(double)": np.float64}
"""Types of inputs that pixels are converted to first."""


@cache
def newest_opset() -> int:
    """The newest version of the ONNX operators that ONNX Runtime opens, of those that the installed onnx knows.

    Raises:
        MissingExtra: one of the two is not installed.
    """
    newest = require("onnx", "onnx").defs.onnx_opset_version()
    return next(filter(_is_opened, range(newest, 0, -1)))


def _is_opened(opset: int) -> bool:
    onnx, onnxruntime = require("onnx", "onnx"), require("onnxruntime", "onnx")
    helper, version = onnx.helper, [onnx.helper.make_opsetid("", opset)]
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=version, ir_version=helper.find_min_ir_version_for(version))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
        return False
    return True


class OnnxSession(GraphSession):
    """`InferenceSession`s of one file; input and output names come from the bundle."""

    name = "onnxruntime"

    def __init__(self, runtimes: Sequence[Any], bundle: Bundle, compute: Compute) -> None:
        super().__init__(bundle, compute)
        self._names = [port.name for port in runtimes[0].get_outputs()]
        self._dtype = PIXEL_TYPES.get(runtimes[0].get_inputs()[0].type)
        self._pool = HandlePool(runtimes)

    def _run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        given = values if self._dtype is None else values.astype(self._dtype, copy=False)
        with self._pool.lend() as runtime:
            return dict(zip(self._names, runtime.run(self._names, {self.graph.input_name: given}), strict=True))

    def close(self) -> None:
        del self._pool


def open_session(bundle: Bundle, compute: Compute) -> Session:
    """The bundle's graph in ONNX Runtime.

    Raises:
        MissingExtra: onnxruntime is not installed.
        InputError: ONNX Runtime refuses the file.
    """
    onnxruntime = require("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = compute.threads_per_instance
    options.log_severity_level = 4

    content = bundle.content()

    def runtime() -> Any:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        session._model_bytes = None  # It would keep a copy of the whole file, to start over on other providers.
        return session

    try:
        if compute.threads_per_instance == 1:
            # On one thread a call computes on its caller's own, so that callers can share everything else.
            runtimes = [runtime()] * compute.instances_at_once
        else:
            runtimes = [runtime() for _ in range(compute.instances_at_once)]
    # ONNX Runtime raises a dozen exception types of its own, which share no base class but this one.
    except Exception as error:
        is_too_new = "IR version" in str(error) or "opset" in str(error)
        remedy = "export the bundle again" + " with an older --opset" * is_too_new
        raise InputError(f"ONNX Runtime refuses {bundle.main_file}: {error}; {remedy}") from error
    check_ports(bundle, onnx_session_ports(runtimes[0]))
    return OnnxSession(runtimes, bundle, compute)
