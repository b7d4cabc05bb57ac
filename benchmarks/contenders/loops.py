"""The runtimes in loops as an expert writes them by hand: Pillow threads prepare images while the runtime computes.

Options: `openvino` and a precision, or `onnxruntime`. Before it is measured, a loop tries its `settings` on some of the
photos and keeps the fastest.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import openvino
from PIL import Image

from benchmarks.contenders.serve import serve
from xception.backends.openvino_core import openvino_core
from xception.bundle import open_bundle
from xception.machine import cores

TRIED_PHOTOS, TRIED_BATCH = 24, 4
PILLOW_THREADS = (2, 3, 4)
TOP = 5


class Settings(NamedTuple):
    pillow_threads: int
    at_once: int
    """Inferences."""


class HandWritten:
    """Images are prepared one by one on threads of their own, put together into batches in their order, and given to
    the runtime, which always has the next ones at hand."""

    packages: tuple[str, ...]
    form: str
    most_at_once: tuple[int, ...]
    """Numbers of inferences at once that are tried."""

    def __init__(self, arguments: Namespace) -> None:
        self.bundle = open_bundle(arguments.bundles / self.form)
        self.preprocess = self.bundle.model.preprocess
        self.settings: Settings | None = None

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def classify(self, batches: Iterable[np.ndarray], settings: Settings) -> int:
        """Run them and rank the classes of every image; how many images there were."""
        raise NotImplementedError

    def end_to_end(self, photos: Path, batch: int) -> int:
        files = sorted(path for path in photos.rglob("*") if path.is_file())
        if self.settings is None:
            self.settings = self._fastest(files[:TRIED_PHOTOS])
        return self._run(files, batch, self.settings)

    def _fastest(self, files: Sequence[Path]) -> Settings:
        candidates = [Settings(threads, count) for threads in PILLOW_THREADS for count in self.most_at_once]
        self._run(files, TRIED_BATCH, candidates[0])
        return min(candidates, key=lambda settings: self._seconds(files, settings))

    def _seconds(self, files: Sequence[Path], settings: Settings) -> float:
        start = perf_counter()
        self._run(files, TRIED_BATCH, settings)
        return perf_counter() - start

    def _run(self, files: Sequence[Path], batch: int, settings: Settings) -> int:
        with ThreadPoolExecutor(settings.pillow_threads) as threads:
            return self.classify(_stacked(threads.map(self._pixels, files), batch), settings)

    def _pixels(self, file: Path) -> np.ndarray:
        with Image.open(file) as image:
            return self.preprocess(image)


class OpenVino(HandWritten):
    """`AsyncInferQueue` with the hint for throughput, compiled for each batch size."""

    packages, form = ("openvino", "pillow"), "openvino"
    most_at_once = (0, 2 * cores())
    """Requests: as many as OpenVINO finds right, or two per core, so that one always waits."""

    def __init__(self, arguments: Namespace) -> None:
        super().__init__(arguments)
        (self.precision,) = arguments.options[1:]
        self.compiled = cache(self._compiled)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return self.compiled(len(pixels))(pixels)[0]

    def classify(self, batches: Iterable[np.ndarray], settings: Settings) -> int:
        seen: list[int] = []
        queues: dict[int, Any] = {}

        def ranked(request: Any, batch: np.ndarray) -> None:
            _ranked(request.get_output_tensor().data)
            seen.append(len(batch))

        for batch in batches:
            if len(batch) not in queues:
                queues[len(batch)] = openvino.AsyncInferQueue(self.compiled(len(batch)), settings.at_once)
                queues[len(batch)].set_callback(ranked)
            # The request keeps the array, which OpenVINO reads where it is.
            queues[len(batch)].start_async(batch, batch, share_inputs=True)
        for queue in queues.values():
            queue.wait_all()
        return sum(seen)

    def _compiled(self, batch: int) -> Any:
        core = openvino_core()
        model = core.read_model(self.bundle.main_file)
        model.reshape([batch, *model.input(0).get_partial_shape()[1:]])
        hints = {"INFERENCE_PRECISION_HINT": self.precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        return core.compile_model(model, "CPU", hints)


class OnnxRuntime(HandWritten):
    """One session per kind of threads: one call at once on all cores, or one call per core."""

    packages, form = ("onnxruntime", "pillow"), "onnx"
    most_at_once = tuple(sorted({1, cores()}))

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return self._session(1).run(None, {self._input_name: pixels})[0]

    def classify(self, batches: Iterable[np.ndarray], settings: Settings) -> int:
        session = self._session(settings.at_once)

        def classified(batch: np.ndarray) -> int:
            return len(_ranked(session.run(None, {self._input_name: batch})[0]))

        with ThreadPoolExecutor(settings.at_once) as calls:
            return sum(calls.map(classified, batches))

    @cached_property
    def _input_name(self) -> str:
        return self._session(1).get_inputs()[0].name

    @cached_property
    def _session(self) -> Callable[[int], Any]:
        return cache(self._opened)

    def _opened(self, at_once: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, cores() // at_once)
        return onnxruntime.InferenceSession(self.bundle.main_file, options, providers=["CPUExecutionProvider"])


RUNTIMES: dict[str, type[HandWritten]] = {"openvino": OpenVino, "onnxruntime": OnnxRuntime}


def _stacked(images: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    while rows := list(islice(images, size)):
        yield np.stack(rows)


def _ranked(logits: np.ndarray) -> np.ndarray:
    """The likeliest classes (N, TOP), best first."""
    best = np.argpartition(-logits, TOP, axis=1)[:, :TOP]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(logits, best, 1), 1), 1)


def make(arguments: Namespace) -> HandWritten:
    return RUNTIMES[arguments.options[0]](arguments)


if __name__ == "__main__":
    serve(make)
