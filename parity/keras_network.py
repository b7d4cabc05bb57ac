"""Any Keras model as a network to compare with."""

from collections.abc import Mapping
from importlib.metadata import version
from math import prod
from pathlib import Path
from shutil import copy

import h5py
import keras
import numpy as np
import tensorflow


class KerasNetwork:
    def __init__(self, model: keras.Model, *packages: str) -> None:
        self.model = model
        self.versions = {
            **{package: version(package.replace("_", "-")) for package in packages},
            "keras": keras.__version__,
            "tensorflow": tensorflow.__version__,
        }

    def _weights(self) -> dict[str, keras.Variable]:
        return {f"{layer.name}/{weight.name}": weight for layer in self.model.layers for weight in layer.weights}

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(weight.shape) for name, weight in self._weights().items()}

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        return prod(shape[:2]) if name.endswith("/depthwise_kernel") else prod(shape[:-1])

    def fill(self, values: Mapping[str, np.ndarray]) -> None:
        for name, weight in self._weights().items():
            weight.assign(values[name])

    def save(self, folder: Path) -> None:
        for name in ("model.h5", "model.weights.h5", "model.keras"):
            write = self.model.save_weights if name.endswith(".weights.h5") else self.model.save
            write(folder / name)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        channels_last = pixels.transpose(0, 2, 3, 1)
        return np.asarray(self.model([channels_last.astype(self.model.dtype)], training=False))

    def train_step(self, pixels: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        raise NotImplementedError("a training step is compared only with torch's networks")


def save_without_names(file: Path, out: Path) -> None:
    """A copy as Keras wrote it before 3.6: the groups of layers are numbered, and their names are nowhere."""
    copy(file, out)
    with h5py.File(out, "r+") as content:
        content.visititems(lambda _, item: item.attrs.pop("name", None))
