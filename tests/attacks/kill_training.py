"""Train small networks under attack, resume them, and compare every bit with the run that nobody disturbed.

    python -m tests.attacks.kill_training --runs 100 [--first N] [--attack kill|full|damage] [--seed N]

`kill`: SIGKILL at random moments. `full`: the disk is full at a random moment of a random writing. `damage`: SIGKILL,
and then the newest checkpoint or the manifest is cut, emptied, changed or removed. State is saved after every step, so
that most attacks hit a writing. Prints one line per run and one per attack; a difference ends it with exit status 1.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter, sleep

import torch

import xception.train.saving
from tests.support.children import FULL, begin, ended, in_child
from tests.support.full_disk import fill_disk_at
from tests.support.samples import write_folder
from xception.data.augment import Augment
from xception.preprocess import Preprocess, Squash
from xception.train.checkpoint import INDEX
from xception.train.recipe import Recipe
from xception.train.result import BUNDLE
from xception.train.settings import DataSettings, ModelSettings, OptimSettings
from xception.train.trainer import train_network

MAX_ATTACKS = 4
"""On one run; then it is left in peace."""


def recipe(data: Path) -> Recipe:
    return Recipe(
        model=ModelSettings(variant="mini_xception", width=0.5, drop_rate=0.2),
        data=DataSettings(source=str(data)),
        preprocess=Preprocess(resize=Squash(width_px=24, height_px=24)),
        augment=Augment(rotate_degrees=5, flip=True),
        optim=OptimSettings(name="adamw", lr=0.01),
        epochs=4,
        batch_size=8,
    )


def train(settings: Recipe, out: Path, workers: int = 2) -> None:
    xception.train.saving.CHECKPOINT_EVERY_S = 0.0
    xception.train.saving.MAX_SAVING_SHARE = 1e9
    train_network(settings, out=out, resume=True, workers=workers)


def kill(settings: Recipe, out: Path, rng: random.Random, whole_s: float) -> str:
    child = begin(lambda: train(settings, out, rng.randint(1, 3)))
    sleep(rng.uniform(0, whole_s))
    os.kill(child, signal.SIGKILL)
    return "killed" if ended(child) == -signal.SIGKILL else "finished before"


def full(settings: Recipe, out: Path, rng: random.Random, whole_s: float) -> str:
    """Let the disk have room for a part of a file only, or for all of it but no longer for its name."""
    flush_number, share = rng.randint(1, 60), rng.choice((0.0, rng.random(), 1.0))

    def job() -> None:
        fill_disk_at(flush_number, share)
        train(settings, out)

    status = in_child(job)
    if status not in (0, FULL):
        raise SystemExit(f"a full disk ended {out} with the status {status}; expected {FULL}")
    return "found no room" if status == FULL else "finished before"


def damage(settings: Recipe, out: Path, rng: random.Random, whole_s: float) -> str:
    done = kill(settings, out, rng, whole_s)
    checkpoints = sorted(out.glob("checkpoint-*"))
    if len(checkpoints) < 2 or (out / BUNDLE).exists():
        return done
    victim = rng.choice((checkpoints[-1], checkpoints[-1], out / INDEX))
    content = bytearray(victim.read_bytes())
    match rng.choice(("cut", "empty", "change", "remove")):
        case "cut":
            victim.write_bytes(content[: rng.randrange(len(content))])
        case "empty":
            victim.write_bytes(b"")
        case "change":
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            victim.write_bytes(content)
        case "remove":
            victim.unlink()
    return "killed and damaged"


ATTACKS = {"kill": kill, "full": full, "damage": damage}


def weights(out: Path) -> bytes:
    return (out / BUNDLE / "weights.safetensors").read_bytes()


def survive(attack: str, settings: Recipe, out: Path, rng: random.Random, whole_s: float) -> Counter[str]:
    """Attack one run several times, and let it end in peace."""
    events: Counter[str] = Counter()
    for _ in range(rng.randint(1, MAX_ATTACKS)):
        events[ATTACKS[attack](settings, out, rng, whole_s)] += 1
    if in_child(lambda: train(settings, out)) != 0:
        raise SystemExit(f"{out} cannot be resumed")
    leftovers = [path.name for path in out.iterdir() if path.name.startswith(".")]
    if leftovers:
        raise SystemExit(f"{out} was left with {leftovers}")
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first run, which decides its attacks")
    parser.add_argument("--attack", choices=ATTACKS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kill-training-") as name:
        folder = Path(name)
        settings = recipe(write_folder(folder / "data", 8))
        start = perf_counter()
        if in_child(lambda: train(settings, folder / "whole")) != 0:
            raise SystemExit("the undisturbed run failed")
        whole_s = perf_counter() - start
        for attack in options.attack or ATTACKS:
            besiege(attack, settings, folder, options, whole_s)


def besiege(attack: str, settings: Recipe, folder: Path, options: argparse.Namespace, whole_s: float) -> None:
    start, expected, equal = perf_counter(), weights(folder / "whole"), 0
    events: Counter[str] = Counter()
    for run in range(options.first, options.first + options.runs):
        out = folder / f"{attack}-{run}"
        events += survive(attack, settings, out, random.Random(f"{attack} {options.seed} {run}"), whole_s)
        same = weights(out) == expected
        equal += same
        shutil.rmtree(out)
        sys.stdout.write(f"{attack} {run}: {'equal' if same else 'DIFFERENT'}\n")
        sys.stdout.flush()
    counts = ", ".join(f"{count} {event}" for event, count in events.most_common())
    took = perf_counter() - start
    sys.stdout.write(f"{attack}: {equal} of {options.runs} runs equal to the last bit in {took:.0f} s; {counts}\n")
    sys.stdout.flush()
    if equal < options.runs:
        sys.exit(1)


if __name__ == "__main__":
    main()
