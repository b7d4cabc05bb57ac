"""Any torch module as a network to compare with."""

import importlib
import sys
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional


def declare_torchvision_operators() -> None:
    """Let torchvision be imported next to a torch that its compiled operators do not fit.

    timm imports torchvision, which at once describes the shapes of these two to torch and fails where they do
    not exist. Xception uses neither. The library lives as long as what is returned, hence the attribute.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declare_torchvision_operators.library = library  # type: ignore[attr-defined]


class TorchNetwork:
    def __init__(self, module: torch.nn.Module, dtype: str, *packages: str) -> None:
        self.dtype = getattr(torch, dtype)
        self.module = module.to(self.dtype).eval()
        self.versions = {name: sys.modules[name].__version__ for name in ("torch", *packages)}

    def tensors(self) -> dict[str, tuple[int, ...]]:
        state = self.module.state_dict()
        return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}

    def fan_in(self, name: str, shape: tuple[int, ...]) -> int:
        return prod(shape[1:])

    def fill(self, values: Mapping[str, np.ndarray]) -> None:
        self.module.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()}, strict=False)

    def save(self, folder: Path) -> None:
        torch.save(self.module.state_dict(), folder / "checkpoint.pth")
        torch.save(
            {"state_dict": self.module.state_dict()}, folder / "legacy.tar", _use_new_zipfile_serialization=False
        )

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.module(torch.from_numpy(pixels).to(self.dtype)).numpy()

    def train_step(self, pixels: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        self.module.train()
        logits = self.module(torch.from_numpy(pixels).to(self.dtype))
        loss = functional.cross_entropy(logits, torch.from_numpy(labels))
        loss.backward()
        gradients = {
            f"gradients/{name}": value.grad.numpy()  # type: ignore[union-attr]
            for name, value in self.module.named_parameters()
        }
        running = {f"running/{name}": value.numpy() for name, value in self.module.named_buffers() if value.ndim}
        return {"loss": loss.detach().numpy(), **gradients, **running}
