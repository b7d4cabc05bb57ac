"""As much of MindSpore as the script that writes its format uses, computed by torch: a stand-in for tests."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

__version__ = "2.10.0"
GRAPH_MODE = 0
float32, uint8 = "float32", "uint8"
exported: list["Cell"] = []


def set_context(mode: int) -> None: ...


class Tensor:
    def __init__(self, value: Any = None, *, shape: Any = None, dtype: Any = None) -> None:
        self.value = torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
        self.shape, self.dtype = shape, dtype

    def __add__(self, other: "Tensor") -> "Tensor":
        return Tensor(self.value + other.value)

    def __mul__(self, other: Any) -> "Tensor":
        return Tensor(self.value * getattr(other, "value", other))

    def astype(self, dtype: str) -> "Tensor":
        return Tensor(self.value.to(getattr(torch, dtype)))

    def transpose(self, *axes: int) -> "Tensor":
        return Tensor(self.value.permute(axes))

    def mean(self, axes: tuple[int, ...]) -> "Tensor":
        return Tensor(self.value.mean(axes))

    def asnumpy(self) -> np.ndarray:
        return self.value.numpy()


class Cell:
    def __call__(self, *values: Tensor) -> Any:
        return self.construct(*values)  # type: ignore[attr-defined]

    def set_train(self, mode: bool) -> None:
        assert mode is False


class Conv2d(Cell):
    def __init__(self, in_channels: int, out_channels: int, kernel: int, **settings: Any) -> None:
        assert settings["pad_mode"] == "pad"
        self.settings = settings

    def construct(self, x: Tensor) -> Tensor:
        s = self.settings
        bias = s["bias_init"].value if s["has_bias"] else None
        weight = s["weight_init"].value
        return Tensor(functional.conv2d(x.value, weight, bias, s["stride"], s["padding"], s["dilation"], s["group"]))


class MaxPool2d(Cell):
    def __init__(self, kernel: int, stride: int, pad_mode: str, padding: int = 0) -> None:
        self.kernel, self.stride, self.pad_mode, self.padding = kernel, stride, pad_mode, padding

    def construct(self, x: Tensor) -> Tensor:
        value, padding = x.value, self.padding
        if self.pad_mode == "same":
            totals = [max((-(-size // self.stride) - 1) * self.stride + 3 - size, 0) for size in value.shape[2:]]
            top, left = (total // 2 for total in totals)
            edges = (left, totals[1] - left, top, totals[0] - top)
            value = functional.pad(value, edges, value=float("-inf"))
        return Tensor(functional.max_pool2d(value, self.kernel, self.stride, padding))


class Dense(Cell):
    def __init__(self, in_features: int, out_features: int, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def construct(self, x: Tensor) -> Tensor:
        return Tensor(functional.linear(x.value, self.weight.value, self.bias.value))


class ReLU(Cell):
    def construct(self, x: Tensor) -> Tensor:
        return Tensor(x.value.relu())


class Softmax(Cell):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def construct(self, x: Tensor) -> Tensor:
        return Tensor(x.value.softmax(self.axis))


class Sigmoid(Cell):
    def construct(self, x: Tensor) -> Tensor:
        return Tensor(x.value.sigmoid())


class GraphCell(Cell):
    def __init__(self, cell: Cell) -> None:
        self.construct = cell.construct  # type: ignore[attr-defined]


nn = SimpleNamespace(
    Cell=Cell,
    CellList=list,
    Conv2d=Conv2d,
    Dense=Dense,
    GraphCell=GraphCell,
    MaxPool2d=MaxPool2d,
    ReLU=ReLU,
    Sigmoid=Sigmoid,
    Softmax=Softmax,
)
ops = SimpleNamespace(
    topk=lambda x, count: [Tensor(part) for part in x.value.topk(count, 1)],
    Concat=lambda axis: lambda parts: Tensor(torch.cat([part.value for part in parts], axis)),
    ReduceMax=lambda: lambda x, axes: Tensor(x.value.amax(axes)),
)


def export(network: Cell, source: Tensor, file_name: str, file_format: str) -> None:
    assert file_format == "MINDIR"
    exported.append(network)
    Path(file_name).write_bytes(f"{len(exported) - 1} {source.shape} {source.dtype}".encode())


def load(file_name: str) -> Cell:
    return exported[int(Path(file_name).read_bytes().split()[0])]
