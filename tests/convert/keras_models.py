"""Models as Keras states them, with seeded weights: what `make_keras_models` kept of the real ones."""

import gzip
import json
from collections.abc import Mapping
from functools import cache
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from parity import seeded
from tests.convert.make_keras_models import SAMPLE
from xception.convert.readers import Checkpoint
from xception.convert.readers.binary import LoadedFile


@cache
def kept() -> dict[str, Any]:
    """Configuration, shapes and answers of each model."""
    found: dict[str, Any] = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    return found


def stated_models(*, refused: bool = False) -> list[str]:
    return [name for name in kept() if name.startswith("REFUSED") == refused]


@cache
def seeded_weights(name: str) -> dict[str, np.ndarray]:
    shapes = {key: tuple(shape) for key, shape in kept()[name]["shapes"].items()}
    return {
        key: seeded.tensor(key, shape, seeded.kind_of(key, shape), _fan_in(key, shape)) for key, shape in shapes.items()
    }


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    return prod(shape[:2]) if name.endswith("/depthwise_kernel") else prod(shape[:-1])


def checkpoint(config: Any, tensors: Mapping[str, np.ndarray]) -> Checkpoint:
    """What a reader makes of a file with this model."""
    file = cast(LoadedFile, SimpleNamespace(checksums={"sha256": "0" * 64, "md5": "0" * 32}))
    return Checkpoint(
        container="keras_h5",
        groups={"": dict(tensors)},
        metadata={"model_config": config},
        path=Path("model.h5"),
        file=file,
    )


def model_of(*layers: dict[str, Any], outputs: list[Any] | None = None, name: str = "model") -> dict[str, Any]:
    """A functional model of layers as `layer` and `image` make them."""
    own = [row for row in layers if row["class_name"] != "InputLayer"]
    entries = [[row["name"], 0, 0] for row in layers if row["class_name"] == "InputLayer"]
    ends = outputs or [[own[-1]["name"], 0, 0]]
    config = {"name": name, "layers": list(layers), "input_layers": entries, "output_layers": ends}
    return {"class_name": "Functional", "config": config, "name": name}


def image(name: str = "image") -> dict[str, Any]:
    return layer("InputLayer", name, batch_shape=[None, 75, 75, 3])


def layer(kind: str, name: str, *sources: str, **config: Any) -> dict[str, Any]:
    """A layer in the words of Keras 3."""
    arguments = [
        {"class_name": "__keras_tensor__", "config": {"keras_history": [source, 0, 0]}}
        if isinstance(source, str)
        else source
        for source in sources
    ]
    calls = [{"args": arguments, "kwargs": {}}] if sources else []
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": calls}
