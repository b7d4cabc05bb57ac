"""PaddleClas, from a checkout, in the environment `paddle.txt`."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from importlib import import_module
from math import prod
from pathlib import Path
from types import ModuleType

import numpy as np
import paddle

from parity.checkout import declare_packages
from parity.command import Network, main

FOLDER = "ppcls.arch.backbone.model_zoo"


class PaddleNetwork:
    def __init__(self, layer: paddle.nn.Layer, dtype: str) -> None:
        # Norms are made in float32 whatever Paddle's default is.
        self.layer = layer.to(dtype=dtype)
        self.layer.eval()
        self.dtype = dtype
        self.versions = {"paddle": paddle.__version__}

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in self.layer.state_dict().items()}

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        return shape[0] if len(shape) == 2 else prod(shape[1:])

    def fill(self, values: Mapping[str, np.ndarray]) -> None:
        for name, value in self.layer.state_dict().items():
            value.set_value(values[name].astype(self.dtype))

    def save(self, folder: Path) -> None:
        paddle.save(self.layer.state_dict(), str(folder / "checkpoint.pdparams"))

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return self.layer(paddle.to_tensor(pixels.astype(self.dtype))).numpy()

    def train_step(self, pixels: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        raise NotImplementedError("a training step is compared only with torch's networks")


def build(arguments: Namespace) -> Network:
    paddle.set_default_dtype(arguments.dtype)
    declare_packages(arguments.checkout, "ppcls", "ppcls.utils", "ppcls.arch", "ppcls.arch.backbone", FOLDER)
    # The only thing that the networks import from the rest of PaddleClas; it loads pretrained weights.
    save_load = ModuleType("ppcls.utils.save_load")
    save_load.load_dygraph_pretrain = None  # type: ignore[attr-defined]
    sys.modules[save_load.__name__] = save_load
    module = "xception_deeplab" if arguments.variant.endswith("_deeplab") else "xception"
    factory = arguments.variant.removeprefix("ppcls_").capitalize()
    return PaddleNetwork(getattr(import_module(f"{FOLDER}.{module}"), factory)(), arguments.dtype)


if __name__ == "__main__":
    main(build)
