"""Compiles the depthwise kernel for a GPU, which takes none; prints the registers of a thread and what it spills."""

import json
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks.experiments.separable import TILES
from benchmarks.experiments.separable_kernel import depthwise_kernel

POINTERS = {"source", "weight", "target"}


def main() -> None:
    found = {}
    for name, tile in TILES.items():
        flags = {"RELU": True, "PIXELS": tile.pixels, "CHANNELS": tile.channels, "ROWS": tile.rows}
        names = depthwise_kernel.arg_names
        kinds = {one: "constexpr" if one in flags else "*bf16" if one in POINTERS else "i32" for one in names}
        constants = {(names.index(one),): value for one, value in flags.items()}
        whole = {(names.index(one),): [["tt.divisibility", 16]] for one in POINTERS}
        source = ASTSource(fn=depthwise_kernel, signature=kinds, constexprs=constants, attrs=whole)
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": tile.warps})
        text = compiled.asm["ptx"]
        found[name] = {
            "cubin": len(compiled.asm["cubin"]),
            "wide loads": text.count("ld.global.v4") + text.count(".v4.b32"),
            "loads": text.count("ld.global"),
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
