"""Inference with torch on a GPU: the network compiled once per batch size, and replayed as a CUDA graph."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from textwrap import shorten
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xception.backends.base import Compute, InferPrecision, Logits, SessionFacts, standardization
from xception.backends.pool import HandlePool
from xception.backends.torch_rounding import ROUNDING
from xception.errors import EnvironmentFault, first_line
from xception.machine import cache_folder
from xception.models.folded import with_folded_norms
from xception.models.network import Xception
from xception.models.products import with_products
from xception.preprocess import Preprocess

REMARKS = logging.getLogger("xception.backends")

DTYPES: dict[InferPrecision, torch.dtype] = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

COMPILED_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Batch sizes to compile for; a batch of another size is filled up to the next one, and larger ones to hundreds."""

SIZE_STEP = 256
"""Distance of the batch sizes beyond the last of `COMPILED_SIZES`."""

MAX_FILLING = 4
"""Largest ratio of a compiled batch size to a batch that is filled up to it: beyond it, uncompiled is faster."""

MAX_UNCOMPILED_S = 3.0
"""Seconds that a batch size is computed uncompiled before it is compiled in the background: about what that takes."""

MAX_STAGED = 16
"""Most images whose copies are part of the recorded graph, and for which a thread waits at full speed: what both save
are microseconds. More are copied by themselves, from where they lie, and waited for asleep."""

MAX_COMPILED = 4096
"""Batch sizes and kinds of input that torch compiles networks for, in all sessions of the process together."""

NO_LIMIT = 2**62
"""Images at once, before the device was found to lack memory."""

MAX_REASON = 200
"""Characters of the reason for which a network cannot be compiled; torch's sentences may list all that it knows."""

COMPILER = "inductor"
COMPILE_OPTIONS: dict[str, Any] = {}
"""Torch's compiler and its settings. `max_autotune` stays off: its templates take minutes on depthwise layers and lose
to cuDNN."""


class BatchShape(NamedTuple):
    """The input of a network: its number type, images, and size in pixels."""

    dtype: torch.dtype
    images: int
    height_px: int
    width_px: int

    @property
    def kind(self) -> tuple[torch.dtype, int, int]:
        """All but the number of images."""
        return self.dtype, self.height_px, self.width_px


