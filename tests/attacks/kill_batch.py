"""Predict in shards under attack, and compare every byte with the result of one process that nobody disturbed.

    python -m tests.attacks.kill_batch --runs 50 [--seed N]

Two workers of a driver do the shards. At random moments a worker is killed, or the driver, or a worker's disk is full;
a driver that ended is begun again. All the time, whatever is to be seen in the folder is compared with what it is to
be. Prints one line per run; a difference, a file that could be seen in part, or more images that were read again than
a shard for each failure and worker, ends it with exit status 1.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter, sleep

from PIL.Image import Image

from tests.support.children import FULL, begin, command_of, ended, in_child, started_by
from tests.support.full_disk import fill_disk_at
from tests.support.reader import digits_bundle, reader_spec, reader_tensors
from tests.support.samples import labelled
from xception.backends.base import Compute
from xception.data.source import Item, Items, Source
from xception.data.store import LocalStore
from xception.pipeline.engine import Engine
from xception.tasks.batch import finish, missing_shards, predict_shards
from xception.tasks.plan import MANIFEST, PLAN, BatchPlan, make_plan, settle_plan
from xception.tasks.workers import Workers

IMAGES, DIFFERENT, IMAGES_PER_SHARD, WORKERS = 3000, 60, 100, 2
SHARDS = IMAGES // IMAGES_PER_SHARD

Load = Callable[[], bytes | Image]

SHARDS_OF_ATTACK = {"worker": 1, "driver": WORKERS, "full": WORKERS}
"""Shards that may have to be done again after an attack."""

MAX_ATTACKS = 3
"""On one run; then it is left in peace."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a worker needs to know of a run, and what befalls it."""

    bundle: Path
    log: Path
    """Takes a byte for each image that is read."""
    full_at: int | None = None
    """The flush at which the disk is full."""
    share: float = 0.0
    """The part of the file that it takes then."""
    careless: bool = False
    """Write the first rows by half under their name, and die: what a commit that is not atomic may leave."""

    def images(self) -> Items:
        """The images, of which one is broken, and which are counted when they are read."""
        drawn = [item.load for item in labelled(DIFFERENT, broken=(7,))]
        loads = [drawn[place % DIFFERENT if place % DIFFERENT != 7 or place == 7 else 8] for place in range(IMAGES)]
        items = [Item(f"{place:05d}", place % 10, self._counted(load)) for place, load in enumerate(loads)]
        return Items("pictures", tuple("0123456789"), tuple(items))

    def _counted(self, load: Load) -> Load:
        def counted() -> bytes | Image:
            with self.log.open("ab", buffering=0) as file:
                file.write(b".")
            return load()

        return counted

    @contextmanager
    def opened(self) -> Iterator[tuple[Engine, Source]]:
        """The model and the images, in a process that is attacked from within where that was asked for."""
        if self.full_at:
            fill_disk_at(self.full_at, self.share)
        if self.careless:
            LocalStore.put = _put_by_half  # type: ignore[assignment, method-assign]
        with Engine.open(self.bundle, compute=Compute(instances=1, threads=1)) as engine:
            yield engine, self.images()


