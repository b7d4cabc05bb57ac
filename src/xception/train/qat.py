"""Quantization-aware training: a trained network continues training with the rounding of its int8 form.

After Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(2018). Kernels are folded with their norms by the stored statistics, as export folds them, and rounded; so are the
activations that the int8 graph rounds. Gradients pass through the rounding as if it were not there, except where a
value is clipped. Biases stay as they are: their grid is finer than float32 by the size of the sums.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from xception.arch.graph import INPUT, BatchNorm, Conv, Dense, Node
from xception.arch.spec import Architecture
from xception.bundle import INT8_RANGES
from xception.export.fold import folded_nodes
from xception.export.torch import operation_values
from xception.models.network import Xception, build
from xception.outputs import json_document
from xception.preprocess import Preprocess
from xception.quantize.qdq import Scheme
from xception.quantize.trained import Rounded, TrainedRanges, rounded
from xception.train.settings import QatSettings

MIN_SCALE = torch.finfo(torch.float32).tiny


class FakeQuantized(Xception):
    """A network that computes in float what its int8 form computes in integers.

    It has the tensors of the plain network, by the same names. Nothing is dropped at random, norms keep their
    statistics, and in training mode the ranges of activations follow the batches.
    """

    ranges: Tensor
    """Moving averages of the lowest and the highest value of each rounded activation, (V, 2)."""
    batches: Tensor
    """Number of batches that they have followed."""

    def __init__(self, spec: Architecture, settings: QatSettings, rounds: Rounded) -> None:
        super().__init__(spec)
        self.settings, self.rounds = settings, rounds
        self.nodes, self.norms = folded_nodes(spec)
        self.places = {name: place for place, name in enumerate(dict.fromkeys(rounds.activations.values()))}
        self.register_buffer("ranges", torch.zeros(len(self.places), 2))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        values = {INPUT: self.activation(INPUT, x)}
        for node in self.nodes:
            made = operation_values(node, self.tensors_of(node), values)
            values |= {name: self.activation(name, value) for name, value in made.items()}
        if self.training:
            self.batches += 1
        return values[self.nodes[-1].name]

    @property
    def scheme(self) -> Scheme:
        return scheme_of(self.settings)

    def kernel(self, node: Conv | Dense) -> Tensor:
        """A layer's kernel before it is rounded."""
        return self._folded(node)[0] if isinstance(node, Conv) else self.get_parameter(f"{node.name}.weight")

    def plain(self) -> Xception:
        """The network in float, as a bundle holds it."""
        return build(self.spec, self.tensors())

    def bundle_files(self) -> dict[str, bytes]:
        """The ranges as the file of a bundle, for `quantize`."""
        found = self.ranges.tolist()
        trained = TrainedRanges(
            per_channel=self.settings.per_channel,
            is_signed=self.settings.signed,
            weight_bits=self.settings.weight_bits,
            ranges={name: tuple(found[self.places[node]]) for name, node in self.rounds.activations.items()},
        )
        return {INT8_RANGES: json_document(trained)}

    def activation(self, name: str, value: Tensor) -> Tensor:
        """A value as the int8 graph has it, rounded if it is on a grid there."""
        place = self.places.get(name)
        if place is None:
            return value
        if self.training:
            self._follow(place, value.detach())
        return on_grid(value, activation_grid(self.ranges[place], is_signed=self.settings.signed))

    def _follow(self, place: int, value: Tensor) -> None:
        """Move a range towards that of a batch; the first batch sets it."""
        low, high = value.aminmax()
        seen = torch.stack((low.clamp(max=0), high.clamp(min=0)))
        share = torch.where(self.batches > 0, self.settings.range_momentum, 1.0)
        self.ranges[place] += share * (seen - self.ranges[place])

    def tensors_of(self, node: Node) -> dict[str, Tensor]:
        """An operation's tensors, folded and rounded, by the last part of their names."""
        match node:
            case Conv():
                weight, bias = self._folded(node)
                return {"weight": self._kernel(node.name, weight)} | ({} if bias is None else {"bias": bias})
            case Dense():
                weight, bias = (self.get_parameter(f"{node.name}.{leaf}") for leaf in ("weight", "bias"))
                return {"weight": self._kernel(node.name, weight), "bias": bias}
            case BatchNorm():
                return self._norm(node)
            case _:
                return {}

    def _kernel(self, node: str, weight: Tensor) -> Tensor:
        if f"{node}.weight" not in self.rounds.kernels:
            return weight
        settings = self.settings
        return on_grid(weight, kernel_grid(weight, bits=settings.weight_bits, per_channel=settings.per_channel))

    def _folded(self, node: Conv) -> tuple[Tensor, Tensor | None]:
        """Kernel and bias of a convolution with its norm in them, in double precision until the last rounding."""
        weight, norm = self.get_parameter(f"{node.name}.weight"), self.norms.get(node.name)
        if norm is None:
            return weight, self.get_parameter(f"{node.name}.bias") if node.bias else None
        leaves = {leaf: value.double() for leaf, value in self._norm(norm).items()}
        factor = leaves["weight"] / (leaves["running_var"] + norm.epsilon).sqrt()
        bias = leaves["bias"] - leaves["running_mean"] * factor
        return (weight.double() * factor[:, None, None, None]).to(weight.dtype), bias.to(weight.dtype)

    def _norm(self, norm: BatchNorm) -> dict[str, Tensor]:
        learned = {leaf: self.get_parameter(f"{norm.name}.{leaf}") for leaf in ("weight", "bias")}
        return learned | {leaf: self.get_buffer(f"{norm.name}.{leaf}") for leaf in ("running_mean", "running_var")}


