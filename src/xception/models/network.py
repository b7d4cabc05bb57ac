"""Any variant as one torch module."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xception.arch.compute import tensors
from xception.arch.spec import Architecture
from xception.models.blocks import ClassifierHead, ResidualBlock, StemConv2d
from xception.models.initialize import initialize
from xception.weights import check_tensors


class Xception(nn.Module):
    """The network that `spec` describes, freshly initialised as its source does it.

    Input: (N, C, H, W) float, normalised as the weights' preprocessing says. Output: (N, K) logits, or the
    (N, D) embeddings of a network without classes.
    """

    def __init__(self, spec: Architecture) -> None:
        super().__init__()
        self.spec = spec
        self.stem = nn.Sequential(*(StemConv2d(conv, spec.norm) for conv in spec.stem))
        # Stochastic depth grows linearly from the first block to the last (Huang et al. 2016).
        rates = [spec.drop_path_rate * index / max(1, len(spec.blocks) - 1) for index in range(len(spec.blocks))]
        self.blocks = nn.ModuleList(
            ResidualBlock(block, spec.norm, rate) for block, rate in zip(spec.blocks, rates, strict=True)
        )
        self.head = ClassifierHead(spec.head)
        initialize(self, spec.initialization)

    @property
    def feature_channels(self) -> dict[int, int]:
        """Channels of each map of `features`, by its stride, finest first."""
        stride = self.spec.stem_stride
        channels = {stride: self.spec.stem[-1].out_channels}
        for block in self.spec.blocks:
            stride *= block.stride
            channels[stride] = block.out_channels
        return channels

    def features(self, x: Tensor) -> dict[int, Tensor]:
        """The last feature map at every stride: {stride in pixels: (N, C, H, W)}, finest first."""
        x, stride = self.stem(x), self.spec.stem_stride
        maps = {stride: x}
        for block, spec in zip(self.blocks, self.spec.blocks, strict=True):
            x = block(x)
            stride *= spec.stride
            maps[stride] = x
        return maps

    def feature_map(self, x: Tensor) -> Tensor:
        """The map that the classifier sees, (N, C, H, W)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x

    def embed(self, x: Tensor) -> Tensor:
        """The pooled features that describe each image, (N, C)."""
        return self.head.embed(self.feature_map(x))

    def class_maps(self, x: Tensor) -> Tensor:
        """Class-activation maps (N, K, H, W); their spatial mean is the logits."""
        return self.head.class_maps(self.feature_map(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.feature_map(x))  # type: ignore[no-any-return]

    def load_tensors(self, values: Mapping[str, np.ndarray]) -> None:
        """Take over learned tensors and batch statistics by their canonical names.

        Raises:
            InputError: a tensor is missing, superfluous or of another shape; both sides are listed.
        """
        check_tensors(values, tensors(self.spec))
        self.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in values.items()}, strict=False)

    def tensors(self) -> dict[str, np.ndarray]:
        """Learned tensors and batch statistics by their canonical names, as float32 copies."""
        state = self.state_dict()
        return {name: state[name].detach().cpu().float().numpy().copy() for name in tensors(self.spec)}


def build(spec: Architecture, values: Mapping[str, np.ndarray] | None = None) -> Xception:
    """The network of a specification, with the given weights or freshly initialised ones."""
    if values is None:
        return Xception(spec)
    check_tensors(values, tensors(spec))  # before memory is taken for a network that a description may have invented
    with _Undrawn():
        network = Xception(spec)
    network.load_tensors(values)
    return network


class _Undrawn(TorchFunctionMode):
    """Leaves new weights undrawn: drawing them takes longer than reading those that replace them."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


DRAWS = (Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_)
"""Functions by which the modules and the rules of `initialize` fill a tensor."""
