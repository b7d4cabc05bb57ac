"""Inference on a GPU, measured in one call: figures on stdout as they come, and in --out.

`timm_xception` at 299 px through this toolkit's own session - from 8-bit images in pinned memory to logits - and next
to it timm's own model with the same weights, eager and compiled, in interleaved rounds. Then the session's checks
against float32 on the CPU, the engine from JPEG files to labels, and other precisions. Each rate is compared with the
roofline: the least time that the network's arithmetic and memory traffic can take on a device whose rates are
measured in the same call.

    python -m benchmarks.gpu --minutes 5

It needs a GPU and torch built for it; timm and triton where they are. Nothing is fetched. What fails or finds no time
left says so and costs nothing else. Without a GPU, `--smoke` runs what a CPU can run of it on a tiny scale, which
proves the script and measures nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from benchmarks import device
from benchmarks.gpu_inference import correctness, files
from benchmarks.gpu_inference.scale import Scale, difference, full, smoke
from benchmarks.gpu_inference.table import page
from benchmarks.gpu_inference.ways import WAYS, Opened, Way
from benchmarks.roofline import Peak, kernels, seconds
from xception import machine
from xception.backends.base import InferPrecision

Row = dict[str, Any]

COMPARED = (
    "xception",
    "xception, one thread",
    "xception, graph alone",
    "timm, compiled",
    "timm, compiled, CUDA graph",
)
EXPERIMENTS = ("xception, graph alone", "xception, depthwise by Triton, wide")
ALONE = ("xception, not pinned", "xception, uncompiled", "timm, eager")
FIRST_CHECKS = 5
"""Checks that go on while other processes compile what is measured then; the others come when that is done."""

MAX_AHEAD_S = 70
"""Seconds after which the processes that compile ahead are no longer waited for."""

Ahead = tuple[str, subprocess.Popen[str], float]
"""A way that is compiled, its process, and when that began."""


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    device.need_gpu(smoke=arguments.smoke)
    scale = smoke() if arguments.smoke else full()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(tempfile.gettempdir()) / "xception-gpu"))
    if arguments.ahead:
        _compile_ahead(scale, *arguments.ahead.split(":"))
        return
    run = Measurement(scale, time.monotonic() + 60 * arguments.minutes, arguments.out)
    largest = max(scale.batches)
    run.step("environment", device.environment)
    compiling = [] if arguments.smoke else start_ahead(_plan(scale))
    checks = [(f"check, {name}", partial(check, scale)) for name, check in correctness.CHECKS.items()]
    for name, check in checks[:FIRST_CHECKS]:
        run.step(name, check)
    run.step("compiled ahead", partial(wait_for, compiling))
    run.step("peak", lambda: run.set_peak(measured_peak(scale)))
    for batch in reversed(scale.batches):
        run.compare(COMPARED, "bfloat16", batch)
    run.step("files", lambda: _files(scale))
    run.compare(EXPERIMENTS, "bfloat16", largest)
    for name, check in checks[FIRST_CHECKS:-1]:
        run.step(name, check)
    for way in ALONE:
        run.compare((way,), "bfloat16", largest)
    for precision in ("float16", "tf32", "float32"):
        run.compare(("xception", "timm, compiled"), precision, largest)
    for name, check in checks[-1:]:
        run.step(name, check)


class Measurement:
    """One call: what is left of its time, and what it found."""

    def __init__(self, scale: Scale, deadline: float, out: Path) -> None:
        self.scale, self.deadline, self.out = scale, deadline, out
        self.start, self.peak = time.monotonic(), Peak(1e12, 1e12)
        self.document: Row = {"steps": {}, "rows": []}

    def set_peak(self, peak: Peak) -> Row:
        self.peak = peak
        return peak._asdict()

    def step(self, name: str, work: Callable[[], Any]) -> None:
        """Do one thing, and say what came of it; whatever that is, the next thing follows."""
        began = time.monotonic()
        found: Any = "no time is left"
        if began < self.deadline:
            try:
                found = work()
            # The device's libraries raise what they please.
            except Exception:
                found = "FAILED: " + " | ".join(traceback.format_exc().strip().splitlines()[-6:])
        print(f"[{began - self.start:5.1f} s, {time.monotonic() - began:5.1f} s] {name}: {_text(found)}", flush=True)
        self.document["steps"][name] = found
        self._write()

    def compare(self, names: Sequence[str], precision: InferPrecision, batch: int) -> None:
        """Measure several ways in turn, round by round, so that what disturbs one disturbs all."""
        rows: list[Row] = []
        ways = f"{precision}, batch {batch}, {len(names)} ways"
        self.step(ways, lambda: rows.extend(self._rows(names, precision, batch)))
        for row in rows:
            print(_line(row), flush=True)
        self.document["rows"] += rows
        self._write()

    @torch.inference_mode()
    def _rows(self, names: Sequence[str], precision: InferPrecision, batch: int) -> Iterator[Row]:
        truth = self.scale.truth(self.scale.images(min(batch, 8)))
        with Opened() as stack:
            opened: dict[str, tuple[Way, Row]] = {}
            for name in names:
                row: Row = {"way": name, "precision": precision, "batch": batch}
                try:
                    began = time.monotonic()
                    way = WAYS[name](self.scale, precision, batch, stack)
                    row["logit_error"] = _error(way, truth)
                    row["prepared_s"] = time.monotonic() - began
                    opened[name] = way, row
                except Exception:
                    yield row | {"reason": " | ".join(traceback.format_exc().strip().splitlines()[-4:])}
            yield from self._timed(opened, batch)
        opened.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _timed(self, opened: dict[str, tuple[Way, Row]], batch: int) -> Iterator[Row]:
        times: dict[str, list[float]] = {name: [] for name in opened}
        repeats = {name: _repeats(way, self.scale) for name, (way, _) in opened.items()}
        for _ in range(self.scale.rounds):
            for name, (way, _) in opened.items():
                start = now()
                for _ in range(repeats[name]):
                    way.run()
                times[name].append((now() - start) / repeats[name] / way.images)
        itemsize = {"bfloat16": 2, "float16": 2}
        for name, (_, row) in opened.items():
            took = statistics.median(times[name])
            size = itemsize.get(row["precision"], 4)
            least = seconds(kernels(self.scale.spec, self.scale.px, batch, size), self.peak) / batch
            spread = (max(times[name]) - min(times[name])) / took
            rates = {"images_per_second": 1 / took, "ms": 1000 * took * batch}
            yield row | rates | {"spread": spread, "roofline": least / took}

    def _write(self) -> None:
        self.out.write_text(json.dumps(self.document, indent=1, default=str) + "\n", encoding="utf-8")
        self.out.with_suffix(".md").write_text(page(self.document), encoding="utf-8")


def _error(way: Way, truth: np.ndarray) -> float:
    answer = way.run()
    logits = answer.float().cpu().numpy() if isinstance(answer, torch.Tensor) else answer
    return difference(logits[: len(truth)], truth)


def _repeats(way: Way, scale: Scale) -> int:
    way.run()
    start = now()
    way.run()
    return max(1, round(scale.round_s / max(now() - start, 1e-6)))


def now() -> float:
    """Seconds, when all that was asked of the device is done."""
    device.wait()
    return time.perf_counter()


def measured_peak(scale: Scale) -> Peak:
    """The device's rates: arithmetic by a product of two large matrices, memory by a copy."""
    matrix = torch.randn((scale.matrix, scale.matrix), device=scale.device).to(torch.bfloat16)
    target = torch.empty_like(matrix)

    def least_s(work: Callable[[], object]) -> float:
        work()
        times = []
        for _ in range(10):
            start = now()
            work()
            times.append(now() - start)
        return min(times)

    product, copy = least_s(lambda: matrix @ matrix), least_s(lambda: target.copy_(matrix))
    return Peak(flops=2 * scale.matrix**3 / product, bytes=2 * matrix.nbytes / copy)


