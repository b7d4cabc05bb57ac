"""Any MindSpore cell as a network to compare with, in graph mode and float32."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

import mindspore
import numpy as np


class MindSporeNetwork:
    def __init__(self, cell: mindspore.nn.Cell, versions: Mapping[str, str]) -> None:
        self.cell = cell.set_train(False)
        self.parameters = {parameter.name: parameter for parameter in cell.get_parameters()}
        self.versions = {"mindspore": mindspore.__version__, **versions}

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(parameter.shape) for name, parameter in self.parameters.items()}

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        return prod(shape[1:])

    def fill(self, values: Mapping[str, np.ndarray]) -> None:
        for name, parameter in self.parameters.items():
            parameter.set_data(mindspore.Tensor(values[name]))

    def save(self, folder: Path) -> None:
        mindspore.save_checkpoint(self.cell, str(folder / "checkpoint.ckpt"))

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return self.cell(mindspore.Tensor(pixels)).asnumpy()

    def train_step(self, pixels: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        raise NotImplementedError("a training step is compared only with torch's networks")
