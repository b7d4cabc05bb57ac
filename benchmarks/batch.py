"""Many images in shards: equal bytes of every way to run them, the cost of the commits, scaling, and memory.

    python -m benchmarks.batch [--part scaling] [--images 100000] [--rounds 5] [--listed 1000000]

Small JPEG files in tar files, and a narrow network, so that what is not the network counts. The ratios are of runs of
one round, whose order changes from round to round, since the machine may be busy; the time of a command's start is
measured and taken off, and work that takes little longer than it is refused.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from multiprocessing import active_children
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.support.reader import digits_bundle, reader_spec, reader_tensors
from tests.support.samples import encoded, picture
from xception.backends.base import Compute
from xception.data.source import Source
from xception.data.store import LocalStore
from xception.data.synthetic import pictures
from xception.machine import peak_memory_bytes
from xception.pipeline.engine import Engine
from xception.tasks.batch import finish, predict_shards
from xception.tasks.plan import make_plan, settle_plan
from xception.tasks.workers import Workers

DIFFERENT = 500
"""Pictures that are drawn; they come again under other names."""

IMAGES_PER_TAR = 5000

MAX_GROWTH_MIB = 40
"""Memory that a list a hundred times as long may take: less than the names of its images would."""


MIN_WORK_PER_START = 5
"""Work as a multiple of the start that is taken off its time. A start differs by a fifth from one time to the next,
which must change the work by a few percent at most."""


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


def command(*words: object) -> None:
    """Run a command on all cores."""
    run_at_once(started(words))


def started(words: Sequence[object], cores: str | None = None) -> "subprocess.Popen[bytes]":
    """A command, on some cores only if they are named."""
    alone = ["taskset", "-c", cores] if cores else []
    line = [*alone, sys.executable, "-m", "xception", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run_at_once(*commands: "subprocess.Popen[bytes]") -> None:
    """Wait for commands to end.

    Raises:
        SystemExit: one of them failed.
    """
    if failed := [one for one in commands if one.wait()]:
        raise SystemExit(f"a command ended with {failed[0].returncode}: {failed[0].args!r}")


def digest(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return sha256(
        "".join(f"{name} {sha256((folder / name).read_bytes()).hexdigest()}\n" for name in names).encode()
    ).hexdigest()


def one_worker(words: Sequence[object]) -> None:
    run_at_once(started([*words, "--workers", 1], "0"))


def two_workers(words: Sequence[object]) -> None:
    run_at_once(started([*words, "--workers", 2], "0-1"))


def two_commands(words: Sequence[object]) -> None:
    """Two commands with half of the images each, on a core each: they share nothing but the machine."""
    run_at_once(*(started([*words, "--shard", f"{share}/2"], str(share)) for share in range(2)))


WAYS_TO_SCALE = (one_worker, two_workers, two_commands)


def measure_scaling(bundle: Path, data: Path, folder: Path, rounds: int) -> None:
    """The rates of two workers on two cores, and of two commands on a core each, beside that of one worker on one core.

    Two commands show what the two cores give: they may share caches and memory with each other and with other machines.

    Raises:
        SystemExit: there is so little work that the start of the commands decides.
    """
    few = write_tars(folder / "few", 100)
    ratios: dict[str, list[float]] = {"two_workers": [], "two_commands": []}
    for number in range(rounds):
        first = number % len(WAYS_TO_SCALE)
        seconds = {
            way.__name__: work_s(
                run_s(way, ("predict", bundle, data, "--out", folder / f"scaling-{number}-{way.__name__}")),
                # As many shards as two workers, so that both have to start.
                run_s(
                    way,
                    (
                        "predict",
                        bundle,
                        few,
                        "--out",
                        folder / f"start-{number}-{way.__name__}",
                        "--images-per-shard",
                        50,
                    ),
                ),
            )
            for way in (*WAYS_TO_SCALE[first:], *WAYS_TO_SCALE[:first])
        }
        for name, found in ratios.items():
            found.append(seconds["one_worker"] / seconds[name])
    for name, found in ratios.items():
        said = ", ".join(f"{ratio:.2f}" for ratio in found)
        words = name.replace("_", " ")
        sys.stdout.write(f"{words} beside one worker on one core: {median(found):.2f} times as fast ({said})\n")


def run_s(way: Callable[[Sequence[object]], None], words: Sequence[object]) -> float:
    """Seconds that a way to run a command takes."""
    begun = perf_counter()
    way(words)
    return perf_counter() - begun


def work_s(whole_s: float, start_s: float) -> float:
    """The seconds of a command without those of its start.

    Raises:
        SystemExit: these are most of them.
    """
    work = whole_s - start_s
    if work < MIN_WORK_PER_START * start_s:
        raise SystemExit(
            f"the work took {work:.1f} s and the start {start_s:.1f} s, so that their ratio would say little; expected "
            f"{MIN_WORK_PER_START} times as much work as start: name more --images"
        )
    return work


def compare_ways(bundle: Path, data: Path, folder: Path) -> None:
    """The bytes of one process, of two workers, and of four commands with a share each."""
    base = ("predict", bundle, data, "--out")
    command(*base, folder / "one")
    command(*base, folder / "workers", "--workers", 2)
    for share in range(4):
        command(*base, folder / "shares", "--shard", f"{share}/4")
    command("predict", "--out", folder / "shares", "--finish")
    digests = {digest(folder / name) for name in ("one", "workers", "shares")}
    sys.stdout.write(f"ways to run that differ in a byte: {len(digests) - 1}\n")


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


@contextmanager
def opened_pictures(bundle: Path, images: int) -> Iterator[tuple[Engine, Source]]:
    with Engine.open(bundle, compute=Compute(instances=1, threads=1)) as engine:
        yield engine, pictures(images, 32, 32)


def print_memory(bundle: Path, images: int, out: Path) -> None:
    """Print the peaks in MiB of this process, a driver that plans `images` and has three shards done, and
    of its two workers."""
    opener, store = partial(opened_pictures, bundle, images), LocalStore(out)
    with opener() as (engine, source):
        plan = make_plan(engine, source, table="parquet")
        settle_plan(store, plan)
    peaks: dict[int | None, int] = {}

    def look(*_: object) -> None:
        peaks.update({child.pid: peak_memory_bytes(child.pid) or 0 for child in active_children() if child.pid})

    Workers(opener, plan, str(out), 2, None).run([0, len(plan.shards) // 2, len(plan.shards) - 1], look)
    sys.stdout.write(" ".join(str((peak or 0) // 2**20) for peak in (peak_memory_bytes(), *peaks.values())))


def measure_memory(bundle: Path, folder: Path, listed: int) -> None:
    """The most memory of a driver and of its workers, for a list of images and for one a hundred times as long.

    Raises:
        SystemExit: it grows with the list.
    """
    most = []
    for images in (listed // 100, listed):
        call = f"print_memory(Path({str(bundle)!r}), {images}, Path({str(folder / f'memory-{images}')!r}))"
        script = f"from pathlib import Path; from benchmarks.batch import print_memory; {call}"
        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
        driver, *workers = map(int, done.stdout.split())
        most.append((driver, max(workers)))
        sys.stdout.write(
            f"{images} listed images: driver {driver} MiB, workers {' and '.join(map(str, workers))} MiB\n"
        )
    require_flat(*most)


def require_flat(few: tuple[int, int], many: tuple[int, int]) -> None:
    """Refuse peaks in MiB, of a driver and of a worker, that grow with the list."""
    if any(after > before + MAX_GROWTH_MIB for before, after in zip(few, many, strict=True)):
        raise SystemExit(f"memory grows with the list of images: {few} MiB, then {many} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("memory", "cost", "scaling", "ways"), action="append", default=[])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--listed", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batch-") as name:
        folder = Path(name)
        spec = reader_spec()
        bundle = digits_bundle(folder / "bundle", spec, reader_tensors(spec))

        def is_asked(part: str) -> bool:
            return part in (options.part or [part])

        if is_asked("memory"):
            measure_memory(bundle.path, folder, options.listed)
        if is_asked("cost"):
            with Engine.open(bundle) as engine:
                measure_cost(engine, pictures(20_000, 32, 32), folder)
        if is_asked("scaling") or is_asked("ways"):
            data = write_tars(folder / "data", options.images)
        if is_asked("scaling"):
            measure_scaling(bundle.path, data, folder, options.rounds)
        if is_asked("ways"):
            compare_ways(bundle.path, data, folder)


if __name__ == "__main__":
    main()
