"""Preparation of training batches on the cores of this machine: images per second, and batches bit by bit.

    python -m benchmarks.train_data
    python -m benchmarks.train_data --data 'cifar10-train-{000000..000008}.tar'

The batches are those of the `cifar10` recipe at 96 px. One thread and one or more worker processes prepare them in
turn, in several rounds, of which the figures are the median with the lowest and the highest. Without --data the images
are JPEG files of 32 px made here. Last it is shown that neither the number of workers nor the step that a run resumes
from changes a single bit.
"""

import argparse
import io
import statistics
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from benchmarks import record
from xception.data.sources import open_source
from xception.machine import cores
from xception.train.assembly import make_batches
from xception.train.batch_augment import Batch
from xception.train.batches import Batches
from xception.train.loader import prepared_batches
from xception.train.recipe import load_recipe

IMAGES, PX = 4096, 32
"""Images that are made where none are given, and their sides."""

Rates = dict[int, list[float]]
"""Images per second by the number of workers, 0 for a thread; one per round."""


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    with TemporaryDirectory() as folder:
        batches = open_batches(arguments.data or write_shard(Path(folder) / "images-000000.tar"))
        ways = [0, *range(1, cores() + 1)] if cores() <= 4 else [0, 1, 2, cores() // 2, cores() - 2]
        rates = measure(batches, ways, arguments.rounds, arguments.steps)
        table = as_table(rates)
        print(table, end="")
        same = same_bits(batches, ways)
    print(f"the same bits from every number of workers, resumed or not: {same}")
    if arguments.out:
        figures = {str(workers): row for workers, row in rates.items()}
        document = {**record.measured_on("torch", "pillow"), "images_per_second": figures, "same_bits": same}
        record.save(arguments.out, document, table)


def open_batches(data: str) -> Batches:
    """The batches of the recipe on images of 96 px."""
    changes = ("data.source='data'", "preprocess.resize={rule='squash', width_px=96, height_px=96}", "progressive=[]")
    return make_batches(load_recipe("cifar10", changes), open_source(data))


def write_shard(path: Path, images: int = IMAGES, px: int = PX, seed: int = 0) -> str:
    """Write noise as JPEG files of ten classes into a shard; returns its path."""
    rng = np.random.Generator(np.random.PCG64(seed))
    with tarfile.open(path, "w") as shard:
        for index in range(images):
            # Coarse noise compresses as photographs do.
            picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((px, px))
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=95)
            for suffix, content in (("jpg", file.getvalue()), ("cls", str(index % 10).encode())):
                member = tarfile.TarInfo(f"{index:06d}.{suffix}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return str(path)


def measure(batches: Batches, ways: Sequence[int], rounds: int, steps: int) -> Rates:
    """Images per second of each number of workers, in turn; the start of processes does not count."""
    rates: Rates = {workers: [] for workers in ways}
    for number in range(rounds):
        for workers in ways if number % 2 == 0 else reversed(ways):
            rates[workers].append(_rate(batches, workers, steps))
    return rates


def _rate(batches: Batches, workers: int, steps: int) -> float:
    ahead = 3 * max(1, workers)
    made = prepared_batches(batches, 0, ahead + steps * max(1, workers), workers)
    for _ in range(ahead):
        next(made)
    started = time.perf_counter()
    count = sum(len(batch.levels) for batch in made)
    return count / (time.perf_counter() - started)


def as_table(rates: Rates) -> str:
    """Rates, per core, and in each round as a multiple of that of one worker."""
    lines = ["| prepared by | images/s | per core | of one worker |", "| --- | ---: | ---: | ---: |"]
    for workers, row in rates.items():
        busy = min(max(1, workers), cores())
        ratios = [here / one for here, one in zip(row, rates[1], strict=True)]
        name = "a thread" if workers == 0 else "1 worker" if workers == 1 else f"{workers} workers"
        low, middle, high = min(row), statistics.median(row), max(row)
        lines.append(
            f"| {name} | {middle:,.0f} ({low:,.0f} to {high:,.0f}) | {middle / busy:,.0f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    return "\n".join(lines) + "\n"


def same_bits(batches: Batches, ways: Sequence[int], steps: int = 6) -> bool:
    """True if all ways give the same batches, from the first step and from one in the middle of an epoch."""
    expected = [batches(step) for step in range(steps)]
    found = [list(prepared_batches(batches, start, steps, workers)) for workers in ways for start in (0, steps // 2)]
    return all(_equal(one, other) for made in found for one, other in zip(made, expected[-len(made) :], strict=True))


def _equal(first: Batch, second: Batch) -> bool:
    pairs = ((first.levels, second.levels), (first.targets, second.targets))
    same_draws = torch.equal(*(_flat(batch) for batch in (first, second)))
    return same_draws and all(torch.equal(*pair) for pair in pairs)


def _flat(batch: Batch) -> torch.Tensor:
    """All that was drawn for a batch, in a row."""
    mirrored, rounds, erased, mixed = batch.draws
    drawn = [tensor for one in rounds for pair in one.values() for tensor in pair]
    drawn += [each for each in (mirrored, erased) if each is not None]
    drawn += [mixed.partner, torch.tensor([mixed.share, *(mixed.box or ())])] if mixed else []
    return torch.cat([torch.zeros(0, dtype=torch.float64), *(each.double().flatten() for each in drawn)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="tar shards or a folder of classes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="batches per worker and round")
    parser.add_argument("--out", type=Path, help="where the figures go, as OUT.json and OUT.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
