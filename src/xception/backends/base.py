"""What a session is, and which runtime opens which form of a bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xception.bundle import Bundle, Form
from xception.errors import UnknownName, UsageError

Pixels = NDArray[np.float32]
Logits = NDArray[np.float32]


class Session(Protocol):
    """A loaded model.

    `input_shape` is (C, H, W), with None for a free size; `batch_size` is None where any will do. Calling it
    maps (N, C, H, W) float32 pixels to (N, K) float32 logits. Not to be called from several threads at once.
    """

    @property
    def name(self) -> str: ...

    @property
    def input_shape(self) -> tuple[int, int | None, int | None]: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def batch_size(self) -> int | None: ...

    def __call__(self, pixels: Pixels, /) -> Logits: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Backend:
    """A runtime: the module with its `open_session(bundle, threads)`, and the forms it runs."""

    module: str
    forms: tuple[Form, ...]


BACKENDS: Mapping[str, Backend] = {
    "torch": Backend("xception.backends.torch", ("weights",)),
    "onnxruntime": Backend("xception.backends.onnxruntime", ("onnx",)),
    "openvino": Backend("xception.backends.openvino", ("openvino", "onnx")),
}
"""In order of preference: the first that runs a bundle's form is its default."""


def open_session(bundle: Bundle, backend: str | None = None, *, threads: int | None = None) -> Session:
    """Load a bundle into a runtime, by default the first that runs its form.

    Args:
        bundle: what to load.
        backend: a key of `BACKENDS`.
        threads: threads for one inference; by default what the runtime chooses.

    Raises:
        UnknownName: no such backend.
        UsageError: the backend does not run the bundle's form.
        MissingExtra: the runtime is not installed.
        InputError: the runtime refuses the file.
    """
    name = backend or default_backend(bundle.model.form)
    if name not in BACKENDS:
        raise UnknownName("backend", name, BACKENDS)
    if bundle.model.form not in BACKENDS[name].forms:
        fitting = [key for key, row in BACKENDS.items() if bundle.model.form in row.forms]
        raise UsageError(
            f"{name} does not run the form {bundle.model.form!r} of {bundle.path}; use {' or '.join(fitting)}"
        )
    session: Session = import_module(BACKENDS[name].module).open_session(bundle, threads)
    return session


def default_backend(form: Form) -> str:
    """The preferred runtime for a form."""
    return next(name for name, row in BACKENDS.items() if form in row.forms)


def graph_facts(bundle: Bundle) -> dict[str, Any]:
    """The four facts of a session, as the bundle of an exported graph states them."""
    model = bundle.model
    if model.graph is None:
        raise UsageError(f"{bundle.path} describes no graph; expected one for the form {model.form!r}")
    batch_size, channels, height, width = model.graph.input_shape
    return {
        "input_shape": (channels, height, width),
        "num_classes": model.network.num_classes,
        "batch_size": batch_size,
    }
