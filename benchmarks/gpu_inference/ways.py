"""The ways to run the network that `benchmarks.gpu` compares, each with all that it needs made ready."""

from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.experiments.separable import TILES, with_own_kernels
from benchmarks.gpu_inference.scale import VARIANT, Scale
from xception.backends.base import GPU_INSTANCES, InferPrecision
from xception.backends.torch_compiled import DTYPES, CompiledSession, NormalizedNetwork
from xception.models.folded import with_folded_norms

Answer = np.ndarray | Tensor
Run = Callable[[], Answer]
"""Starts a number of batches and waits for their logits, of which it gives those of the last."""


class Way:
    """A way to run batches of one size: a call does `calls` of them and waits."""

    def __init__(self, run: Run, batch: int, calls: int = 1) -> None:
        self.run, self.images = run, batch * calls


class Opened(ExitStack):
    """What ways have opened, closed together; ways of the same numbers and batch size share one session."""

    def __init__(self) -> None:
        super().__init__()
        self._sessions: dict[tuple[InferPrecision, int], CompiledSession] = {}

    def session(self, scale: Scale, precision: InferPrecision, batch: int) -> CompiledSession:
        """The product's own session, compiled for a batch size, for as many callers at once as by default."""
        if (precision, batch) not in self._sessions:
            opened = scale.session(precision, GPU_INSTANCES)
            self.callback(opened.close)
            opened.warm_up(batch, scale.px, scale.px)
            self._sessions[precision, batch] = opened
        return self._sessions[precision, batch]


def session(scale: Scale, precision: InferPrecision, batch: int, stack: Opened, *, at_once: int) -> Way:
    """This toolkit's session, from 8-bit images in pinned memory to logits in the host's, on some threads at once."""
    opened = stack.session(scale, precision, batch)
    buffers = [scale.buffer(opened, batch) for _ in range(at_once)]
    if at_once == 1:
        return Way(partial(opened, buffers[0]), batch)
    threads = stack.enter_context(ThreadPoolExecutor(at_once))
    calls = 4

    def one(buffer: np.ndarray) -> np.ndarray:
        return [opened(buffer) for _ in range(calls)][-1]

    def run() -> np.ndarray:
        futures = [threads.submit(one, buffer) for buffer in buffers]
        wait(futures)
        return futures[-1].result()

    return Way(run, batch, calls * at_once)


def pageable(scale: Scale, precision: InferPrecision, batch: int, stack: Opened) -> Way:
    """The same from memory that is not pinned, on one thread."""
    opened = stack.session(scale, precision, batch)
    return Way(partial(opened, np.array(scale.buffer(opened, batch), order="K")), batch)


def replay(scale: Scale, precision: InferPrecision, batch: int, stack: Opened) -> Way:
    """The session's graph alone, its images on the device already."""
    opened = stack.session(scale, precision, batch)
    for _ in opened._instances:
        opened(scale.buffer(opened, batch))
    (prepared,) = opened._instances[0].prepared.values()
    return Way(lambda: (prepared.run(), prepared.answer if prepared.logits is None else prepared.logits)[1], batch)


def own_kernels(scale: Scale, precision: InferPrecision, batch: int, stack: Opened, *, tile: str) -> Way:
    """The session's graph alone, with the operators of `benchmarks.experiments.separable` in its network."""
    opened = scale.session(precision, 1)
    stack.callback(opened.close)
    network = with_own_kernels(with_folded_norms(scale.network()), tile)
    opened.network = NormalizedNetwork(network, scale.preprocess, DTYPES[precision]).to(scale.device)
    opened.warm_up(batch, scale.px, scale.px)
    opened(scale.buffer(opened, batch))
    (prepared,) = opened._instances[0].prepared.values()
    return Way(lambda: (prepared.run(), prepared.answer if prepared.logits is None else prepared.logits)[1], batch)


def uncompiled(scale: Scale, precision: InferPrecision, batch: int, stack: Opened) -> Way:
    """This toolkit's session before it is compiled."""
    opened = scale.session(precision, 1)
    stack.callback(opened.close)
    return Way(partial(opened, scale.buffer(opened, batch)), batch)


def eager(scale: Scale, precision: InferPrecision, batch: int, stack: Opened) -> Way:  # noqa: ARG001
    """The network with its norms folded, operation by operation, its pixels on the device already."""
    module = _on_device(scale, with_folded_norms(scale.network()), precision)
    return Way(partial(module, _pixels(scale, precision, batch)), batch)


def timm(scale: Scale, precision: InferPrecision, batch: int, stack: Opened, *, how: str) -> Way:  # noqa: ARG001
    """timm's own network with the same weights, its pixels on the device already: `eager`, `compiled`, or that as a
    CUDA graph."""
    from parity.command import fill
    from parity.upstreams.timm import build

    _need_gpu(scale)  # there is no small one for a CPU
    network = build(Namespace(variant=VARIANT, output_stride=32, dtype="float32", model_args=None))
    fill(network)
    module = _on_device(scale, network.module.eval(), precision)  # type: ignore[attr-defined]
    pixels = _pixels(scale, precision, batch)
    call: Callable[[Tensor], Tensor] = module if how == "eager" else torch.compile(module, dynamic=False)
    run = partial(call, pixels)
    return Way(_graph(run) if how == "graph" else run, batch)


WAYS: dict[str, Callable[[Scale, InferPrecision, int, Opened], Way]] = {
    "xception": partial(session, at_once=GPU_INSTANCES),
    "xception, two at once": partial(session, at_once=2),
    "xception, one thread": partial(session, at_once=1),
    "xception, not pinned": pageable,
    "xception, graph alone": replay,
    **{f"xception, depthwise by Triton, {tile}": partial(own_kernels, tile=tile) for tile in TILES},
    "xception, uncompiled": uncompiled,
    "xception, eager, pixels on the device": eager,
    "timm, eager": partial(timm, how="eager"),
    "timm, compiled": partial(timm, how="compiled"),
    "timm, compiled, CUDA graph": partial(timm, how="graph"),
}


def _on_device(scale: Scale, module: torch.nn.Module, precision: InferPrecision) -> torch.nn.Module:
    return module.to(scale.device, DTYPES[precision], memory_format=torch.channels_last)  # type: ignore[call-overload]


def _pixels(scale: Scale, precision: InferPrecision, batch: int) -> Tensor:
    some = scale.preprocess.normalize(scale.images(min(batch, 8)))
    repeated = torch.from_numpy(some).repeat(-(-batch // len(some)), 1, 1, 1)[:batch]
    return repeated.to(scale.device, DTYPES[precision], memory_format=torch.channels_last)


def _graph(run: Run) -> Run:
    """Record the kernels of a call, which then start at once; the output's memory is the same every time."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replayed() -> Answer:
        graph.replay()
        return output

    return replayed


def _need_gpu(scale: Scale) -> None:
    if scale.device == "cpu":
        raise NotImplementedError("needs a GPU")