def _put_by_half(store: LocalStore, name: str, content: bytes) -> None:
    (store.root / name).write_bytes(content[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def planned(engine: Engine, source: Source, store: LocalStore) -> BatchPlan:
    plan = make_plan(engine, source, table="jsonl", images_per_shard=IMAGES_PER_SHARD)
    settle_plan(store, plan)
    return plan


def predict_alone(work: Work, out: Path) -> None:
    store = LocalStore(out)
    with work.opened() as (engine, source):
        plan = planned(engine, source, store)
        predict_shards(engine, source, plan, store, plan.shards)
        finish(store, plan)


def drive(work: Work, out: Path) -> None:
    """Do what is missing by two workers."""
    peace, store = Work(bundle=work.bundle, log=work.log), LocalStore(out)
    with peace.opened() as (engine, source):
        plan = planned(engine, source, store)
    Workers(work.opened, plan, str(out), WORKERS, None).run(missing_shards(store, plan), lambda *_: None)
    finish(store, plan)


@dataclass
class Guard:
    """Compares whatever is to be seen in a folder with what it is to be."""

    folder: Path
    expected: dict[str, bytes]
    _known: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def look(self) -> int:
        """Compare what is new; returns how many shards are done.

        Raises:
            SystemExit: an object is to be seen that is not whole.
        """
        names = [name for name in _names(self.folder) if name in self.expected]
        for name in names:
            with suppress(FileNotFoundError):
                found = (self.folder / name).stat()
                state = (found.st_ino, found.st_size, found.st_mtime_ns)
                if self._known.get(name) != state and (self.folder / name).read_bytes() != self.expected[name]:
                    raise SystemExit(f"{self.folder / name} was seen in part")
                self._known[name] = state
        return sum(name.endswith(".json") for name in names if name not in (PLAN, MANIFEST))


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def workers_of(driver: int) -> list[int]:
    return [pid for pid in started_by(driver) if "spawn_main" in command_of(pid)]


def attack(kind: str, work: Work, guard: Guard, rng: random.Random) -> str:
    """Begin a driver, and let something befall it at a random moment; returns what came of it."""
    befallen = work
    if kind == "full":
        share = rng.choice((0.0, rng.random(), 1.0))
        befallen = replace(work, full_at=rng.randint(1, SHARDS), share=share)
    driver = begin(partial(drive, befallen, guard.folder))
    moment, pause_s, workers = rng.randrange(SHARDS), rng.uniform(0, 0.1), set[int]()
    has_struck = kind == "full"
    while not (done := os.waitid(os.P_PID, driver, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
        workers |= set(workers_of(driver))
        if guard.look() >= moment and not has_struck and workers:
            sleep(pause_s)
            victim = driver if kind == "driver" else rng.choice(workers_of(driver) or [driver])
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            has_struck = True
        sleep(0.002)
    assert done
    status = ended(driver)
    while any("spawn_main" in command_of(pid) for pid in workers):  # of a killed driver: they end with their shard
        guard.look()
        sleep(0.01)
    guard.look()
    if status not in (0, FULL, -signal.SIGKILL):
        raise SystemExit(f"{kind} ended {guard.folder} with the status {status}")
    return {0: "outlived", FULL: "found no room"}.get(status, "killed")


def survive(work: Work, guard: Guard, rng: random.Random) -> Counter[str]:
    """Attack one run several times, let it end in peace, and judge it."""
    attacks = [rng.choice(list(SHARDS_OF_ATTACK)) for _ in range(rng.randint(1, MAX_ATTACKS))]
    work.log.write_bytes(b"")
    events = Counter(f"{kind} {attack(kind, work, guard, rng)}" for kind in attacks)
    if in_child(partial(drive, work, guard.folder)) != 0:
        raise SystemExit(f"{guard.folder} cannot be finished")
    guard.look()
    judge(guard, work.log.stat().st_size, attacks)
    return events


def judge(guard: Guard, read: int, attacks: list[str]) -> None:
    """Compare what is left in the end.

    Raises:
        SystemExit: it differs from an undisturbed result, or too many images were read again.
    """
    found = {name: (guard.folder / name).read_bytes() for name in _names(guard.folder)}
    if found != guard.expected:
        strange = sorted(name for name in found.keys() | guard.expected if found.get(name) != guard.expected.get(name))
        raise SystemExit(f"{guard.folder} differs in {', '.join(strange[:5])}")
    # A shard over which two died is read once more, to find an image that kills.
    shards = sum(SHARDS_OF_ATTACK[kind] for kind in attacks) + len(attacks) // 2
    if read > IMAGES + shards * IMAGES_PER_SHARD:
        raise SystemExit(f"{guard.folder}: {read - IMAGES} images were read again after {', '.join(attacks)}")


def prepared(folder: Path) -> tuple[Work, dict[str, bytes]]:
    """A bundle and images, and the result of one process that nobody disturbed."""
    spec = reader_spec()
    work = Work(bundle=digits_bundle(folder / "reader", spec, reader_tensors(spec)).path, log=folder / "log")
    if in_child(partial(predict_alone, work, folder / "whole")) != 0:
        raise SystemExit("the undisturbed run failed")
    return work, {name: (folder / "whole" / name).read_bytes() for name in _names(folder / "whole")}


def besiege(folder: Path, runs: int, seed: int) -> Counter[str]:
    work, expected = prepared(folder)
    events: Counter[str] = Counter()
    for number in range(runs):
        begun, guard = perf_counter(), Guard(folder / f"run-{number}", expected)
        found = survive(work, guard, random.Random(f"{seed} {number}"))
        again = work.log.stat().st_size - IMAGES
        told = ", ".join(f"{count} {event}" for event, count in found.items())
        sys.stdout.write(
            f"run {number}: {told}; {again} of {IMAGES} images read again; {perf_counter() - begun:.0f} s\n"
        )
        sys.stdout.flush()
        shutil.rmtree(guard.folder)
        events += found
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-batch-") as name:
        events = besiege(Path(name), options.runs, options.seed)
    counts = ", ".join(f"{count} {event}" for event, count in events.most_common())
    sys.stdout.write(f"{options.runs} of {options.runs} runs equal to the last byte; {counts}\n")


if __name__ == "__main__":
    main()
