"""Resident memory while many images are evaluated: `python benchmarks/evaluate_memory.py`.

The network is a narrow one that classifies at random, the pictures are made on demand. Writes a line at every tenth of
the images to stdout; from the second on, memory should stay where it is.
"""

import argparse
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from xception.backends.base import Compute
from xception.bundle import Bundle, Model, Network, write_bundle
from xception.data.source import Item, Source
from xception.data.sources import open_source
from xception.export.export import export_bundle
from xception.labels import Labels
from xception.models.network import build
from xception.pipeline.engine import Engine
from xception.preprocess import Preprocess, Squash
from xception.tasks.evaluate import evaluate
from xception.weights import weights_bytes

WIDTH = 0.25
PX = 32


class Metered:
    """A source that prints the process's memory as its items are taken."""

    def __init__(self, source: Source, lines: int = 10) -> None:
        self.name, self.classes = source.name, source.classes
        self._source = source
        self._every = max(1, len(source) // lines)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int, /) -> Item:
        return self._source[index]

    def __iter__(self) -> Iterator[Item]:
        start = perf_counter()
        for taken, item in enumerate(self._source):
            if taken and taken % self._every == 0:
                print(
                    f"{taken:>9,} {resident_bytes() / 1e6:>9.1f} {taken / (perf_counter() - start):>9.0f}", flush=True
                )
            yield item


def resident_bytes() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def narrow(folder: Path, num_classes: int) -> Bundle:
    """An ONNX bundle of a narrow network with its initial weights."""
    network = Network(variant="tiny_xception", num_classes=num_classes, in_channels=1, width=WIDTH)
    spec = network.architecture()
    preprocess = Preprocess(color="gray", resize=Squash(width_px=PX, height_px=PX), mean=(0.5,), std=(0.5,))
    model = Model(name="narrow", network=network, form="weights", precision="float32", preprocess=preprocess)
    labels = Labels(tuple(map(str, range(num_classes))))
    weights = write_bundle(
        folder / "weights", model, labels, {"weights.safetensors": weights_bytes(build(spec).tensors())}
    )
    return export_bundle(weights, "onnx", folder / "onnx")


def main() -> None:
    """Evaluate and print memory and rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=2, help="two classes also keep a score per image")
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    source = open_source(f"synthetic:{arguments.images},48x32,{arguments.classes}")
    with tempfile.TemporaryDirectory() as name:
        bundle = narrow(Path(name), arguments.classes)
        with Engine.open(bundle, compute=Compute(instances=1, threads=1), batch_size=arguments.batch) as engine:
            print(f"{'images':>9} {'RSS MB':>9} {'images/s':>9}")
            result = evaluate(engine, Metered(source))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{result.total:,} = {result.seen:,} seen + {result.failed:,} failed")
    print(f"at the end {resident_bytes() / 1e6:.1f} MB, at most {peak * 1024 / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
