"""The Triton kernel of `fused`: both convolutions of a separable one, with nothing written to memory in between."""

from functools import cache
from typing import Any, no_type_check

from xception.extras import require


def launch(grid: tuple[int, int], *arguments: Any, **constants: Any) -> None:
    """Run the kernel on the device of its arguments.

    Raises:
        MissingExtra: triton is not installed.
    """
    knobs = require("triton", "torch").knobs
    # The interpreter multiplies the bits of 16-bit numbers, so it gets the rounded numbers in 32 bits.
    separable_kernel()[grid](*arguments, WIDENED=knobs.runtime.interpret, **constants)


@cache
def separable_kernel() -> Any:
    """The kernel, for arguments as `FusedSeparableConv2d` gives them; its images lie as (N, H, W, C).

    Each program computes a tile of `PIXELS` x `OUTER` numbers of the output, `INNER` channels of the input at a time.

    Raises:
        MissingExtra: triton is not installed.
    """
    triton, tl = require("triton", "torch"), require("triton.language", "torch")

    @triton.jit
    @no_type_check
    def kernel(
        x: "Any", scale: "Any", shift: "Any", depthwise: "Any", depthwise_bias: "Any", pointwise: "Any",
        pointwise_bias: "Any", out: "Any", pixels: "Any", height: "Any", width: "Any", out_height: "Any",
        out_width: "Any", channels: "Any", out_channels: "Any", STRIDE: tl.constexpr, DILATION: tl.constexpr,
        SCALED: tl.constexpr, ACT_BEFORE: tl.constexpr, ACT_BETWEEN: tl.constexpr, ACT_AFTER: tl.constexpr,
        DOT: tl.constexpr, WIDENED: tl.constexpr, PIXELS: tl.constexpr, INNER: tl.constexpr, OUTER: tl.constexpr,
    ) -> None:  # fmt: skip
        # 64 bits: a large batch has more numbers than 32 bits count.
        pixel = (tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)).to(tl.int64)
        outer = tl.program_id(1) * OUTER + tl.arange(0, OUTER)
        image = pixel // (out_height * out_width)
        row, column = pixel // out_width % out_height, pixel % out_width
        total = tl.zeros((PIXELS, OUTER), tl.float32)
        for start in range(0, channels, INNER):
            inner = start + tl.arange(0, INNER)
            known = inner < channels
            filtered = tl.zeros((PIXELS, INNER), tl.float32) + tl.load(depthwise_bias + inner, known, 0.0)[None, :]
            for tap in tl.static_range(9):
                y = row * STRIDE + (tap // 3 - 1) * DILATION
                z = column * STRIDE + (tap % 3 - 1) * DILATION
                inside = (pixel < pixels) & (y >= 0) & (y < height) & (z >= 0) & (z < width)
                mask = inside[:, None] & known[None, :]
                place = ((image * height + y) * width + z)[:, None] * channels + inner[None, :]
                value = tl.load(x + place, mask, 0.0).to(tl.float32)
                if SCALED:
                    # What lies outside stays 0: the padding comes behind the norm.
                    value = value * tl.load(scale + inner, known, 0.0)[None, :]
                    value = tl.where(mask, value + tl.load(shift + inner, known, 0.0)[None, :], 0.0)
                if ACT_BEFORE:
                    value = tl.maximum(value, 0.0)
                filtered += value * tl.load(depthwise + tap * channels + inner, known, 0.0)[None, :]
            if ACT_BETWEEN:
                filtered = tl.maximum(filtered, 0.0)
            place = inner[:, None] * out_channels + outer[None, :]
            weights = tl.load(pointwise + place, known[:, None] & (outer < out_channels)[None, :], 0.0)
            filtered = filtered.to(weights.dtype)
            if WIDENED:
                filtered, weights = filtered.to(tl.float32), weights.to(tl.float32)
            total = tl.dot(filtered, weights, total, input_precision=DOT)
        total += tl.load(pointwise_bias + outer, outer < out_channels, 0.0)[None, :]
        if ACT_AFTER:
            total = tl.maximum(total, 0.0)
        place = pixel[:, None] * out_channels + outer[None, :]
        tl.store(
            out + place, total.to(out.dtype.element_ty), (pixel < pixels)[:, None] & (outer < out_channels)[None, :]
        )

    return kernel
