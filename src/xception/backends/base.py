"""Sessions, and the table of the runtimes that open them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from xception import machine
from xception.bundle import Bundle
from xception.errors import InputError, UnknownName, UsageError, XceptionError, first_line
from xception.extras import broken_package, require_all
from xception.forms import FORMS, Form, run_by
from xception.preprocess import Preprocess

Pixels = NDArray[np.float32]
Logits = NDArray[np.float32]
InputValues = Literal["pixels", "image"]
InputLayout = Literal["nchw", "nhwc"]
Standardization = tuple[float, tuple[float, ...], tuple[float, ...]]
"""Divisor, means and deviations: `(value / divisor - mean) / deviation`, per channel."""
InferPrecision = Literal["float32", "tf32", "bfloat16", "float16"]
"""The numbers in which a runtime computes a float32 file. Bfloat16 is several times as fast where the processor
multiplies it, and rounds every value to 8 bits; float16 and tf32 round to 11, tf32 only the factors of products."""


DEVICES = re.compile(r"auto|cpu|cuda(:\d+)?")
"""Names of devices."""

DEVICES_ELSEWHERE: Mapping[str, str] = {
    "amd": "cuda, as torch for ROCm calls it",
    "gpu": "cuda",
    "metal": "cpu, since Apple's GPUs are not used",
    "mps": "cpu, since Apple's GPUs are not used",
    "rocm": "cuda, as torch for ROCm calls it",
}
"""Devices by the names that other tools have for them."""

BACKENDS_ELSEWHERE: Mapping[str, str] = {
    "onnx": "onnxruntime",
    "ort": "onnxruntime",
    "ov": "openvino",
    "pt": "torch",
    "pytorch": "torch",
    "tflite": "litert",
}
"""Backends by the names that other tools have for them."""


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the machine that a session may use.

    Raises:
        UsageError: less than one thread or instance, or no such device.
    """

    threads: int | None = None
    """Cores per inference; by default all, shared evenly by the instances."""
    instances: int | None = None
    """Inferences at the same time; by default one, or the number that `Engine.open` chooses."""
    precision: InferPrecision | None = None
    """Number type of the computation; by default float32, or int8 for quantized files."""
    device: str | None = None
    """`cpu`, a GPU (`cuda`, or `cuda:1` for the second), or `auto`, the default: a GPU if the runtime finds one."""

    def __post_init__(self) -> None:
        if self.device is not None and not DEVICES.fullmatch(self.device):
            raise UsageError(
                f"there is no device {self.device!r}; {_device_meant(self.device)} auto, cpu, cuda or cuda:N"
            )
        for name in ("instances", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected at least 1")

    @property
    def instances_at_once(self) -> int:
        """`instances`, or one."""
        return self.instances or 1

    @property
    def threads_per_instance(self) -> int:
        """`threads`, or an even share of the cores."""
        return self.threads or max(1, machine.cores() // self.instances_at_once)


def _device_meant(name: str) -> str:
    """The beginning of the sentence on what was expected in place of a device that is none."""
    folded = name.lower()
    number = f"cuda:{name}" if name.isdecimal() else None
    meant = DEVICES_ELSEWHERE.get(folded) or number or (folded if DEVICES.fullmatch(folded) else None)
    return f"did you mean {meant}? Expected" if meant else "expected"


DEFAULT_COMPUTE = Compute()

GPU_INSTANCES = 3
"""Inferences at once on a GPU by default: one computes while the images of another are copied, and one waits."""


@dataclass(frozen=True, kw_only=True)
class SessionFacts:
    """The facts that a session states about itself."""

    name: str
    """The backend."""
    input_shape: tuple[int, int | None, int | None]
    """(C, H, W); None for a free size."""
    num_outputs: int
    """Numbers per image: logits, or those of an embedding."""
    batch_size: int | None = None
    """Images per call; None where any number will do."""
    input_values: InputValues = "pixels"
    """`image` if the session normalises: then it also takes the 8-bit images."""
    instances: int = 1
    """Threads that may call it at once."""
    threads: int = 1
    """Cores that a call keeps busy; 0 where an accelerator does the work."""
    device: str = "cpu"
    """The device that computes: `cpu`, or a GPU such as `cuda:0`."""
    input_layout: InputLayout = "nchw"
    """Order in memory in which a batch (N, C, H, W) is taken fastest; any order gives the same logits."""
    standardization: Standardization | None = None
    """The normalisation that the session applies to 8-bit images; None where it is not known or there is none."""

    def takes_images_of(self, preprocess: Preprocess) -> bool:
        """True if 8-bit images that a preprocessing resized and cut may be given as they are."""
        same = self.standardization in (None, standardization(preprocess))
        return self.input_values == "image" and same and not preprocess.fractions


def standardization(preprocess: Preprocess) -> Standardization:
    """The normalisation of a preprocessing: divisor, means and deviations."""
    return preprocess.divisor, preprocess.mean, preprocess.std


def empty_batch(
    facts: SessionFacts, count: int, height_px: int, width_px: int, dtype: DTypeLike = np.uint8
) -> NDArray[Any]:
    """A batch (count, C, height, width) to fill again and again, in the memory that a session takes fastest: in its
    order, and pinned for a GPU, which then copies it while it computes another. When the session's call returns, it
    has no more need of it.
    """
    channels = facts.input_shape[0]
    if facts.input_layout == "nchw":
        shape: tuple[int, ...] = (count, channels, height_px, width_px)
        return _memory(facts, shape, dtype)
    return _memory(facts, (count, height_px, width_px, channels), dtype).transpose(0, 3, 1, 2)


def _memory(facts: SessionFacts, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    if facts.device == "cpu":
        return np.empty(shape, dtype)
    pinned: NDArray[Any] = import_module(BACKENDS[facts.name].module).pinned(shape, np.dtype(dtype))
    return pinned


class Session(Protocol):
    """A loaded model: it maps (N, C, H, W) float32 pixels, or uint8 images where it normalises, to (N, K) float32
    logits, or to embeddings."""

    @property
    def facts(self) -> SessionFacts: ...

    def __call__(self, pixels: NDArray[Any], /) -> Logits: ...

    def close(self) -> None: ...


@runtime_checkable
class Warmable(Protocol):
    """A session that prepares itself for a batch size, which takes seconds."""

    def warm_up(self, count: int, height_px: int, width_px: int) -> None: ...


def warm_up(session: Session, count: int) -> None:
    """Let a session prepare itself for batches of `count` images of its input size, if it does such a thing."""
    _, height, width = session.facts.input_shape
    if isinstance(session, Warmable) and height and width:
        session.warm_up(count, height, width)


@dataclass(frozen=True)
class Backend:
    """A runtime."""

    module: str
    """Module with the function `open_session(bundle, compute)`."""
    package: str
    """The distribution that it needs."""
    forms: tuple[Form, ...]
    """The forms of a bundle that it runs."""
    precisions: tuple[InferPrecision, ...] = ("float32",)
    """The precisions that it computes in on the CPU, its own first."""
    gpu_precisions: tuple[InferPrecision, ...] = ()
    """The same on a GPU; none where it uses none. Its module then has `usable_device`, `gpu_name` and `pinned`."""

    @property
    def imported_as(self) -> str:
        """The name by which Python imports it."""
        return self.package.replace("-", "_")


BACKENDS: Mapping[str, Backend] = {
    "torch": Backend(
        "xception.backends.torch",
        "torch",
        run_by("torch"),
        precisions=("float32", "bfloat16"),
        gpu_precisions=("float32", "tf32", "bfloat16", "float16"),
    ),
    "onnxruntime": Backend("xception.backends.onnxruntime", "onnxruntime", run_by("onnxruntime")),
    "openvino": Backend(
        "xception.backends.openvino", "openvino", run_by("openvino"), precisions=("float32", "bfloat16")
    ),
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
        UsageError: the backend, or none, runs the bundle's form, or it does not compute in the precision or on the
            device.
        EnvironmentFault: the machine has no such device.
        EnvironmentFault: the runtime is not installed, or cannot be imported.
        InputError: the runtime refuses the file.
    """
    name = backend or default_backend(bundle.model.form)
    if name not in BACKENDS:
        raise UnknownName("backend", name, BACKENDS, BACKENDS_ELSEWHERE)
    if bundle.model.form not in BACKENDS[name].forms:
        fitting = FORMS[bundle.model.form].backends
        raise UsageError(
            f"{name} does not run the form {bundle.model.form!r} of {bundle.path}; use {' or '.join(fitting)}"
        )
    require_all(BACKENDS[name].imported_as)
    compute = msgspec.structs.replace(compute, device=device_of(name, compute))
    check_precision(name, compute)
    try:
        session: Session = import_module(BACKENDS[name].module).open_session(bundle, compute)
    except (XceptionError, MemoryError):
        raise
    # What a runtime tells of a graph that it took may be damaged too, such as the name of an output.
    except Exception as error:
        if isinstance(error, ImportError | OSError) and (broken := broken_package(error)):
            raise broken from error
        if isinstance(error, ImportError):
            raise
        raise InputError(f"{name} cannot use {bundle.main_file}: {first_line(error)}; make the bundle again") from error
    return session


def device_of(backend: str, compute: Compute) -> str:
    """The device on which a backend computes what `compute` says: `cpu`, or a GPU such as `cuda:0`.

    Raises:
        UsageError: it is a GPU, and the backend uses none.
        EnvironmentFault: the machine has no such device.
    """
    if BACKENDS[backend].gpu_precisions:
        require_all(BACKENDS[backend].imported_as)
        device: str = import_module(BACKENDS[backend].module).usable_device(compute.device or "auto")
        return device
    if (compute.device or "auto").startswith("cuda"):
        fitting = " or ".join(name for name, row in BACKENDS.items() if row.gpu_precisions)
        raise UsageError(
            f"{backend} computes on the CPU only; for {compute.device} use {fitting}, on a bundle of weights"
        )
    return "cpu"


def processor_of(backend: str, device: str) -> dict[str, str]:
    """The GPU's own name as `gpu`, since figures depend on it; nothing on the CPU."""
    if device == "cpu":
        return {}
    return {"gpu": import_module(BACKENDS[backend].module).gpu_name(device)}


def check_precision(backend: str, compute: Compute) -> None:
    """Refuse a precision that a backend does not compute in on the device.

    Raises:
        UsageError: naming those that do.
    """
    precision, device = compute.precision, compute.device
    known = BACKENDS[backend].precisions if device == "cpu" else BACKENDS[backend].gpu_precisions
    if precision is None or precision in known:
        return
    fitting = [name for name, row in BACKENDS.items() if precision in row.precisions]
    fitting += [
        f"{name} on a GPU" for name, row in BACKENDS.items() if precision in {*row.gpu_precisions} - {*row.precisions}
    ]
    raise UsageError(f"{backend} does not compute in {precision} on {device}; use {' or '.join(fitting)}")


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
            f"no backend runs the form {form!r}, which is meant for other programs; use the bundle that it was "
            "exported from, or export that to onnx"
        )
    return FORMS[form].backends[0]


def run_in_batches(session: Session, pixels: NDArray[Any], batch_size: int) -> Logits:
    """Logits of any number of images, (N, C, H, W) to (N, K), in batches of at most `batch_size`.

    A session of a fixed batch size takes that one, and the last image again in the places that are left over.
    """
    fixed = session.facts.batch_size
    size = fixed or batch_size
    missing = -len(pixels) % size if fixed else 0
    padded = np.concatenate([pixels, pixels[-1:].repeat(missing, axis=0)]) if missing else pixels
    rows = [session(padded[start : start + size]) for start in range(0, len(padded), size)]
    return (rows[0] if len(rows) == 1 else np.concatenate(rows))[: len(pixels)]
