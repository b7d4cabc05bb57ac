"""The pipeline in front of a device that is simulated: does it deliver what the cores can decode?

    python -m benchmarks.simulated_device --photos FOLDER

A session that sleeps for as long as a GPU would compute, with two batches at once, takes 8-bit images from JPEG files
through the engine, on one core and on two, prepared by threads and by processes. In turn with it, as many threads as
cores do nothing but read, decode and resize the same files. The ratio of the rates to theirs tells what the pipeline
costs; `arrays` are the batches that it held in memory at most.
"""

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import process_time, sleep
from typing import Any

import numpy as np

from xception.arch.variants import architecture
from xception.backends.base import Logits, SessionFacts, empty_batch
from xception.convert.defaults import default_preprocess
from xception.data.folder import image_files
from xception.data.pixels import pixels
from xception.data.source import Item
from xception.pipeline import stream
from xception.pipeline.cores import Cores
from xception.pipeline.lane import Lane
from xception.pipeline.timing import interleaved
from xception.preprocess import Preprocess

INSTANCES = 2


class Device:
    """Takes 8-bit images, and answers zeros after the time that a GPU would need; its batches queue for it."""

    facts = SessionFacts(
        name="simulated",
        input_shape=(3, 299, 299),
        num_outputs=1000,
        input_values="image",
        instances=INSTANCES,
        threads=0,
    )

    def __init__(self, images_per_second: float) -> None:
        self._image_s = INSTANCES / images_per_second

    def __call__(self, pixels: np.ndarray, /) -> Logits:
        sleep(len(pixels) * self._image_s)
        return np.zeros((len(pixels), self.facts.num_outputs), np.float32)

    def close(self) -> None: ...


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    preprocess = default_preprocess(architecture("timm_xception"))
    items = tuple(islice(cycle(image_files([str(arguments.photos)])), arguments.images))
    usable = sorted(os.sched_getaffinity(0))
    for count in arguments.cores:
        os.sched_setaffinity(0, usable[:count])
        print(_lines(count, items, preprocess, arguments), flush=True)
        os.sched_setaffinity(0, usable)


def _lines(count: int, items: tuple[Item, ...], preprocess: Preprocess, arguments: argparse.Namespace) -> str:
    made: list[int] = []

    def counted(facts: SessionFacts, images: int, *rest: Any) -> np.ndarray:
        made.append(images)
        return empty_batch(facts, images, *rest)

    # The stream asks for its arrays here.
    vars(stream)["empty_batch"] = counted
    cores = {"threads": Cores(count), "processes": Cores(processes=count)}
    lanes = {name: Lane.of(Device(arguments.rate), preprocess, cores=of) for name, of in cores.items()}
    work: dict[str, Callable[[], float]] = {"decoding alone": lambda: _cpu_s(lambda: _decode(items, preprocess, count))}
    for name, lane in lanes.items():
        classify = partial(_classify, items, lane, arguments.batch, lane.cores.workers)
        work[name] = partial(_cpu_s, classify)
    rounds = interleaved(work, warmup=1, repeats=arguments.repeats)
    cores["processes"].close()
    rates = {name: [len(items) / one.seconds for one in found] for name, found in rounds.items()}
    cpu_ms = {name: 1000 * median(one.result for one in found) / len(items) for name, found in rounds.items()}
    arrays = len(made) // 2 // (1 + arguments.repeats)
    lines = [f"{count} cores, batch {arguments.batch}, {arrays} arrays of {max(made)} images"]
    for name, found in rates.items():
        ratios = [rate / alone for rate, alone in zip(found, rates["decoding alone"], strict=True)]
        lines.append(
            f"  {name}: {median(found):,.0f} images/s, ratio {median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}), {cpu_ms[name]:.2f} ms of this process' processor time per image"
        )
    return "\n".join(lines)


def _cpu_s(do: Callable[[], object]) -> float:
    start = process_time()
    do()
    return process_time() - start


def _decode(items: tuple[Item, ...], preprocess: Preprocess, threads: int) -> None:
    row = np.empty((3, 299, 299), np.uint8)

    def decoded(item: Item) -> None:
        row[...] = pixels(item.load(), preprocess)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(decoded, items):
            pass


def _classify(items: tuple[Item, ...], lane: Lane, batch: int, workers: int) -> None:
    for _ in stream.run_lanes([lane], items, batch, workers=workers):
        pass


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=9000.0, help="images/s of the device")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--images", type=int, default=2048, help="of one round; photos repeat")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
