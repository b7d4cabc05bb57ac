"""From JPEG files to labels on a device: the engine's rate, and what it is bound by."""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from benchmarks.gpu_inference.scale import Scale, drawn
from xception import machine
from xception.backends.base import Compute
from xception.bundle import Bundle, Model, Network, write_bundle
from xception.data.folder import image_files
from xception.labels import Labels
from xception.pipeline.engine import Engine
from xception.speed.benchmark import Benchmark, benchmark
from xception.weights import weights_bytes

SIZE_PX = (500, 375)
BATCHES = (64, 128)
REPEATS = 3


def measured(scale: Scale, processes: int) -> tuple[Benchmark, float]:
    """What `xception benchmark` measures of photographs that threads prepare, or processes, and the seconds that it
    took."""
    batches = BATCHES if scale.device != "cpu" else (2,)
    with tempfile.TemporaryDirectory() as folder:
        photos = _photos(Path(folder) / "photos", scale.photos)
        bundle = _bundle(Path(folder) / "bundle", scale)
        start = perf_counter()
        compute = Compute(device=scale.device, precision="bfloat16")
        with Engine.open(bundle, compute=compute, processes=processes) as engine:
            source = image_files([str(photos)])
            found = benchmark(engine, source, batches=batches, images=scale.photos, repeats=REPEATS)
        return found, perf_counter() - start


def lines(found: Benchmark, seconds: float) -> list[str]:
    """The figures as text."""
    cores = machine.cores()
    told = [f"benchmark took {seconds:.1f} s, {found.instances} at once, {found.workers} workers"]
    for run in found.runs:
        stages = ", ".join(
            f"{name} {stage.images_per_second:,.0f}/s (busy {stage.busy:.0%}, waiting {stage.waiting:.0%})"
            for name, stage in run.stages.items()
        )
        rate = run.end_to_end
        told.append(
            f"batch {run.batch}: {rate.images_per_second:,.0f} images/s [{rate.low:,.0f}, {rate.high:,.0f}] from files "
            f"on {cores} cores; {stages}; bound {run.bound_images_per_second:,.0f} ({run.bound_by}), "
            f"bottleneck {run.bottleneck}"
        )
    return told


def _photos(folder: Path, count: int) -> Path:
    """Photographs as far as a decoder can tell: smooth colours with fine noise, 500 x 375 px."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize(SIZE_PX, Image.Resampling.BICUBIC)
        noise = rng.normal(0, 8, (SIZE_PX[1], SIZE_PX[0], 1))
        noisy = (np.asarray(coarse, np.float32) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{index:04d}.jpg", quality=90)
    return folder


def _bundle(folder: Path, scale: Scale) -> Bundle:
    spec = scale.spec
    classes, channels = spec.head.num_classes, spec.in_channels
    network = Network(variant=spec.name, num_classes=classes, in_channels=channels, width=scale.width)
    model = Model(name="measured", network=network, form="weights", precision="float32", preprocess=scale.preprocess)
    labels = Labels(tuple(f"class {index}" for index in range(spec.head.num_classes)))
    return write_bundle(folder, model, labels, {"weights.safetensors": weights_bytes(drawn(spec))})
