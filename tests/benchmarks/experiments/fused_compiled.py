"""Compiles the kernel for a GPU, which takes none: the interpreter runs more than the compiler accepts."""

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks.experiments.fused_kernel import separable_kernel

FLAGS = {"STRIDE": 2, "DILATION": 1, "SCALED": True, "ACT_BEFORE": True, "ACT_BETWEEN": True, "ACT_AFTER": True}
TILE = {"DOT": "tf32", "WIDENED": False, "PIXELS": 16, "INNER": 16, "OUTER": 16}
HALVES = {"x", "pointwise", "out"}
FLOATS = {"scale", "shift", "depthwise", "depthwise_bias", "pointwise_bias"}


def kind(name: str) -> str:
    if name in FLAGS | TILE:
        return "constexpr"
    return "*bf16" if name in HALVES else "*fp32" if name in FLOATS else "i32"


def main() -> None:
    kernel = separable_kernel()
    source = ASTSource(
        fn=kernel,
        signature={name: kind(name) for name in kernel.arg_names},
        constexprs={(kernel.arg_names.index(name),): value for name, value in (FLAGS | TILE).items()},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    sys.stdout.write(str(len(compiled.asm["cubin"])))


if __name__ == "__main__":
    main()
