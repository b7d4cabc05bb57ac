"""The depthwise convolution of `benchmarks.experiments.separable`, which needs Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit  # type: ignore[untyped-decorator]
def depthwise_kernel(
    source,
    weight,
    target,
    height,
    width,
    eights,
    RELU: tl.constexpr,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """`ROWS` rows of `PIXELS` pixels of `CHANNELS` channels. Each row of the input is read once and adds to the three
    rows of the output around it."""
    channels = eights * 8  # so that the compiler knows that 16 bytes can be read at once
    image = tl.program_id(2).to(tl.int64)
    blocks = tl.cdiv(width, PIXELS)
    first = (tl.program_id(1) // blocks) * ROWS
    x = (tl.program_id(1) % blocks) * PIXELS + tl.arange(0, PIXELS)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    inside = c < channels
    w00 = tl.load(weight + 0 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    w01 = tl.load(weight + 1 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    w02 = tl.load(weight + 2 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    w10 = tl.load(weight + 3 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    w11 = tl.load(weight + 4 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    w12 = tl.load(weight + 5 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    w20 = tl.load(weight + 6 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    w21 = tl.load(weight + 7 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    w22 = tl.load(weight + 8 * channels + c, mask=inside, other=0.0).to(tl.float32)[None, :]
    plane = image * height * width * channels
    above = tl.zeros((PIXELS, CHANNELS), tl.float32)
    here = tl.zeros((PIXELS, CHANNELS), tl.float32)
    columns = (x < width)[:, None] & inside[None, :]
    left_columns = ((x >= 1) & (x <= width))[:, None] & inside[None, :]
    right_columns = (x + 1 < width)[:, None] & inside[None, :]
    for step in range(ROWS + 2):
        y = first + step - 1
        row = (y >= 0) & (y < height)
        place = source + plane + (y * width + x)[:, None] * channels + c[None, :]
        left = tl.load(place - channels, mask=left_columns & row, other=0.0).to(tl.float32)
        middle = tl.load(place, mask=columns & row, other=0.0).to(tl.float32)
        right = tl.load(place + channels, mask=right_columns & row, other=0.0).to(tl.float32)
        if RELU:
            left, middle, right = tl.maximum(left, 0.0), tl.maximum(middle, 0.0), tl.maximum(right, 0.0)
        done = above + left * w20 + middle * w21 + right * w22
        goes = (step >= 2) & (y - 1 < height)
        spot = target + plane + ((y - 1) * width + x)[:, None] * channels + c[None, :]
        tl.store(spot, done.to(target.dtype.element_ty), mask=columns & goes)
        above = here + left * w10 + middle * w11 + right * w12
        here = left * w00 + middle * w01 + right * w02


def launch(x: Tensor, weight: Tensor, relu: bool, pixels: int, channels: int, rows: int, warps: int) -> Tensor:
    """The convolution of maps that lie as (N, H, W, C), with C a multiple of 8."""
    count, depth, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    target = x.new_empty((count, height, width, depth)).permute(0, 3, 1, 2)
    grid = (triton.cdiv(depth, channels), triton.cdiv(height, rows) * triton.cdiv(width, pixels), count)
    depthwise_kernel[grid](
        x,
        weight,
        target,
        height,
        width,
        depth // 8,
        RELU=relu,
        PIXELS=pixels,
        CHANNELS=channels,
        ROWS=rows,
        num_warps=warps,
    )
    return target
