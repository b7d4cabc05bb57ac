"""Predict under attack, again and again, and compare every byte with the result of one process that nobody disturbed.

    python -m tests.cluster.attack --runs 50 [--seed N]

Each run meets one or two failures at random moments: an actor killed, a node lost, the driver killed and begun again,
or a storage in which a fifth of all requests fails. Half the runs write to a folder, half to the storage. Prints one
line per run; a result that differs, or an object that anybody could see in part, ends it with exit status 1. The start
of the cluster is timed apart.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter

from tests.cluster.conftest import BUCKET, Data, Nodes, content, opened_door, opened_nodes, prepared, start, stored
from tests.support.faulty_storage import FaultyStorage

ATTACKS = ("actor", "node", "driver", "storage")
MAX_BEGINNINGS = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, opened_door() as door:
        data = prepared(Path(folder))
        began = perf_counter()
        with opened_nodes() as nodes:
            nodes.grow()
            print(f"the cluster started in {perf_counter() - began:.1f} s", flush=True)
            for number in range(arguments.runs):
                rng = random.Random(f"{arguments.seed} {number}")
                counts["wrong"] += not _attacked(number, rng, data, nodes, door, counts, Path(folder))
    print(", ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    return 1 if counts["wrong"] else 0


def _attacked(
    number: int, rng: random.Random, data: Data, nodes: Nodes, door: FaultyStorage, counts: Counter[str], folder: Path
) -> bool:
    """Run once under attack; tells whether the result is that of a run in peace."""
    name, attacks = f"run-{number}", rng.sample(ATTACKS, rng.choice((1, 1, 2)))
    to_storage = "storage" in attacks or rng.random() < 0.5
    out = f"s3://{BUCKET}/{name}" if to_storage else str(folder / name)
    nodes.grow()
    door.seed, door.rate = number, 0.2 if "storage" in attacks else 0.0
    began, waiting, beginnings = perf_counter(), [each for each in attacks if each != "storage"], 0
    while beginnings < MAX_BEGINNINGS:
        beginnings += 1
        run = start(data.bundle, data.images, out, "--ray", nodes.address)
        while waiting and _progress(run, rng.randint(1, 8)):
            attack = waiting.pop()
            counts[attack] += _strike(attack, run, nodes)
        if _status(run) == 0:
            break
    counts["storage"] += door.faults.total()
    door.faults.clear()
    door.rate = 0
    found = stored(name) if to_storage else content(folder / name)
    partial = [path for path, seen in door.versions.items() if path.endswith((".json", ".jsonl")) and len(seen) > 1]
    door.versions.clear()
    is_same = found == data.expected and not partial
    print(
        f"{name} to {'storage' if to_storage else 'folder'}: {' and '.join(attacks)}, {beginnings} beginnings, "
        f"{perf_counter() - began:.0f} s, {'the same bytes' if is_same else 'DIFFERS'}",
        flush=True,
    )
    return is_same


def _progress(run: "subprocess.Popen[str]", shards: int) -> bool:
    """Wait until some more shards are done; False if the run ends before."""
    assert run.stdout
    return all(run.stdout.readline().startswith("done") for _ in range(shards))


def _strike(attack: str, run: "subprocess.Popen[str]", nodes: Nodes) -> bool:
    if attack == "driver":
        run.kill()
        return True
    if attack == "node":
        nodes.lose_one()
        return True
    return nodes.kill_actor()


def _status(run: "subprocess.Popen[str]") -> int:
    run.communicate()
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
