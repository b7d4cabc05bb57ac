"""What a session is, and which runtime opens which form of a bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xception.bundle import Bundle, Form
from xception.errors import InputError, UnknownName, UsageError

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


def run(session: Session, pixels: Pixels, batch_size: int) -> Logits:
    """Logits of any number of images, (N, C, H, W) to (N, K), in batches of at most `batch_size`.

    A session of a fixed batch size takes that one, and black images for the places that are left in the last.
    """
    size = session.batch_size or batch_size
    missing = -len(pixels) % size if session.batch_size else 0
    padded = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.float32)]) if missing else pixels
    rows = [session(padded[start : start + size]) for start in range(0, len(padded), size)]
    return (rows[0] if len(rows) == 1 else np.concatenate(rows))[: len(pixels)]


class GraphSession:
    """What sessions of exported graphs have in common: the facts that their bundle states."""

    name: str

    def __init__(self, bundle: Bundle) -> None:
        if bundle.model.graph is None:
            raise InputError(f"{bundle.path} describes no graph for its {bundle.model.form} file; export it again")
        self.graph = bundle.model.graph
        self.batch_size, *shape = self.graph.input_shape
        self.input_shape: tuple[int, int | None, int | None] = tuple(shape)  # type: ignore[assignment]
        self.num_classes = bundle.model.network.num_classes
