"""Checks of the session on a device, each against float32 on the CPU: precisions, batch sizes, replays, threads, and
what happens where memory lacks or compiling fails."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.gpu_inference.scale import TOLERANCES, Scale, difference
from xception.backends import torch_compiled
from xception.backends.base import Compute, InferPrecision, device_of
from xception.errors import EnvironmentFault

Check = Callable[[Scale], str]
"""Returns what was found, and raises where that is wrong."""

BATCH = 8


def precision(scale: Scale, name: InferPrecision) -> str:
    """Logits uncompiled, compiled, of fresh images, and of batches that are filled up."""
    images = scale.images(BATCH)
    truth, limit = scale.truth(images), TOLERANCES[name]
    with closing(scale.session(name)) as session, remarks() as said:
        uncompiled = difference(session(images), truth)
        session.warm_up(BATCH, scale.px, scale.px)
        require(bool(session._ready), f"it was not compiled: {said}")
        compiled = session(images)
        errors = {"uncompiled": uncompiled, "compiled": difference(compiled, truth)}
        for count, seed in ((7, 1), (5, 2), (BATCH, 3)):
            fresh = scale.images(count, seed)
            errors[f"{count} fresh images"] = difference(session(fresh), scale.truth(fresh))
        pixels = scale.preprocess.normalize(images)
        errors["pixels"] = difference(session(pixels), truth)
        require(np.array_equal(session(images), compiled), "a second replay gives other logits")
    require(max(errors.values()) <= limit, f"logits differ: {errors}, expected at most {limit}")
    same = float((compiled.argmax(1) == truth.argmax(1)).mean())
    return ", ".join(f"{key} {value:.1e}" for key, value in errors.items()) + f"; same class {same:.0%}"


def threads(scale: Scale) -> str:
    """Two threads at once, on batches of their own."""
    with closing(scale.session()) as session:
        session.warm_up(BATCH, scale.px, scale.px)
        batches = [scale.images(BATCH - index % 3, index) for index in range(32)]
        alone = [session(batch) for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(session, batches))
    require(all(map(np.array_equal, alone, together)), "logits differ from those of one thread")
    return "32 batches by 4 threads on 2 streams: the same bits"


def background(scale: Scale) -> str:
    """Compiling and recording in the background while threads go on asking."""
    images = scale.images(BATCH)
    truth = scale.truth(images)
    with patch.object(torch_compiled, "MAX_UNCOMPILED_S", 0.0), closing(scale.session()) as session:
        with ThreadPoolExecutor(2) as pool:
            errors, calls = [], 0
            session(images)
            while calls < 2000 and not session._ready and session._can_compile:
                errors += [difference(one, truth) for one in pool.map(session, [images] * 2)]
                calls += 2
            errors += [difference(one, truth) for one in pool.map(session, [images] * 8)]
        require(bool(session._ready), "it was not compiled")
    require(max(errors) <= TOLERANCES["bfloat16"], f"logits differ by {max(errors):.1e}")
    return f"{calls} calls until it was ready, all within {max(errors):.1e}"


def memory(scale: Scale) -> str:
    """A batch for which memory lacks."""
    images = np.concatenate([scale.images(BATCH)] * 32)
    with closing(scale.session()) as session, remarks() as said:
        whole = session(images)
        if scale.device != "cpu":
            torch.cuda.empty_cache()
            _, total = torch.cuda.mem_get_info()
            used = torch.cuda.memory_reserved()
            torch.cuda.set_per_process_memory_fraction((used + 0.4e9) / total)
        try:
            fewer = session(images)
        finally:
            if scale.device != "cpu":
                torch.cuda.set_per_process_memory_fraction(1.0)
        again = session(images)
    error = max(difference(fewer, whole), difference(again, whole))
    require(error <= TOLERANCES["bfloat16"], f"logits differ by {error:.1e}")
    return f"{error:.1e}; said: {said}; images at once afterwards: {session._most}"


def compiling(scale: Scale) -> str:
    """A compiler that fails."""
    images = scale.images(BATCH)
    bad = patch.object(torch_compiled, "COMPILE_OPTIONS", {"no_such_setting": True})
    other = patch.object(torch_compiled, "COMPILER", "inductor")
    with bad, other, closing(scale.session()) as session, remarks() as said:
        session.warm_up(BATCH, scale.px, scale.px)
        session.warm_up(2 * BATCH, scale.px, scale.px)
        error = difference(session(images), scale.truth(images))
    require(len(said) == 1, f"expected one remark, got {said}")
    require(error <= TOLERANCES["bfloat16"], f"logits differ by {error:.1e}")
    return f"{error:.1e}; said: {said[0]}"


def wrong_device(_: Scale) -> str:
    """A device that there is not."""
    try:
        device_of("torch", Compute(device="cuda:77"))
    except EnvironmentFault as error:
        return str(error)
    raise RuntimeError("cuda:77 was taken")


CHECKS: dict[str, Check] = {
    "bfloat16": lambda scale: precision(scale, "bfloat16"),
    "threads": threads,
    "compiling fails": compiling,
    "wrong device": wrong_device,
    "memory lacks": memory,
    "float16": lambda scale: precision(scale, "float16"),
    "float32": lambda scale: precision(scale, "float32"),
    "tf32": lambda scale: precision(scale, "tf32"),
    "in the background": background,
}


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise RuntimeError(otherwise)


@contextmanager
def remarks() -> Iterator[list[str]]:
    """The warnings of the session."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    torch_compiled.REMARKS.addHandler(handler)
    try:
        yield said
    finally:
        torch_compiled.REMARKS.removeHandler(handler)
