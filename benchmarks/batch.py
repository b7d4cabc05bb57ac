"""Many images in shards: equal bytes of every way to run them, the cost of the commits, scaling, and memory.

    python -m benchmarks.batch [--images 100000] [--rounds 3] [--listed 1000000]

Small JPEG files in tar files, and a narrow network, so that what is not the network counts. The ratios are of runs of
one round, which takes turns, since the machine may be busy; the time of a command's start is measured and taken off.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.support.reader import digits_bundle, reader_spec, reader_tensors
from tests.support.samples import encoded, picture
from xception.data.source import Source
from xception.data.store import LocalStore
from xception.data.synthetic import pictures
from xception.pipeline.engine import Engine
from xception.tasks.batch import finish, predict_shards
from xception.tasks.plan import make_plan, settle_plan

DIFFERENT = 500
"""Pictures that are drawn; they come again under other names."""

IMAGES_PER_TAR = 5000


def write_tars(folder: Path, images: int) -> Path:
    folder.mkdir()
    files = [encoded(picture(32, 32, seed), "JPEG") for seed in range(DIFFERENT)]
    for first in range(0, images, IMAGES_PER_TAR):
        with tarfile.open(folder / f"part-{first // IMAGES_PER_TAR:05d}.tar", "w") as tar:
            for number in range(first, min(first + IMAGES_PER_TAR, images)):
                member = tarfile.TarInfo(f"{number:08d}.jpg")
                member.size = len(files[number % DIFFERENT])
                tar.addfile(member, io.BytesIO(files[number % DIFFERENT]))
    return folder


def command(*words: object, cores: str | None = None) -> float:
    """Seconds that a command takes, on some cores only if they are named."""
    alone = ["taskset", "-c", cores] if cores else []
    begun = perf_counter()
    subprocess.run([*alone, sys.executable, "-m", "xception", *map(str, words)], check=True, capture_output=True)
    return perf_counter() - begun


def digest(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return sha256(
        "".join(f"{name} {sha256((folder / name).read_bytes()).hexdigest()}\n" for name in names).encode()
    ).hexdigest()


def compare_ways(bundle: Path, data: Path, folder: Path, rounds: int) -> None:
    """The bytes of all ways to run, and the rate of two workers beside that of one on one core."""
    ratios, digests = [], set()
    few = write_tars(folder / "few", 100)
    for number in range(rounds):
        place = folder / f"round-{number}"
        base = ("predict", bundle, data, "--out")
        one = command(*base, place / "one-core", "--workers", 1, cores="0") - command(
            "predict", bundle, few, "--out", place / "few-1", "--workers", 1, cores="0"
        )
        two = command(*base, place / "workers", "--workers", 2) - command(
            "predict", bundle, few, "--images-per-shard", 50, "--out", place / "few-2", "--workers", 2
        )
        ratios.append(one / two)
        digests |= {digest(place / "one-core"), digest(place / "workers")}
    for share in range(4):
        command("predict", bundle, data, "--out", folder / "shares", "--shard", f"{share}/4")
    command("predict", "--out", folder / "shares", "--finish")
    command("predict", bundle, data, "--out", folder / "one")
    digests |= {digest(folder / "shares"), digest(folder / "one")}
    sys.stdout.write(f"ways to run that differ in a byte: {len(digests) - 1}\n")
    said = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    sys.stdout.write(f"two workers beside one on one core: {median(ratios):.2f} times as fast ({said})\n")


def measure_cost(engine: Engine, source: Source, folder: Path) -> None:
    """The share of plan, marks, commits and manifest in a run of 1,000 images a shard."""
    store, spent = LocalStore(folder / "cost"), 0.0

    class Timed(LocalStore):
        def create(self, name: str, content: bytes) -> bool:
            return timed(super().create, name, content)

        def put(self, name: str, content: bytes) -> None:
            timed(super().put, name, content)

        def remove(self, name: str) -> None:
            timed(super().remove, name)

        def read(self, name: str) -> bytes:
            return timed(super().read, name)

    def timed(call, *arguments):
        nonlocal spent
        begun = perf_counter()
        try:
            return call(*arguments)
        finally:
            spent += perf_counter() - begun

    store, whole = Timed(folder / "cost"), perf_counter()
    begun = perf_counter()
    plan = make_plan(engine, source, table="parquet")
    planning = perf_counter() - begun
    settle_plan(store, plan)
    predict_shards(engine, source, plan, store, plan.shards)
    begun, before = perf_counter(), spent
    finish(store, plan)
    ending, spent = perf_counter() - begun, before
    whole = perf_counter() - whole
    fixed = planning + spent + ending
    sys.stdout.write(
        f"plan {planning:.2f} s, marks and commits {spent:.2f} s, manifest {ending:.2f} s: {fixed / whole:.2%} of "
        f"{whole:.1f} s for {len(source)} images\n"
    )


MEMORY = """
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from xception.bundle import open_bundle
from xception.data.store import LocalStore
from xception.data.synthetic import pictures
from xception.machine import peak_memory_bytes
from xception.pipeline.engine import Engine
from xception.tasks.plan import make_plan, settle_plan
from xception.tasks.shard import predict_shard

bundle, images, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
with Engine.open(bundle) as engine:
    source = pictures(images, 32, 32)
    plan, store = make_plan(engine, source, table="parquet"), LocalStore(out)
    settle_plan(store, plan)
    for shard in (0, len(plan.shards) // 2, len(plan.shards) - 1):
        predict_shard(engine, source, plan, shard, store)
print(peak_memory_bytes() // 2**20, len(store.read("plan.json")))
"""


def measure_memory(bundle: Path, folder: Path, listed: int) -> None:
    """The peak memory of a process that plans so many images and does three shards of them."""
    for images in (listed // 100, listed):
        words = [sys.executable, "-c", MEMORY, str(bundle), str(images), str(folder / f"memory-{images}")]
        mib, size = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        sys.stdout.write(f"{images} listed images: {mib} MiB, a plan of {size} bytes\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--listed", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batch-") as name:
        folder = Path(name)
        spec = reader_spec()
        bundle = digits_bundle(folder / "bundle", spec, reader_tensors(spec))
        measure_memory(bundle.path, folder, options.listed)
        with Engine.open(bundle) as engine:
            measure_cost(engine, pictures(20_000, 32, 32), folder)
        compare_ways(bundle.path, write_tars(folder / "data", options.images), folder, options.rounds)


if __name__ == "__main__":
    main()
