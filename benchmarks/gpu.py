"""Inference on a GPU, measured in one call of under ten minutes: a table on stdout, JSON in --out.

`timm_xception` at 299 px, bfloat16 and float16, batch 1 to 512, run in each of the ways that torch has - eagerly, in
channels_last, compiled, as a CUDA graph, with the fused kernel of `benchmarks.experiments` where it wins - and next to
it timm's own model with the same weights, where timm can be imported. Each figure is compared with the roofline: the
least time that the network's arithmetic and memory traffic, counted from its specification, can take on a device
whose arithmetic and memory rates are measured in the same call. All logits are compared with those in float32.

    python -m benchmarks.gpu

It needs a GPU, torch built for it, and triton, which comes with such a torch; nothing is fetched. Ways for which
something is missing, or no time is left, stay in the table with the reason. Without a GPU, `--smoke` runs what a CPU
can run of it on a tiny scale, which proves the script and measures nothing.
"""

import argparse
import json
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import device
from benchmarks.experiments.fused import fused
from benchmarks.roofline import Peak, kernels, seconds
from parity import seeded
from parity.command import fill
from parity.ours import seeded_tensors
from xception.arch.spec import Architecture
from xception.arch.variants import architecture
from xception.models.network import build

VARIANT = "timm_xception"
DTYPES = (torch.bfloat16, torch.float16)
BATCHES = (1, 8, 32, 128, 512)
ROUNDS = 7
ROUND_S = 0.05
"""A round repeats what is shorter than this, so that starting and waiting do not count."""
TOLERANCE = 0.05
"""Most that logits may differ from those in float32, in units of the largest: a few times what 8 bits leave over."""

Run = Callable[[], Tensor]
Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How much to measure, and on which device."""

    device: str
    spec: Architecture
    px: int
    batches: tuple[int, ...]
    rounds: int
    matrix: int
    """Side of the matrices by which the device's rates are measured."""


FULL = Scale("cuda", architecture(VARIANT), 299, BATCHES, ROUNDS, 8192)
SMOKE = Scale("cpu", architecture(VARIANT, num_classes=4, width=0.0625), 64, (1, 2), 1, 64)


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    device.need_gpu(smoke=arguments.smoke)
    scale = SMOKE if arguments.smoke else FULL
    deadline = time.monotonic() + 60 * arguments.minutes
    document: Row = {"environment": device.environment(), "rows": []}
    print(f"{'way':<37}{'dtype':<10}{'batch':>6}{'images/s':>10}{'spread':>8}{'ms':>9}{'roofline':>10}{'logits':>9}")
    for dtype in DTYPES:
        peak = measured_peak(scale, dtype)
        document[f"peak, {_name(dtype)}"] = peak._asdict()
        for row in rows(scale, dtype, peak, deadline):
            print(_line(row), flush=True)
            document["rows"].append(row)
            arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def rows(scale: Scale, dtype: torch.dtype, peak: Peak, deadline: float) -> Iterator[Row]:
    """A row for each way and batch; one that cannot run here says why instead."""
    expected = build(scale.spec, seeded_tensors(scale.spec)).eval()
    for name, way in WAYS.items():
        for batch in scale.batches:
            row = {"way": name, "dtype": _name(dtype), "batch": batch}
            if time.monotonic() > deadline:
                yield row | {"reason": "no time is left"}
                continue
            try:
                yield row | measured(way, expected, scale, dtype, batch, peak)
            except (ImportError, NotImplementedError, RuntimeError, torch.cuda.OutOfMemoryError) as error:
                yield row | {"reason": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}
            finally:
                torch.cuda.empty_cache()


