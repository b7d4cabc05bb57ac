"""A transfer learner's way on small sets of photos: one command that trains, its time, and figures of unseen images.

    python -m benchmarks.small_sets --data 'cifar10-train-{000000..000009}.tar' --start faces --work sets

The sets are made from CIFAR-10's training images: `ten` has ten classes of 40 images, `skewed` 400 and 20 of two
classes, `grouped` three classes of 120 in groups of six that stay whole, and `rare` 500 and 10 of two classes. Other
images of the same classes judge each of them. Each set is trained on by `xception train SET`, from random weights and
with `--from` of each --start. Of the time, the processors' seconds depend less on what else the machine does.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import record
from xception.data.source import Item, Source
from xception.data.sources import open_source

FIRST_UNSEEN = 2000
"""Place within its class of the first image that judges."""

UNSEEN_PER_CLASS = 400

GROUP_IMAGES = 6

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

SETS: Mapping[str, Mapping[str, int]] = {
    "ten": dict.fromkeys(CLASSES, 40),
    "skewed": {"airplane": 400, "frog": 20},
    "grouped": dict.fromkeys(("bird", "horse", "ship"), 120),
    "rare": {"cat": 500, "airplane": 10},
}
"""Images of each class."""

OPTIONS = {"grouped": ("--set", "data.hold_out.group_pattern='^[^/]+/(g[0-9]+)_'")}
"""Options of the command that a set needs."""


def main() -> None:
    """Make the sets, train, judge, print and write."""
    arguments = _arguments()
    write_sets(open_source(arguments.data), arguments.work, arguments.sets)
    rows = []
    for name in arguments.sets:
        for start in (None, *arguments.start):
            rows.append(trained(arguments.work / name, start, OPTIONS.get(name, ())))
            print(as_table(rows[-1:]), end="", flush=True)
    if arguments.out:
        record.save(arguments.out, {**record.measured_on("torch", "pillow"), "rows": rows}, as_table(rows))


def write_sets(source: Source, work: Path, names: Sequence[str]) -> None:
    """Write the images of each set, and next to them as `SET-unseen` those that judge."""
    places = dict.fromkeys(CLASSES, 0)
    for item in source:
        if item.class_index is None:
            continue
        label = source.classes[item.class_index]
        place = places[label]
        places[label] += 1
        for name in names:
            if path := _path(name, label, place):
                _write(item, work / path)


def _path(name: str, label: str, place: int) -> Path | None:
    """The place of a class's image of this number in a set; None if the set has no use for it."""
    count = SETS[name].get(label, 0)
    if place < count:
        group = f"g{place // GROUP_IMAGES:03d}_" if name == "grouped" else ""
        return Path(name, label, f"{group}{place:04d}.jpg")
    is_unseen = FIRST_UNSEEN <= place < FIRST_UNSEEN + UNSEEN_PER_CLASS
    return Path(f"{name}-unseen", label, f"{place:04d}.jpg") if count and is_unseen else None


def _write(item: Item, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = item.load()
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.save(path, quality=95)


def trained(folder: Path, start: str | None, options: Sequence[str]) -> dict[str, Any]:
    """Train on a set by one command; returns that command, its seconds, and the figures of the unseen images."""
    run = folder.with_name(f"{folder.name}-{Path(start).name if start else 'scratch'}-run")
    given = [str(folder), *(["--from", start] if start else []), *options]
    began, cpu_began = time.perf_counter(), _cpu_seconds()
    _xception("train", *given, "--out", str(run))
    seconds, cpu_seconds = time.perf_counter() - began, _cpu_seconds() - cpu_began
    result = json.loads(_xception("evaluate", str(run / "bundle"), f"{folder}-unseen", "--json"))
    command = ["xception", "train", folder.name, *given[1:]]
    figures = ("balanced_accuracy", "macro_f1", "roc_auc", "trained_on")
    return {
        "command": " ".join(command),
        "seconds": round(seconds),
        "cpu_seconds": round(cpu_seconds),
        "epochs": len((run / "log.jsonl").read_text(encoding="utf-8").splitlines()),
        "top1": result["top1"],
        "recall": {entry["label"]: entry["recall"] for entry in result["classes"]},
        **{figure: result[figure] for figure in figures},
    }


def _cpu_seconds() -> float:
    """Seconds of processor time of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _xception(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "xception", *arguments], check=True, stdout=subprocess.PIPE
    ).stdout.decode()


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row for each run: its command, top-1 with its interval, the recalls and the time."""
    return "".join(
        f"{line}\n" for line in ("| command | top-1 | recalls | time |", "| --- | ---: | --- | ---: |", *_lines(rows))
    )


def _lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        top1, recalls = row["top1"], row["recall"]
        low, *_, high = sorted(recalls.values())
        shown = [f"{label} {recall:.1%}" for label, recall in recalls.items()]
        words = ", ".join(shown) if len(shown) < 4 else f"{low:.1%} to {high:.1%}"
        accuracy = f"{top1['value']:.1%} ({top1['low']:.1%} to {top1['high']:.1%})"
        yield f"| `{row['command']}` | {accuracy} | {words} | {row['seconds']} s, {row['cpu_seconds']} s of CPU |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the shards or the folder of CIFAR-10's training images")
    parser.add_argument("--work", type=Path, required=True, help="where the sets and runs go")
    parser.add_argument("--start", action="append", default=[], help="a model to start from; may be repeated")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--out", type=Path, help="where the figures go, as OUT.json and OUT.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
