"""What a session is, and which runtime opens which form of a bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception import machine
from xception.bundle import Bundle, Graph
from xception.errors import UnknownName, UsageError
from xception.forms import FORMS, Form, run_by
from xception.preprocess import Preprocess

Pixels = NDArray[np.float32]
Logits = NDArray[np.float32]
InputValues = Literal["pixels", "image"]
Arithmetic = Literal["float32", "bfloat16"]
"""What a runtime computes a float32 file in. Bfloat16 is several times as fast where the processor multiplies it, and
rounds every value to 8 bits."""


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may use of the machine.

    Raises:
        UsageError: less than one thread or instance.
    """

    threads: int | None = None
    """Cores of one inference; by default all, shared evenly by the instances."""
    instances: int = 1
    """Inferences at once."""
    precision: Arithmetic | None = None
    """By default float32, and int8 for what is quantized."""

    def __post_init__(self) -> None:
        if self.instances < 1 or (self.threads is not None and self.threads < 1):
            raise UsageError(
                f"{self.instances} instances of {self.threads or 'all'} threads cannot run; both are at least 1"
            )

    @property
    def threads_each(self) -> int:
        return self.threads or max(1, machine.cores() // self.instances)


DEFAULT_COMPUTE = Compute()


class Session(Protocol):
    """A loaded model.

    `input_shape` is (C, H, W), with None for a free size; `batch_size` is None where any will do. Calling it
    maps (N, C, H, W) float32 pixels to (N, K) float32 logits; with `input_values` of `image` it also takes the uint8
    images before normalisation. `instances` threads may call it at once, and a call keeps `threads` cores busy: 0 where
    an accelerator does the work.
    """

    @property
    def name(self) -> str: ...

    @property
    def input_shape(self) -> tuple[int, int | None, int | None]: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def batch_size(self) -> int | None: ...

    @property
    def input_values(self) -> InputValues: ...

    @property
    def instances(self) -> int: ...

    @property
    def threads(self) -> int: ...

    def __call__(self, pixels: NDArray[Any], /) -> Logits: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Backend:
    """A runtime: the module with its `open_session(bundle, compute)`, the package it needs, the forms it runs, and in
    which arithmetics, its own first."""

    module: str
    package: str
    forms: tuple[Form, ...]
    arithmetics: tuple[Arithmetic, ...] = ("float32",)


BACKENDS: Mapping[str, Backend] = {
    "torch": Backend("xception.backends.torch", "torch", run_by("torch"), ("float32", "bfloat16")),
    "onnxruntime": Backend("xception.backends.onnxruntime", "onnxruntime", run_by("onnxruntime")),
    "openvino": Backend("xception.backends.openvino", "openvino", run_by("openvino"), ("float32", "bfloat16")),
    "litert": Backend("xception.backends.litert", "ai-edge-litert", run_by("litert")),
}
"""The runtimes; which forms each one runs, and which form prefers which, stands in `forms.FORMS`."""


def open_session(bundle: Bundle, backend: str | None = None, compute: Compute = DEFAULT_COMPUTE) -> Session:
    """Load a bundle into a runtime, by default the first that runs its form.

    Args:
        bundle: what to load.
        backend: a key of `BACKENDS`.
        compute: the cores and the precision to compute with.

    Raises:
        UnknownName: no such backend.
        UsageError: the backend, or none, runs the bundle's form, or it does not compute in the precision.
        MissingExtra: the runtime is not installed.
        InputError: the runtime refuses the file.
    """
    name = backend or default_backend(bundle.model.form)
    if name not in BACKENDS:
        raise UnknownName("backend", name, BACKENDS)
    if bundle.model.form not in BACKENDS[name].forms:
        fitting = FORMS[bundle.model.form].backends
        raise UsageError(
            f"{name} does not run the form {bundle.model.form!r} of {bundle.path}; use {' or '.join(fitting)}"
        )
    if compute.precision and compute.precision not in BACKENDS[name].arithmetics:
        fitting = tuple(key for key, row in BACKENDS.items() if compute.precision in row.arithmetics)
        raise UsageError(f"{name} does not compute in {compute.precision}; use {' or '.join(fitting)}")
    session: Session = import_module(BACKENDS[name].module).open_session(bundle, compute)
    return session


def installed(form: Form) -> list[str]:
    """The runtimes for a form that this environment has, by the keys of `BACKENDS`."""
    return [name for name in FORMS[form].backends if _is_installed(BACKENDS[name].package)]


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def default_backend(form: Form) -> str:
    """The preferred runtime for a form.

    Raises:
        UsageError: none runs it.
    """
    if not FORMS[form].backends:
        raise UsageError(
            f"no backend opens the form {form!r}, which was compared when it was exported and is for programs of your "
            "own; use the bundle it was exported from, or its onnx form"
        )
    return FORMS[form].backends[0]


def run(session: Session, pixels: NDArray[Any], batch_size: int) -> Logits:
    """Logits of any number of images, (N, C, H, W) to (N, K), in batches of at most `batch_size`.

    A session of a fixed batch size takes that one, and the last image again in the places that are left over.
    """
    size = session.batch_size or batch_size
    missing = -len(pixels) % size if session.batch_size else 0
    padded = np.concatenate([pixels, pixels[-1:].repeat(missing, axis=0)]) if missing else pixels
    rows = [session(padded[start : start + size]) for start in range(0, len(padded), size)]
    return (rows[0] if len(rows) == 1 else np.concatenate(rows))[: len(pixels)]


MIN_PROBABILITY = np.finfo(np.float32).tiny
"""Probabilities below this become it before their logarithm is taken."""


class GraphSession:
    """What sessions of exported graphs have in common: the facts that their bundle states, and the way from the
    session's pixels and logits to what the graph takes and gives."""

    name: str

    def __init__(self, bundle: Bundle, compute: Compute) -> None:
        self.graph = bundle.graph
        self.batch_size, *shape = self.graph.input_shape
        self.input_shape: tuple[int, int | None, int | None] = tuple(shape)  # type: ignore[assignment]
        self.num_classes = bundle.model.network.num_classes
        self.input_values: InputValues = self.graph.input_values
        self.instances = compute.instances
        self.threads = compute.threads_each
        self._preprocess = bundle.model.preprocess

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        return logits_of(self.outputs(pixels)[self.graph.output_name], self.graph)

    def outputs(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All outputs of the graph by name, as it gives them."""
        return self._run(graph_input(pixels, self.graph, self._preprocess))

    def _run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        raise NotImplementedError


def graph_input(pixels: NDArray[Any], graph: Graph, preprocess: Preprocess) -> NDArray[Any]:
    """Normalised pixels (N, C, H, W) as a graph takes them: in its layout, and as 8-bit images where it normalises,
    for which these images (uint8) may be given too.

    Raises:
        UsageError: the graph takes 8-bit images and the pixels are not made of any.
    """
    values = pixels
    if graph.input_values == "image" and pixels.dtype != np.uint8:
        values = _images(pixels, preprocess)
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1)) if graph.input_layout == "nhwc" else values


def _images(pixels: Pixels, preprocess: Preprocess) -> NDArray[np.uint8]:
    mean, std = (np.array(row, np.float32)[:, None, None] for row in (preprocess.mean, preprocess.std))
    exact = (pixels * std + mean) * np.float32(preprocess.divisor)
    images = exact.round()
    # Rounding of normalised 8-bit values and back stays below a thousandth; anything more was no image.
    if not (np.abs(exact - images) < 0.01).all() or images.min(initial=0) < 0 or images.max(initial=0) > 255:
        raise UsageError("the graph takes 8-bit images, and these pixels are not normalised from any; pass images")
    return images.astype(np.uint8)


def logits_of(values: NDArray[Any], graph: Graph) -> Logits:
    """A graph's main output (N, K) as logits: those of a graph that ends in a softmax are logarithms of its
    probabilities, which differ from the network's own by one number an image and so mean the same."""
    values = np.array(values, np.float32)
    return np.log(np.maximum(values, MIN_PROBABILITY)) if graph.output_values == "probabilities" else values