def fake_quantized(network: Xception, settings: QatSettings, preprocess: Preprocess) -> FakeQuantized:
    """A network with the tensors of the given one that computes on the grid of its int8 form."""
    made = FakeQuantized(network.spec, settings, rounded(network.spec, preprocess, scheme_of(settings)))
    made.load_tensors(network.tensors())
    return made


def scheme_of(settings: QatSettings) -> Scheme:
    """The grids that a recipe asks for."""
    return Scheme(per_channel=settings.per_channel, is_signed=settings.signed, weight_bits=settings.weight_bits)


class IntegerGrid(NamedTuple):
    """Integers for values: value = (integer - zero) * scale."""

    scale: Tensor
    """float32, one or one for each output channel."""
    zero: Tensor
    lowest: int
    highest: int


def activation_grid(bounds: Tensor, *, is_signed: bool) -> IntegerGrid:
    """Eight bits over a range (low, high) that holds zero, as ONNX Runtime's quantizer lays them."""
    low, high = bounds.double()
    if is_signed:
        scale = _usable(torch.maximum(-low, high) / 127)
        return IntegerGrid(scale.float(), _zeros(scale), -128, 127)
    scale = _usable((high - low) / 255)
    return IntegerGrid(scale.float(), (-low / scale).round().int(), 0, 255)


def kernel_grid(weight: Tensor, *, bits: int, per_channel: bool) -> IntegerGrid:
    """Integers about zero for each output channel of a kernel, its first axis, or for all of them."""
    limit, sizes = (64 if bits == 7 else 127), weight.detach().abs().double()
    scale = _usable((sizes.flatten(1).amax(1) if per_channel else sizes.max()) / limit)
    return IntegerGrid(scale.float(), _zeros(scale), -limit, limit)


def on_grid(value: Tensor, grid: IntegerGrid) -> Tensor:
    """Values rounded to a grid, with the gradient of what is not clipped."""
    if grid.scale.ndim:
        return torch.fake_quantize_per_channel_affine(value, grid.scale, grid.zero, 0, grid.lowest, grid.highest)
    return torch.fake_quantize_per_tensor_affine(value, *grid)


def _usable(scale: Tensor) -> Tensor:
    """The scale, and 1 where nothing but zeros would be on the grid."""
    return torch.where(scale < MIN_SCALE, 1.0, scale)


def _zeros(scale: Tensor) -> Tensor:
    return torch.zeros_like(scale, dtype=torch.int32)
