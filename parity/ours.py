"""The network here, filled with the same seeded tensors by the same names."""

from math import inf, prod

import numpy as np
import torch

from parity import seeded
from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.convert.naming.rename import NamingScheme, rename
from xception.convert.naming.schemes import NAMING_SCHEMES


def source_of(variant: str, scheme: str | None = None) -> NamingScheme:
    """The source of that name, or the one that published a variant."""
    if scheme:
        return NAMING_SCHEMES[scheme]
    return next(source for source in NAMING_SCHEMES.values() if variant in source.PUBLISHED_VARIANTS)


def draw(architecture: Architecture, scheme: str | None = None) -> dict[str, np.ndarray]:
    """The tensors as their source stores them."""
    shapes = tensors(architecture)
    drawn = {}
    for name, there in source_of(architecture.name, scheme).tensor_names(architecture).items():
        shape = there.layout.upstream_shape(shapes[name])
        kind = seeded.kind_of(there.name, shape)
        drawn[there.name] = seeded.tensor(there.name, shape, kind, fan_in=prod(shapes[name][1:]))
    return drawn


def seeded_tensors(architecture: Architecture, scheme: str | None = None) -> dict[str, np.ndarray]:
    """The tensors by their canonical names, through the same conversion as a file's."""
    return rename(draw(architecture, scheme), architecture, source_of(architecture.name, scheme))


def logits(network: torch.nn.Module, pixels: np.ndarray, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """Images (N, C, H, W) to logits (N, K), in inference mode."""
    with torch.inference_mode():
        return network.to(dtype).eval()(torch.from_numpy(pixels).to(dtype)).numpy()


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of two arrays in units of the largest number; infinite where one has no value."""
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return inf
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
