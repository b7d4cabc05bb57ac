"""Separable convolutions for inference in one kernel each, used where that is faster on the device at hand."""

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.experiments.fused_kernel import launch
from xception.models.blocks import ResidualBlock
from xception.models.layers import Filling, SeparableConv2d
from xception.models.network import Xception

logger = logging.getLogger(__name__)


class Tile(NamedTuple):
    """What one program of the kernel computes: pixels x output channels, some input channels at a time. All are
    powers of two of at least 16."""

    pixels: int
    inner: int
    outer: int


TILES = (Tile(64, 32, 64), Tile(64, 64, 256))
"""Those that are tried on every layer: in the wide one the depthwise convolution is computed less often. Each costs
seconds of compilation for every kind of layer, once on a machine."""

TOLERANCES = {torch.float32: 2e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Most that a layer may differ from its two convolutions, in units of its largest number: a few times what rounding
makes, which on a device is that of TF32 for float32; a wrong layer differs by more than a tenth."""
ROUNDS = 10

Timer = Callable[[Callable[[], object]], float]
"""Seconds that a call takes."""


class FusedSeparableConv2d(nn.Module):
    """A depthwise-first separable convolution at inference, its norms folded into the weights.

    Args:
        unit: the layer whose function this is; its dtype, device and running statistics are taken over.
        tile: how the work is divided.

    Shapes: (N, C, H, W), in and out `channels_last`; other layouts are converted.
    """

    pointwise: Tensor

    def __init__(self, unit: SeparableConv2d, tile: Tile = TILES[0]) -> None:
        super().__init__()
        self.tile = tile
        self.stride, self.dilation = unit.depthwise.stride[0], unit.depthwise.dilation[0]
        self.acts = tuple(hasattr(slot, "act") for slot in (unit.before, unit.between, unit.after))
        self.scaled = hasattr(unit.before, "norm")
        scale, shift = _affine(unit.before, unit.depthwise)
        middle, middle_shift = _affine(unit.between, unit.depthwise)
        last, last_shift = _affine(unit.after, unit.pointwise)
        dtype = unit.pointwise.weight.dtype
        depthwise = unit.depthwise.weight.double() * middle[:, None, None, None]
        pointwise = unit.pointwise.weight.double() * last[:, None, None, None]
        # Sums are float32 in the kernel, and so is all that is added to them.
        for name, values in {
            "scale": scale,
            "shift": shift,
            "middle_shift": middle_shift,
            "last_shift": last_shift,
        }.items():
            self.register_buffer(name, values.float())
        self.register_buffer("depthwise", depthwise.flatten(1).T.contiguous().float())
        self.register_buffer("pointwise", pointwise[:, :, 0, 0].T.contiguous().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        images, channels, height, width = x.shape
        out_height, out_width = (height - 1) // self.stride + 1, (width - 1) // self.stride + 1
        out_channels = self.pointwise.shape[1]
        out = x.new_empty((images, out_height, out_width, out_channels)).permute(0, 3, 1, 2)
        pixels = images * out_height * out_width
        grid = (-(-pixels // self.tile.pixels), -(-out_channels // self.tile.outer))
        before, between, after = self.acts
        launch(
            grid, x, self.scale, self.shift, self.depthwise, self.middle_shift, self.pointwise, self.last_shift, out,
            pixels, height, width, out_height, out_width, channels, out_channels,
            STRIDE=self.stride, DILATION=self.dilation, SCALED=self.scaled,
            ACT_BEFORE=before, ACT_BETWEEN=between, ACT_AFTER=after,
            DOT="tf32" if torch.backends.cudnn.allow_tf32 else "ieee",
            PIXELS=self.tile.pixels, INNER=self.tile.inner, OUTER=self.tile.outer,
        )  # fmt: skip
        return out


def _affine(slot: Filling, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """The norm in a slot behind (or before) a convolution as factor and summand a channel, float64; 1 and 0 without."""
    norm = getattr(slot, "norm", None)
    if norm is None:
        ones = torch.ones(conv.out_channels, dtype=torch.float64, device=conv.weight.device)
        return ones, torch.zeros_like(ones)
    factor = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return factor, norm.bias.detach().double() - norm.running_mean.double() * factor


@torch.inference_mode()
def fused(
    network: Xception, pixels: Tensor, *, tiles: Sequence[Tile] = TILES, seconds: Timer | None = None
) -> Xception:
    """A copy of the network for inference in which every separable convolution that is faster in one kernel is one.

    Each is tried on what reaches it from `pixels`. A kernel that does not compile, or whose result is not the layer's,
    is not used either.

    Args:
        network: on the device and in the dtype that it will run in.
        pixels: a batch as it will see many, (N, C, H, W).
        tiles: the kernels to try.
        seconds: what measures; by default the median time on the device of `pixels`.
    """
    network = deepcopy(network).eval()
    measure = seconds or partial(elapsed, device=pixels.device)
    chosen: dict[tuple[nn.Sequential, int], nn.Module] = {}
    hooks = [
        unit.register_forward_hook(partial(_choose, chosen, (block.units, index), tiles, measure))
        for block in network.modules()
        if isinstance(block, ResidualBlock)
        for index, unit in enumerate(block.units)
        if isinstance(unit, SeparableConv2d) and unit.depthwise_first
    ]
    network(pixels)
    for hook in hooks:
        hook.remove()
    for (units, index), layer in chosen.items():
        units[index] = layer
    logger.info("%d of %d separable convolutions run in one kernel", len(chosen), len(hooks))
    return network


def _choose(
    chosen: dict[tuple[nn.Sequential, int], nn.Module],
    place: tuple[nn.Sequential, int],
    tiles: Sequence[Tile],
    seconds: Timer,
    unit: SeparableConv2d,
    inputs: tuple[Tensor],
    output: Tensor,
) -> None:
    """Put the fastest kernel for a layer, if any is faster than the layer itself, where it belongs."""
    best = seconds(partial(unit.forward, *inputs))
    for tile in tiles:
        layer = FusedSeparableConv2d(unit, tile)
        try:
            if not agrees(layer(*inputs), output):
                continue
            time = seconds(partial(layer, *inputs))
        # Triton raises types of its own that share no base class, as where a tile does not fit the device's memory.
        except Exception as error:
            logger.info("a kernel of %s was refused: %s", tile, error)
            continue
        if time < best:
            best, chosen[place] = time, layer


def agrees(result: Tensor, expected: Tensor) -> bool:
    """Whether two outputs of a layer are equal but for rounding; never where one has no number."""
    difference, largest = (result - expected).abs().max(), expected.abs().max()
    return bool(difference <= TOLERANCES[expected.dtype] * largest)


def elapsed(call: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a call, after one that does not count."""
    times = []
    for _ in range(1 + ROUNDS):
        _synchronize(device)
        start = perf_counter()
        call()
        _synchronize(device)
        times.append(perf_counter() - start)
    return median(times[1:])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
