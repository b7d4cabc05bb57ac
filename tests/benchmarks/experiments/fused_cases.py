"""Runs the kernel in Triton's interpreter, which has to be chosen before triton is imported; prints what differs."""

import json
import sys
from dataclasses import replace
from itertools import product

import torch

from benchmarks.experiments.fused import FusedSeparableConv2d, Tile, fused
from xception.arch.spec import Norm, SeparableConv
from xception.arch.variants import architecture
from xception.models.layers import SeparableConv2d
from xception.models.network import build

TILE = Tile(32, 16, 32)
PLAIN = SeparableConv(in_channels=24, out_channels=40)
SLOTS = (
    {"before": "act", "between": "none", "after": "norm"},
    {"before": "act", "between": "norm", "after": "norm"},
    {"before": "norm_act", "between": "none", "after": "none"},
    {"before": "none", "between": "norm_act", "after": "norm_act"},
)
SHAPES = (
    {"stride": 1, "dilation": 1, "size": (5, 5)},
    {"stride": 2, "dilation": 1, "size": (7, 4)},
    {"stride": 1, "dilation": 2, "size": (3, 8)},
    {"stride": 2, "dilation": 1, "size": (1, 6)},
)
"""Two images of these heights and widths."""


def randomized(module: torch.nn.Module) -> torch.nn.Module:
    """The module in inference with batch statistics that are not those of an identity."""
    for name, buffer in module.named_buffers():
        if buffer.ndim:
            buffer.uniform_(0.5, 1.5) if name.endswith("var") else buffer.uniform_(-0.5, 0.5)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.data.uniform_(-1.0, 1.0)
    return module.eval()


def difference(unit: SeparableConv2d, pixels: torch.Tensor) -> float:
    expected, result = unit(pixels), FusedSeparableConv2d(unit, TILE)(pixels)
    return float((result - expected).abs().max() / expected.abs().max())


def differences(dtype: torch.dtype) -> dict[str, float]:
    found = {}
    for slots, shape in product(SLOTS, SHAPES):
        if dtype != torch.float32 and shape is not SHAPES[1]:
            continue
        spec = replace(PLAIN, stride=shape["stride"], dilation=shape["dilation"], **slots)
        unit = randomized(SeparableConv2d(spec, Norm(epsilon=1e-3, momentum=0.1))).to(dtype)
        found[f"{slots} {shape}"] = difference(unit, torch.randn(2, 24, *shape["size"]).to(dtype))
    return found


def whole_network() -> dict[str, float]:
    """How far a network is from itself with all kernels that there can be, of which each seems faster than the last."""
    network = randomized(build(architecture("tiny_xception", width=0.25)))
    pixels = torch.randn(1, network.spec.in_channels, 21, 18)
    times = iter(range(1000, 0, -1))
    ours = fused(network, pixels, tiles=[TILE], seconds=lambda call: next(times))
    layers = sum(isinstance(layer, FusedSeparableConv2d) for layer in ours.modules())
    expected = network(pixels)
    return {"layers": layers, "difference": float((ours(pixels) - expected).abs().max() / expected.abs().max())}


def main() -> None:
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        found = {str(dtype): differences(dtype) for dtype in (torch.float32, torch.float16, torch.bfloat16)}
        found["network"] = whole_network()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
