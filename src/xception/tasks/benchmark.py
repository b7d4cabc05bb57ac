"""How fast a bundle runs here: each stage alone on all workers, and all of them overlapping."""

import io
from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle, islice
from statistics import median
from time import perf_counter

import msgspec
import numpy as np
from PIL import Image

from xception.backends.base import BACKENDS, Logits, Session, run
from xception.bundle import Bundle
from xception.data.decode import loaded_image
from xception.data.source import Item, Items, Source
from xception.errors import DecodeError, InputError, UsageError
from xception.machine import fingerprint
from xception.metrics import softmax, top_k
from xception.pipeline.overlap import overlap
from xception.pipeline.stream import Scored, infer
from xception.preprocess import Preprocess

REPEATS = 5
"""Rounds that count, after one that does not."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Images a second: the median over the rounds, with the slowest and the fastest."""

    images_per_second: float
    low: float
    high: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size. Stage rates are of the stage alone with all workers or the runtime's threads."""

    batch: int
    backend: str
    precision: str
    images: int
    stages: dict[str, Rate]
    end_to_end: Rate
    latency_ms: float
    """Median time of one batch in the runtime."""
    bottleneck: str
    """The slowest stage."""
    bound_images_per_second: float
    """What the stages allow together, see `bound`."""
    efficiency: float
    """End to end over the bound; both have a spread."""


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """The result document. `skipped` images could not be read and are in no figure."""

    bundle: str
    data: str
    skipped: int
    runs: tuple[Run, ...]
    environment: dict[str, str | int]


def benchmark(
    bundle: Bundle,
    session: Session,
    source: Source,
    *,
    batches: tuple[int, ...] = (1, 8),
    images: int = 64,
    workers: int = 2,
) -> Benchmark:
    """Measure every batch size on `images` images of the source, repeated if it has fewer.

    Raises:
        UsageError: a batch size or count below one, or a batch that a graph of a fixed batch size cannot take.
        InputError: none of the images can be read.
    """
    if images < 1 or min(batches, default=0) < 1:
        raise UsageError("a benchmark needs at least one image and batch sizes of at least 1")
    fixed = session.batch_size
    if fixed and set(batches) != {fixed}:
        raise UsageError(f"{bundle.path} runs only at batch {fixed}; pass --batch {fixed}")
    wanted = tuple(islice(source, images))
    readable = tuple(item for item in wanted if _is_readable(item))
    if not readable:
        raise InputError(f"none of the images of {source.name} can be read; expected at least one")
    items = tuple(islice(cycle(readable), images))
    return Benchmark(
        bundle=str(bundle.path),
        data=source.name,
        skipped=len(wanted) - len(readable),
        runs=tuple(_run(bundle, session, items, batch, workers) for batch in batches),
        environment=fingerprint(BACKENDS[session.name].package, "pillow"),
    )


def bound(rates: Iterable[float]) -> float:
    """The most that stages of these rates can give when the same cores do all of them: work is conserved,
    so the times for one image add up. Each rate is that of the stage alone on all cores."""
    return 1 / sum(1 / rate for rate in rates)


def noise_source(preprocess: Preprocess, count: int = 32) -> Items:
    """JPEG files of smooth noise, a quarter larger than the input, for a benchmark without data; always the same."""
    rng = np.random.Generator(np.random.PCG64(0))
    height, width = preprocess.output_px or (299, 299)

    def encoded() -> bytes:
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((width * 5 // 4, height * 5 // 4), Image.Resampling.BICUBIC).save(file, "JPEG")
        return file.getvalue()

    files = [encoded() for _ in range(count)]
    return Items(
        "noise", (), tuple(Item(f"noise-{index:03d}", None, partial(bytes, file)) for index, file in enumerate(files))
    )


def _run(bundle: Bundle, session: Session, items: tuple[Item, ...], batch: int, workers: int) -> Run:
    preprocess = bundle.model.preprocess
    loaded = [item.load() for item in items]
    pixels = [preprocess(loaded_image(data)) for data in loaded]
    groups = [np.stack(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    logits = [row for group in groups for row in run(session, group, batch)]
    latencies: list[float] = []

    def run_infer() -> None:
        for group in groups:
            start = perf_counter()
            run(session, group, batch)
            latencies.append(perf_counter() - start)

    def run_all() -> None:
        for outcome in infer(items, preprocess, session, batch_size=batch, workers=workers):
            if isinstance(outcome, Scored):
                _postprocess(outcome.logits)

    stages: dict[str, Callable[[], None]] = {
        "read": lambda: _drain(overlap(items, lambda item: item.load(), workers=workers)),
        "preprocess": lambda: _drain(overlap(loaded, lambda data: preprocess(loaded_image(data)), workers=workers)),
        "infer": run_infer,
        "postprocess": lambda: _drain(map(_postprocess, logits)),
    }
    rates = _rates({**stages, "end_to_end": run_all}, len(items))
    end_to_end = rates.pop("end_to_end")
    most = bound(rate.images_per_second for rate in rates.values())
    return Run(
        batch=batch,
        backend=session.name,
        precision=bundle.model.precision,
        images=len(items),
        stages=rates,
        end_to_end=end_to_end,
        latency_ms=median(latencies) * 1000,
        bottleneck=min(rates, key=lambda stage: rates[stage].images_per_second),
        bound_images_per_second=most,
        efficiency=end_to_end.images_per_second / most,
    )


def _rates(work: dict[str, Callable[[], None]], images: int) -> dict[str, Rate]:
    """Time every piece of work in turn, round by round, so that a drifting machine hits all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(1 + REPEATS):
        for name, do in work.items():
            start = perf_counter()
            do()
            seconds[name].append(perf_counter() - start)
    return {name: _rate(times[1:], images) for name, times in seconds.items()}


def _rate(seconds: list[float], images: int) -> Rate:
    return Rate(images_per_second=images / median(seconds), low=images / max(seconds), high=images / min(seconds))


def _drain(results: Iterable[object]) -> None:
    for _ in results:
        pass


def _postprocess(logits: Logits) -> None:
    softmax(logits[None])
    top_k(logits[None], 5)


def _is_readable(item: Item) -> bool:
    try:
        loaded_image(item.load())
    except (DecodeError, OSError):
        return False
    return True
