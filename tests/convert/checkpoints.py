"""Checkpoints of any variant: at full width they cost nothing, since all of a tensor's numbers are one and the same."""

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
from safetensors.numpy import save_file

from parity.ours import draw
from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.convert.naming.schemes import NAMING_SCHEMES, published_variants
from xception.convert.readers import CheckpointContents

Tensors = dict[str, np.ndarray]

PUBLISHED = published_variants()
"""All pairs of a source and a variant that its names tell."""


def hollow(source: str, variant: str, **changes: object) -> Tensors:
    """The tensors of a variant under a source's names; all their numbers are one zero in memory."""
    spec = architecture(variant, **changes)
    shapes = tensors(spec)
    return {
        there.name: np.broadcast_to(np.float32(0), there.layout.upstream_shape(shapes[name]))
        for name, there in NAMING_SCHEMES[source].tensor_names(spec).items()
    }


def checkpoint(*groups: Mapping[str, np.ndarray], **named: Mapping[str, np.ndarray]) -> CheckpointContents:
    """What a reader returns: one group without a name, others by name."""
    found = {name: dict(group) for name, group in (*(("", group) for group in groups), *named.items())}
    return CheckpointContents(container="torch_zip", groups=found, metadata={})


def prefixed(values: Mapping[str, np.ndarray], prefix: str) -> Tensors:
    return {prefix + name: value for name, value in values.items()}


def write_keras(path: Path, values: Mapping[str, np.ndarray], config: str | None = None) -> Path:
    """A whole model as Keras 2 saved it, or, without a description, only its weights."""
    layers: dict[str, Tensors] = {}
    for name, value in values.items():
        layer, _, leaf = name.partition("/")
        layers.setdefault(layer, {})[leaf] = value
    with h5py.File(path, "w") as file:
        root = file if config is None else file.create_group("model_weights")
        if config is not None:
            file.attrs["model_config"] = config
        root.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, leaves in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{leaf}:0".encode() for leaf in leaves]
            for leaf, value in leaves.items():
                group[f"{layer}/{leaf}:0"] = value
    return path


def write_safetensors(path: Path, values: Mapping[str, np.ndarray]) -> Path:
    save_file({name: np.ascontiguousarray(value) for name, value in values.items()}, path)
    return path


def write_torch(path: Path, values: Mapping[str, np.ndarray]) -> Path:
    import torch

    torch.save({"epoch": 3, "state_dict": {name: torch.tensor(value) for name, value in values.items()}}, path)
    return path


WRITERS: dict[str, Callable[[Path, Mapping[str, np.ndarray]], Path]] = {
    "torch_zip": write_torch,
    "safetensors": write_safetensors,
    "keras_h5_weights": write_keras,
}


def small(variant: str, **changes: object) -> Architecture:
    """A narrow network of the variant."""
    return architecture(variant, **{"width": 0.125, "num_classes": 11, **changes})


def drawn(variant: str, **changes: object) -> Tensors:
    """Random tensors of a narrow network under its own source's names."""
    return draw(small(variant, **changes))
