"""The runtimes without this toolkit around them: a plain loop as a tutorial has it, and OpenVINO's benchmark_app.

They run the files of the bundles, so that toolkit and runtime compute the same graph. Options: `onnxruntime`;
`openvino` and a precision; `benchmark_app`, a performance hint and a precision.
"""

import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from benchmarks.contenders.serve import Contender, serve
from xception.backends.openvino_core import openvino_core
from xception.bundle import open_bundle

Forward = Callable[[np.ndarray], np.ndarray]

BENCHMARK_APP = "import sys; from openvino.tools.benchmark.main import main; sys.exit(main())"


class Loop:
    """Decode a batch, run it, decode the next; nothing overlaps."""

    def __init__(self, arguments: Namespace) -> None:
        runtime, *options = arguments.options
        self.packages = (runtime, "pillow")
        bundle = open_bundle(arguments.bundles / ("onnx" if runtime == "onnxruntime" else "openvino"))
        self.preprocess = bundle.model.preprocess
        self.logits = RUNTIMES[runtime](str(bundle.main_file), *options)

    def infer(self, pixels: np.ndarray, count: int) -> None:
        for _ in range(count):
            self.logits(pixels)

    def end_to_end(self, photos: Path, batch: int) -> int:
        files = sorted(path for path in photos.rglob("*") if path.is_file())
        for group in _batches(files, batch):
            pixels = np.stack([self.preprocess(Image.open(file)) for file in group])
            self.logits(pixels).argmax(1)
        return len(files)


class BenchmarkApp:
    """A program of its own, started for every round; it measures itself, after a warm-up."""

    packages = ("openvino",)

    def __init__(self, arguments: Namespace) -> None:
        self.hint, self.precision = arguments.options[1:]
        self.file = open_bundle(arguments.bundles / "openvino").main_file
        self.logits = _openvino(str(self.file), self.precision)

    def infer(self, pixels: np.ndarray, count: int) -> float:
        options = {"m": self.file, "hint": self.hint, "niter": count, "precision": self.precision}
        options |= {"shape": str([*pixels.shape]).replace(" ", ""), "cdir": self.file.parent / "cache"}
        words = [str(word) for key, value in options.items() for word in (f"-{key}", value)]
        done = subprocess.run([sys.executable, "-c", BENCHMARK_APP, *words], capture_output=True, text=True)
        rate = re.search(r"Throughput: +([\d.]+) FPS", done.stdout)
        if rate is None:
            raise RuntimeError(f"benchmark_app ended with status {done.returncode} and named no throughput")
        return count * len(pixels) / float(rate[1])


def _onnxruntime(file: str) -> Forward:
    session = onnxruntime.InferenceSession(file)
    (name,) = (port.name for port in session.get_inputs())
    return lambda pixels: session.run(None, {name: pixels})[0]


def _openvino(file: str, precision: str) -> Forward:
    compiled = openvino_core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return lambda pixels: compiled(pixels)[0]


RUNTIMES: dict[str, Callable[..., Forward]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}


def _batches(files: list[Path], size: int) -> Iterator[list[Path]]:
    return (files[start : start + size] for start in range(0, len(files), size))


def make(arguments: Namespace) -> Contender:
    return BenchmarkApp(arguments) if arguments.options[0] == "benchmark_app" else Loop(arguments)


if __name__ == "__main__":
    serve(make)
