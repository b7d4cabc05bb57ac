"""Inference with torch, straight from a bundle's weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xception.backends.base import DEFAULT_COMPUTE, Compute, Logits, Pixels, Session, SessionFacts
from xception.backends.torch_compiled import DTYPES, CompiledSession
from xception.bundle import Bundle
from xception.errors import EnvironmentFault
from xception.models.network import Xception, build


def usable_device(name: str) -> str:
    """The device that a name stands for here: `cpu` or, for instance, `cuda:0`.

    Raises:
        EnvironmentFault: torch sees no such GPU.
    """
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not seen):
        return "cpu"
    index = 0 if name == "auto" else torch.device(name).index or 0
    if index >= seen:
        builds = "" if torch.version.cuda else f", being built without CUDA (version {torch.__version__})"
        raise EnvironmentFault(
            f"there is no device {name}: torch sees {seen or 'no'} GPUs here{builds}; use --device cpu"
        )
    return f"cuda:{index}"


def gpu_name(device: str) -> str:
    """The name that a GPU's maker gives it."""
    return torch.cuda.get_device_name(device)


def pinned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array in memory that a GPU copies from by itself."""
    return torch.empty(shape, dtype=getattr(torch, dtype.name), pin_memory=True).numpy()


class TorchSession:
    """The network in evaluation mode on the CPU, or on the GPU where there is one."""

    def __init__(
        self, network: Xception, height_width: tuple[int | None, int | None], compute: Compute = DEFAULT_COMPUTE
    ) -> None:
        self.device = torch.device(usable_device(compute.device or "auto"))
        self.dtype = DTYPES[compute.precision or "float32"]
        self.network = network.eval().to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        is_cpu = self.device.type == "cpu"
        self.facts = SessionFacts(
            name="torch",
            input_shape=(network.spec.in_channels, *height_width),
            num_outputs=network.spec.head.num_outputs,
            instances=compute.instances_at_once if is_cpu else 1,
            threads=compute.threads_per_instance if is_cpu else 0,
            device=str(self.device),
        )

    @torch.inference_mode()
    def __call__(self, pixels: Pixels, /) -> Logits:
        batch = torch.from_numpy(pixels).to(self.device, self.dtype, memory_format=torch.channels_last)
        with self._threads():
            return self.network(batch).float().cpu().numpy()  # type: ignore[no-any-return]

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Keep as many cores busy as was asked for, and leave torch as it was: the last bits of a training depend on
        its number of threads, and one may be under way in the same program."""
        before = torch.get_num_threads()
        if self.facts.threads:
            # Of OpenMP's settings each thread has its own.
            torch.set_num_threads(self.facts.threads)
        try:
            yield
        finally:
            # MKL's number is the whole process', and other instances may be at work.
            if self.facts.instances == 1:
                torch.set_num_threads(before)

    def close(self) -> None:
        del self.network


def open_session(bundle: Bundle, compute: Compute) -> Session:
    """The bundle's network as a torch module.

    Raises:
        InputError: the weights do not fit the network.
    """
    network = build(bundle.model.network.architecture(), bundle.tensors())
    if compute.device not in (None, "cpu"):
        return CompiledSession(
            network, bundle.model.preprocess, bundle.model.preprocess.output_px or (None, None), compute
        )
    return TorchSession(network, bundle.model.preprocess.output_px or (None, None), compute)
