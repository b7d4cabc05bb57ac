"""Reproducible weights and images: each is drawn from a generator seeded by its name.

Needs only NumPy, so that it runs in the environment of every source. A tensor is drawn in the shape that it
has at its source under the name that it has there, as Keras gives it in a fresh process ("conv2d" first, then
"conv2d_1"), so no weight file has to be kept. NumPy guarantees the stream of PCG64; a test pins what is made of it.
"""

import hashlib
from math import sqrt
from typing import Literal

import numpy as np

Kind = Literal["kernel", "scale", "offset", "mean", "variance"]

KINDS: dict[str, Kind] = {
    "kernel": "kernel",
    "depthwise_kernel": "kernel",
    "pointwise_kernel": "kernel",
    "gamma": "scale",
    "beta": "offset",
    "bias": "offset",
    "running_mean": "mean",
    "moving_mean": "mean",
    "_mean": "mean",
    "running_var": "variance",
    "moving_variance": "variance",
    "_variance": "variance",
}
"""The last word of a tensor's name to what it is; `weight` is a scale if it has one axis and a kernel otherwise."""


def tensor(name: str, shape: tuple[int, ...], kind: Kind, fan_in: int = 1) -> np.ndarray:
    """float32 values; `fan_in` is the number of inputs of one output number.

    Kernels are uniform with variance 1 / fan_in, which keeps activations between 1 and 10 through all residual
    sums. With the usual 2 / fan_in they grow to 1e14, where no wrong offset or mean would show in the logits.
    """
    uniform = _generator(name).random(shape)
    match kind:
        case "kernel":
            values = (2 * uniform - 1) * sqrt(3 / fan_in)
        case "scale":
            values = 0.6 + 0.8 * uniform
        case "offset" | "mean":
            values = 0.4 * (uniform - 0.5)
        case "variance":
            values = 0.5 + uniform
    return values.astype(np.float32)


def kind_of(name: str, shape: tuple[int, ...]) -> Kind:
    """What a tensor is, by its name at the source."""
    leaf = name.replace("/", ".").rpartition(".")[2]
    if leaf == "weight":
        return "scale" if len(shape) == 1 else "kernel"
    return KINDS[leaf]


def pixels(px: int, channels: int = 3, batch: int = 2) -> np.ndarray:
    """Images (N, C, H, W), float32 in [-1, 1)."""
    return (2 * _generator(f"pixels/{px}").random((batch, channels, px, px)) - 1).astype(np.float32)


def labels(px: int, num_classes: int, batch: int) -> np.ndarray:
    """Class numbers (N,), int64, for training on the images of that size."""
    return _generator(f"labels/{px}").integers(num_classes, size=batch)


def _generator(name: str) -> np.random.Generator:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.PCG64(seed))