@torch.inference_mode()
def measured(
    way: Callable[[Scale, Tensor], Run], expected: nn.Module, scale: Scale, dtype: torch.dtype, batch: int, peak: Peak
) -> Row:
    """The rate of a way, its distance to the roofline, and how far its logits are from those in float32."""
    images = torch.from_numpy(seeded.pixels(scale.px, scale.spec.in_channels, min(batch, 4)))
    pixels = images.repeat(-(-batch // len(images)), 1, 1, 1)[:batch].to(scale.device, dtype)
    run = way(scale, pixels)
    logits, truth = run()[: len(images)].float().cpu(), expected(images)[: min(batch, 4)]
    error = float((logits - truth).abs().max() / truth.abs().max())
    if not error <= TOLERANCE:
        raise RuntimeError(f"its logits differ by {error:.2g} of the largest")
    times = timed(run, scale)
    median = statistics.median(times)
    itemsize = torch.finfo(dtype).bits // 8
    least = {
        name: seconds(kernels(scale.spec, scale.px, batch, itemsize, fused=name == "fused"), peak)
        for name in ("layer by layer", "fused")
    }
    return {
        "images_per_second": batch / median,
        "spread": (max(times) - min(times)) / median,
        "seconds": median,
        "roofline_seconds": least,
        "logit_error": error,
    }


def timed(run: Run, scale: Scale) -> list[float]:
    """Seconds of one call, for each round."""
    run()
    start = _now()
    run()
    repeats = max(1, round(ROUND_S / max(_now() - start, 1e-6))) if scale.device == "cuda" else 1
    times = []
    for _ in range(scale.rounds):
        start = _now()
        for _ in range(repeats):
            run()
        times.append((_now() - start) / repeats)
    return times


def measured_peak(scale: Scale, dtype: torch.dtype) -> Peak:
    """The device's rates: arithmetic by a product of two large matrices, memory by a copy."""
    matrix = torch.ones((scale.matrix, scale.matrix), dtype=dtype, device=scale.device)
    target = torch.empty_like(matrix)
    product = statistics.median(timed(lambda: matrix @ matrix, scale))
    copy = statistics.median(timed(lambda: target.copy_(matrix), scale))
    return Peak(flops=2 * scale.matrix**3 / product, bytes=2 * matrix.nbytes / copy)


def eager(scale: Scale, pixels: Tensor) -> Run:
    return partial(_ours(scale, pixels), pixels)


def channels_last(scale: Scale, pixels: Tensor) -> partial[Tensor]:
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return partial(_ours(scale, pixels), pixels)


def compiled(scale: Scale, pixels: Tensor) -> Run:
    return _compiled(channels_last(scale, pixels))


def cuda_graph(scale: Scale, pixels: Tensor) -> Run:
    return _graph(channels_last(scale, pixels))


def fused_kernels(scale: Scale, pixels: Tensor) -> Run:
    _need_gpu()
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return partial(fused(_ours(scale, pixels), pixels), pixels)


def timm_channels_last(scale: Scale, pixels: Tensor) -> partial[Tensor]:
    from parity.upstreams.timm import build as build_timm

    _need_gpu()  # there is no small one for a CPU
    network = build_timm(Namespace(variant=VARIANT, output_stride=32, dtype="float32"))
    fill(network)
    module = network.module.to(scale.device, pixels.dtype, memory_format=torch.channels_last)  # type: ignore[attr-defined]
    return partial(module.eval(), pixels.contiguous(memory_format=torch.channels_last))


WAYS: dict[str, Callable[[Scale, Tensor], Run]] = {
    "xception, eager": eager,
    "xception, channels_last": channels_last,
    "xception, CUDA graph": cuda_graph,
    "xception, fused kernels": fused_kernels,
    "xception, fused kernels, CUDA graph": lambda scale, pixels: _graph(fused_kernels(scale, pixels)),
    "timm, channels_last": timm_channels_last,
    "timm, CUDA graph": lambda scale, pixels: _graph(timm_channels_last(scale, pixels)),
    "xception, compiled": compiled,
    "timm, compiled": lambda scale, pixels: _compiled(timm_channels_last(scale, pixels)),
}
"""What takes longest to prepare comes last."""


def _ours(scale: Scale, pixels: Tensor) -> Any:
    layout = torch.channels_last if pixels.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    network = build(scale.spec, seeded_tensors(scale.spec)).eval()
    return network.to(scale.device, pixels.dtype, memory_format=layout)  # type: ignore[call-overload]


def _compiled(run: partial[Tensor]) -> Run:
    _need_gpu()
    return partial(torch.compile(run.func), *run.args)


def _graph(run: Run) -> Run:
    """Record the kernels of a call, which then start at once; the output's memory is the same every time."""
    _need_gpu()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


def _need_gpu() -> None:
    if not torch.cuda.is_available():
        raise NotImplementedError("needs a GPU")


def _now() -> float:
    device.wait()
    return time.perf_counter()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _line(row: Row) -> str:
    head = f"{row['way']:<37}{row['dtype']:<10}{row['batch']:>6}"
    if "reason" in row:
        return f"{head}  {row['reason']}"
    least = row["roofline_seconds"]["fused" if "fused" in row["way"] else "layer by layer"]
    rate, spread, took = row["images_per_second"], row["spread"], row["seconds"]
    return f"{head}{rate:>10.0f}{spread:>8.1%}{1000 * took:>9.2f}{least / took:>10.1%}{row['logit_error']:>9.1e}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="when no further figure is begun")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--smoke", action="store_true", help="a tiny run, on a CPU")
    return parser.parse_args()


if __name__ == "__main__":
    main()