class NormalizedNetwork(nn.Module):
    """A network behind its normalisation: 8-bit images, or pixels that are normalised already, to float32 logits."""

    mean: Tensor
    std: Tensor
    divisor: Tensor

    def __init__(self, network: Xception, preprocess: Preprocess, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.float()  # the statistics of the few norms that are not folded
        self.dtype = dtype
        for name, values in (("divisor", (preprocess.divisor,)), ("mean", preprocess.mean), ("std", preprocess.std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1))

    def forward(self, batch: Tensor) -> Tensor:
        """(N, C, H, W) uint8 or float32 to (N, K)."""
        pixels = (batch.float() / self.divisor - self.mean) / self.std if batch.dtype == torch.uint8 else batch
        return self.network(pixels.to(self.dtype, memory_format=torch.channels_last)).float()  # type: ignore[no-any-return]


class ReadyNetwork(NamedTuple):
    """A network compiled for one shape: its memory, and how to run on that again."""

    given: Tensor
    """The place of the images: in the memory of the host, if they are few, else in the device's."""
    run: Callable[[], object]
    logits: Tensor | None
    """The logits on the device, unless `run` copies them."""
    answer: Tensor
    """The place of the logits in the memory of the host."""
    batch: Tensor
    """The images on the device."""
    done: torch.cuda.Event | None
    """Tells when the device is done; None on the CPU."""


class Instance:
    """One inference at a time: a stream, and the memory of every shape that is ready on it.

    The graphs of one instance share a pool of memory, since they never run at the same time.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.prepared: dict[BatchShape, ReadyNetwork] = {}
        self._is_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self._is_gpu else None  # type: ignore[no-untyped-call]
        self._on_stream = torch.cuda.stream(self._stream)
        self._pool = torch.cuda.graph_pool_handle() if self._is_gpu else None

    def uncompiled(
        self, network: nn.Module, images: Tensor, rounding: Callable[[], AbstractContextManager[None]]
    ) -> Logits:
        """Logits of a batch, operation by operation."""
        with self._on_stream, rounding():
            logits = network(images.to(self.device, non_blocking=True))
            return logits.cpu().numpy()  # type: ignore[no-any-return]

    def replayed(self, shape: BatchShape, images: Tensor) -> Logits:
        """Logits of a batch of at most as many images as the prepared shape has."""
        ready, count = self.prepared[shape], images.shape[0]
        with self._on_stream:
            ready.given[:count].copy_(images, non_blocking=True)
            ready.run()
            if ready.logits is not None:
                ready.answer[:count].copy_(ready.logits[:count], non_blocking=True)
            if ready.done:
                ready.done.record(self._stream)
                ready.done.synchronize()
        return ready.answer[:count].numpy().copy()

    def prepare(
        self,
        shape: BatchShape,
        network: Callable[[Tensor], Tensor],
        channels: int,
        rounding: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Get ready for a shape: on a GPU, record the kernels of one call, which then start at once, with the copies
        of few images and their logits."""
        with self._on_stream:
            batch = _empty(shape, channels, self.device)
            answer = torch.empty(network(batch).shape, pin_memory=self._is_gpu)
            given = _empty(shape, channels, torch.device("cpu")).pin_memory() if self._stages(shape) else batch

            def call() -> Tensor:
                if given is not batch:
                    batch.copy_(given, non_blocking=True)
                logits = network(batch)
                return answer.copy_(logits, non_blocking=True) if self._stages(shape) else logits

            def again() -> Tensor:
                # Under another rounding than it was compiled for, torch would compile anew.
                with rounding():
                    return answer.copy_(call())

            run, logits, done = self._recorded(call, shape) if self._is_gpu else (again, None, None)
        self.prepared[shape] = ReadyNetwork(given, run, logits, answer, batch, done)

    def _stages(self, shape: BatchShape) -> bool:
        return self._is_gpu and shape.images <= MAX_STAGED

    def _recorded(
        self, call: Callable[[], Tensor], shape: BatchShape
    ) -> tuple[Callable[[], object], Tensor | None, torch.cuda.Event]:
        call()
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on meanwhile, on streams of their own.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            logits = call()
        done = torch.cuda.Event(blocking=shape.images > MAX_STAGED)  # type: ignore[no-untyped-call]
        return graph.replay, None if self._stages(shape) else logits, done

    def close(self) -> None:
        """Free the graphs and their memory."""
        if self._is_gpu:
            torch.cuda.synchronize(self.device)
        self.prepared.clear()


class CompiledSession:
    """The network with its norms folded, behind its normalisation. It takes 8-bit images and pixels.

    A batch size is computed uncompiled at first, since compiling takes seconds; what is computed for long is compiled
    in the background, and kept in the user's cache. Where compiling fails, it stays uncompiled, which is said once.
    """

    def __init__(
        self, network: Xception, preprocess: Preprocess, height_width: tuple[int | None, int | None], compute: Compute
    ) -> None:
        _keep_compiled_code()
        self.device = torch.device(compute.device or "cpu")
        self._precision = compute.precision or "float32"
        quick = with_products(with_folded_norms(network))
        self.network = NormalizedNetwork(quick, preprocess, DTYPES[self._precision]).to(self.device)
        self._instances = [Instance(self.device) for _ in range(compute.instances_at_once)]
        self._pool = HandlePool(self._instances)
        self._ready: tuple[BatchShape, ...] = ()
        self._uncompiled_s: dict[BatchShape, float] = {}
        self._preparing, self._background = Lock(), ThreadPoolExecutor(1, "compile")
        self._can_compile, self._most = True, NO_LIMIT
        self.facts = SessionFacts(
            name="torch",
            input_shape=(network.spec.in_channels, *height_width),
            num_outputs=network.spec.head.num_outputs,
            input_values="pixels" if preprocess.fractions else "image",
            standardization=standardization(preprocess),
            instances=compute.instances_at_once,
            threads=0,
            device=str(self.device),
            input_layout="nhwc",
        )

    def __call__(self, pixels: NDArray[Any], /) -> Logits:
        images = torch.from_numpy(pixels if min(pixels.strides, default=1) >= 0 else pixels.copy())
        rows, done = [], 0
        with torch.inference_mode():
            while done < images.shape[0]:
                part = images[done : done + self._most]
                try:
                    rows.append(self._logits(part))
                    done += len(part)
                except torch.OutOfMemoryError as error:
                    self._take_fewer(part, error)
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def warm_up(self, count: int, height_px: int, width_px: int) -> None:
        """Compile for batches of `count` images now, unless that is done."""
        dtype = torch.uint8 if self.facts.input_values == "image" else torch.float32
        self._prepare(BatchShape(dtype, _filled_up(count), height_px, width_px))

    def close(self) -> None:
        self._background.shutdown(cancel_futures=True)
        for instance in self._instances:
            instance.close()
        del self.network

    def _take_fewer(self, images: Tensor, error: torch.OutOfMemoryError) -> None:
        """Take half as many images at once as were too many, from now on."""
        if len(images) == 1:
            raise EnvironmentFault(
                f"{self.device} has not enough free memory for one image of {tuple(images.shape[1:])}: "
                f"{first_line(error)}; free some, or use --device cpu"
            ) from error
        if self._most == NO_LIMIT:
            REMARKS.warning("%s has not enough memory for %d images at once; it takes fewer", self.device, len(images))
        self._most = min(self._most, len(images) // 2)
        torch.cuda.empty_cache()

    def _logits(self, images: Tensor) -> Logits:
        shape = BatchShape(images.dtype, len(images), images.shape[2], images.shape[3])
        with self._pool.lend() as instance:
            ready = self._ready_for(shape)
            if ready:
                return instance.replayed(ready, images)
            start = perf_counter()
            logits = instance.uncompiled(self.network, images, self._rounding)
        self._count(shape._replace(images=_filled_up(shape.images)), perf_counter() - start)
        return logits

    def _ready_for(self, shape: BatchShape) -> BatchShape | None:
        """The smallest ready shape that holds a batch without much filling."""
        if shape in self._ready:
            return shape
        fitting = [
            one for one in self._ready if one.kind == shape.kind and 1 <= one.images / shape.images <= MAX_FILLING
        ]
        return min(fitting, key=lambda one: one.images, default=None)

    def _count(self, shape: BatchShape, seconds: float) -> None:
        """Compile, in the background, what has been computed uncompiled for long."""
        before = self._uncompiled_s.get(shape, 0.0)
        self._uncompiled_s[shape] = before + seconds
        if self._can_compile and before <= MAX_UNCOMPILED_S < before + seconds:
            self._background.submit(self._prepare, shape)

    def _prepare(self, shape: BatchShape) -> None:
        with self._preparing:
            if shape in self._ready or not self._can_compile:
                return
            try:
                self._compile(shape)
            except torch.OutOfMemoryError:
                REMARKS.warning("%s has not enough memory to compile for %d images at once", self.device, shape.images)
            # Compilers fail in many ways, and their exceptions share no base class but this one.
            except Exception as error:
                self._can_compile = False
                REMARKS.warning(
                    "torch cannot compile the network for %s (%s); it is computed uncompiled, at about half the speed",
                    self.device,
                    shorten(first_line(error), MAX_REASON, placeholder=" ..."),
                )
            else:
                self._ready = (*self._ready, shape)

    @torch.inference_mode()
    def _compile(self, shape: BatchShape) -> None:
        # With one call per shape and no graph breaks, torch keeps one piece of code per shape.
        compiled = torch.compile(
            self.network, backend=COMPILER, fullgraph=True, dynamic=False, options=COMPILE_OPTIONS or None
        )
        channels = self.facts.input_shape[0]
        limits = {"recompile_limit": MAX_COMPILED, "accumulated_recompile_limit": MAX_COMPILED}
        with torch._dynamo.config.patch(limits), self._rounding():
            compiled(_empty(shape, channels, self.device))
            with ExitStack() as stack:
                for instance in [stack.enter_context(self._pool.lend()) for _ in self._instances]:
                    instance.prepare(shape, compiled, channels, self._rounding)

    def _rounding(self) -> AbstractContextManager[None]:
        """Round the factors of float32 products as the precision says, while kernels are chosen."""
        if DTYPES[self._precision] != torch.float32:
            return nullcontext()
        return ROUNDING.held(tf32=self._precision == "tf32")


def _empty(shape: BatchShape, channels: int, device: torch.device) -> Tensor:
    """A batch of zeros (N, C, H, W), of which each image lies as (H, W, C)."""
    size = (shape.images, channels, shape.height_px, shape.width_px)
    return torch.zeros(size, dtype=shape.dtype, device=device).to(memory_format=torch.channels_last)


def _filled_up(count: int) -> int:
    """The batch size that a number of images is compiled as."""
    return next((size for size in COMPILED_SIZES if size >= count), -(-count // SIZE_STEP) * SIZE_STEP)


def _keep_compiled_code() -> None:
    """Let torch keep what it compiles with the user's other caches; its own default is lost with the next start."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "torch"))
