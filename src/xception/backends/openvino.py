"""Inference with OpenVINO on the CPU, in the precision of the file unless another one is asked for."""

from typing import Any

from numpy.typing import NDArray

from xception.backends.base import Compute, InferPrecision, Session
from xception.backends.graph_session import GraphSession
from xception.backends.graphs import check_ports, nameless, openvino_model_ports
from xception.backends.openvino_core import openvino_core
from xception.backends.pool import HandlePool
from xception.bundle import Bundle
from xception.errors import InputError
from xception.forms import FORMS

HINTS: dict[InferPrecision, str] = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoSession(GraphSession):
    """One compiled model, and a request for each instance; it has a single input."""

    name = "openvino"

    def __init__(self, compiled: Any, bundle: Bundle, compute: Compute) -> None:
        super().__init__(bundle, compute)
        self._dtype = compiled.inputs[0].get_element_type().to_dtype()
        self._pool = HandlePool([compiled.create_infer_request() for _ in range(compute.instances_at_once)])

    def _run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        with self._pool.lend() as request:
            # The outputs are copied, since the request writes the next ones over them; the input need not be.
            results = request.infer(values.astype(self._dtype, copy=False), share_inputs=True)
            # Compiled, a port that had no name has one; so each is known by its place, too.
            return {
                name: value
                for index, (port, value) in enumerate(results.items())
                for name in (nameless(index, "output"), *port.get_names())
            }

    def close(self) -> None:
        del self._pool


def open_session(bundle: Bundle, compute: Compute) -> Session:
    """The bundle's graph, compiled for the CPU.

    Float32 files are computed in float32 by default: the runtime's own default would round to bfloat16 where the
    processor can, and the agreement in the bundle would not hold.

    Raises:
        MissingExtra: openvino is not installed.
        InputError: OpenVINO refuses the file.
    """
    core = openvino_core()
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": HINTS[compute.precision or "float32"],
        "NUM_STREAMS": compute.instances_at_once,
        "INFERENCE_NUM_THREADS": compute.instances_at_once * compute.threads_per_instance,
    }
    contents = [bundle.content(name) for name in FORMS[bundle.model.form].files]
    try:
        compiled = core.compile_model(core.read_model(*contents), "CPU", settings)
    except RuntimeError as error:
        raise InputError(f"OpenVINO refuses {bundle.main_file}: {error}; export the bundle again") from error
    check_ports(bundle, openvino_model_ports(compiled, {bundle.graph.input_name, *bundle.graph.outputs}))
    return OpenVinoSession(compiled, bundle, compute)