def _plan(scale: Scale) -> list[str]:
    """What is to be compiled, the most important first; ways that compile the same need it once."""
    ways = ("xception, graph alone", "timm, compiled")
    plan = [f"{way}:bfloat16:{batch}" for batch in reversed(scale.batches) for way in ways]
    return [*plan, f"{EXPERIMENTS[1]}:bfloat16:{max(scale.batches)}"]


def start_ahead(plan: Sequence[str]) -> list[Ahead]:
    """Compile several ways in processes of their own, which keep what they made in the cache on disk."""
    environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "2", "OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-m", "benchmarks.gpu", "--ahead")
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return [(case, subprocess.Popen([*command, case], env=environment, **pipes), time.monotonic()) for case in plan]


def wait_for(started: Sequence[Ahead]) -> str:
    """Wait until what was started is compiled; tells what of it failed."""
    told = []
    for case, process, began in started:
        try:
            _, errors = process.communicate(timeout=max(1.0, MAX_AHEAD_S - (time.monotonic() - began)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            told.append(f"{case} took too long")
            continue
        last = errors.strip().splitlines()[-1:] if process.returncode else []
        told.append(f"{case}{' FAILED: ' + last[0] if last else ''}")
    return "; ".join(told)


@torch.inference_mode()
def _compile_ahead(scale: Scale, way: str, precision: InferPrecision, batch: str) -> None:
    with Opened() as stack:
        WAYS[way](scale, precision, int(batch), stack).run()


def _files(scale: Scale) -> Row:
    row: Row = {}
    for prepared_by, processes in (("threads", 0), ("processes", machine.cores())):
        found, took = files.measured(scale, processes)
        print(f"    prepared by {prepared_by}")
        for line in files.lines(found, took):
            print("   ", line, flush=True)
        row[prepared_by] = {"seconds": took, "benchmark": msgspec.to_builtins(found)}
    return row


def _text(found: Any) -> str:
    text = found if isinstance(found, str) else json.dumps(found, default=str)
    return text if len(text) < 2000 else text[:2000] + " ..."


def _line(row: Row) -> str:
    head = f"    {row['way']:<38}{row['precision']:<10}{row['batch']:>5}"
    if "reason" in row:
        return f"{head}  {row['reason']}"
    return (
        f"{head}{row['images_per_second']:>10,.0f}/s{row['ms']:>9.3f} ms, spread {row['spread']:.1%}, roofline "
        f"{row['roofline']:.0%}, logits {row['logit_error']:.1e}, ready after {row['prepared_s']:.1f} s"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.5, help="when nothing further is begun")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--smoke", action="store_true", help="a tiny run, on a CPU")
    parser.add_argument("--ahead", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
