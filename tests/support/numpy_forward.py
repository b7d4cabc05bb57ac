"""Inference in plain NumPy and float64, written from the definitions of the operations: a second opinion on torch.

It copies every window of every convolution, so keep to narrow networks and small images.
"""

from collections.abc import Mapping
from math import ceil

import numpy as np

from xception.arch.graph import (
    INPUT,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Node,
    Relu,
    Scale,
    unfold,
)
from xception.arch.spec import Architecture


def forward(architecture: Architecture, tensors: Mapping[str, np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) to logits (N, K)."""
    values = {INPUT: pixels.astype(np.float64)}
    doubles = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    for node in unfold(architecture):
        values[node.name] = _result(node, values, doubles)
    return values[node.name]


def _result(node: Node, values: Mapping[str, np.ndarray], tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    x = values[node.source]
    match node:
        case Conv():
            bias = tensors[f"{node.name}.bias"] if node.bias else np.zeros(node.out_channels)
            return _convolution(x, tensors[f"{node.name}.weight"], node) + bias[:, None, None]
        case BatchNorm():
            weight, bias, mean, variance = (
                tensors[f"{node.name}.{leaf}"][:, None, None]
                for leaf in ("weight", "bias", "running_mean", "running_var")
            )
            return weight * (x - mean) / np.sqrt(variance + node.epsilon) + bias
        case Relu():
            return np.where(x > 0, x, 0.0)
        case MaxPool():
            return _max_pool(x, node)
        case Add():
            return x + values[node.other]
        case Scale():
            return x * node.factor
        case GlobalAveragePool():
            return x.mean(axis=(2, 3))
        case GlobalMaxPool():
            return x.max(axis=(2, 3))
        case Concat():
            return np.concatenate((x, values[node.other]), axis=1)
        case Dense():
            return x @ tensors[f"{node.name}.weight"].T + tensors[f"{node.name}.bias"]


def _windows(x: np.ndarray, kernel: int, stride: int, dilation: int = 1) -> np.ndarray:
    """All windows of (N, C, H, W): (N, C, H', W', kernel, kernel)."""
    reach = dilation * (kernel - 1) + 1
    views = np.lib.stride_tricks.sliding_window_view(x, (reach, reach), axis=(2, 3))
    return views[:, :, ::stride, ::stride, ::dilation, ::dilation]


def _convolution(x: np.ndarray, kernel: np.ndarray, node: Conv) -> np.ndarray:
    edge = (node.padding, node.padding)
    windows = _windows(np.pad(x, ((0, 0), (0, 0), edge, edge)), node.kernel, node.stride, node.dilation)
    if node.groups == 1:
        return np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)
    # Depthwise: every channel has a kernel of its own.
    return np.einsum("nchwij,cij->nchw", windows, kernel[:, 0])


def _max_pool(x: np.ndarray, node: MaxPool) -> np.ndarray:
    edges = [(1, 1) if node.padding == "symmetric" else _same(size, node.stride) for size in x.shape[2:]]
    padded = np.pad(x, ((0, 0), (0, 0), *edges), constant_values=-np.inf)
    return _windows(padded, 3, node.stride).max(axis=(4, 5))


def _same(size: int, stride: int, kernel: int = 3) -> tuple[int, int]:
    """TensorFlow's padding before and behind an axis: as much as ceil(size / stride) windows need, the odd one
    behind."""
    total = max((ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
