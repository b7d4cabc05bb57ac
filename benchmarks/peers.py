"""This toolkit and its peers on one machine, in turn: `make peers ARGS="--photos FOLDER"`.

Every contender is a process with the same network and the same weights, which it proves by its logits before anything
is measured. In each round all of them, one after another, classify images for `--seconds` each: in the network by
itself at several batch sizes, and all the way from JPEG files in `--photos`, with a folder per class. A contender that
cannot be measured stays in the table with the reason. Every contender may use all cores.

timm and Keras run in environments of their own, which are made first where they are missing, with the packages of
`parity/environments/`: 4 GB to fetch and to keep. Compiling torch's code needs a C++ compiler. Writes a table and the
rates of every round to `--out`, `.md` and `.json`; `--smoke` measures next to nothing and proves the script.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np

from benchmarks.contenders.process import ROOT, Broken, Process
from benchmarks.contenders.serve import PROBES, PX
from benchmarks.contenders.table import CONTENDERS, GROUPS, Contender, members
from benchmarks.peers_table import markdown
from benchmarks.record import FOLDER, measured_on, save
from parity import seeded
from parity.environments import python_of
from parity.ours import logits, relative_difference, seeded_tensors
from xception.arch.variants import architecture
from xception.bundle import Model, Network, open_bundle, write_bundle
from xception.convert.defaults import default_labels, default_preprocess
from xception.data.folder import image_files
from xception.export.export import export_bundle
from xception.models.network import build
from xception.weights import read_weights, weights_bytes

VARIANTS = ("timm_xception", "keras_xception", "timm_xception41", "timm_xception65p")
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.1}
"""Relative differences of logits below which two networks are the same one: far above what rounding gives and far
below what any other network gives, about 1."""
MIN_BATCHES = 2
"""So that neither of two instances is idle."""
REST_S = 0.2
"""Between two contenders: the threads of the first one spin for a while before they sleep."""


@dataclass
class Row:
    """A contender and what is known of it: rates in images/s by measure, one per round, or the problem."""

    contender: Contender
    variant: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    """The rates of the round that warmed up."""
    logit_error: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    problem: str | None = None

    def document(self) -> dict[str, Any]:
        """The row as JSON has it."""
        facts = ("variant", "rates", "logit_error", "versions", "problem")
        contender = {"contender": self.contender.name, "precision": self.contender.precision}
        return contender | {"end_to_end_batch": self.contender.batch} | {name: getattr(self, name) for name in facts}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to measure: `seconds` of the network by itself, at least two batches, and of whole passes over `photos`.

    Contenders with a text of `skipped` in their names are left out. Where there are `file_batches`, nothing but the
    passes is measured, at each of these sizes in place of the contender's own."""

    batches: tuple[int, ...]
    seconds: float
    rounds: int
    photos: Path | None
    skipped: tuple[str, ...] = ()
    file_batches: tuple[int, ...] = ()

    def skips(self, contender: Contender) -> bool:
        return any(text in contender.name for text in self.skipped)

    @cached_property
    def photo_count(self) -> int:
        return len(image_files([self.photos])) if self.photos else 0

    def measures(self) -> dict[str, Callable[[Row], dict[str, Any] | None]]:
        """By name, the question to a contender; None where it has no part in it."""
        if self.file_batches:
            sizes = {f"end to end, batch {batch}": batch for batch in self.file_batches}
            return {name: partial(self._end_to_end, name, batch) for name, batch in sizes.items()}
        by_batch = {f"batch {batch}": partial(self._infer, batch) for batch in self.batches}
        return by_batch | ({"end to end": partial(self._end_to_end, "end to end", None)} if self.photos else {})

    def _infer(self, batch: int, row: Row) -> dict[str, Any] | None:
        if not row.contender.infers:
            return None
        pace = row.pace.get(f"batch {batch}")
        count = max(MIN_BATCHES, round(self.seconds * pace / batch)) if pace else 1
        return {"do": "infer", "batch": batch, "count": count}

    def _end_to_end(self, name: str, batch: int | None, row: Row) -> dict[str, Any] | None:
        size = batch or row.contender.batch
        if not row.contender.batch:
            return None
        passes = max(1, round(self.seconds * row.pace.get(name, 0) / self.photo_count))
        return {"do": "end_to_end", "photos": str(self.photos), "batch": size, "passes": passes}


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = _plan(arguments, folder)
        document = {
            **measured_on("torch"),
            "rounds": plan.rounds,
            "photos": plan.photo_count,
            "rows": [],
        }
        for variant in arguments.variants:
            bundles(variant, folder / variant)
            contenders = members(arguments.only) if arguments.only else CONTENDERS
            rows = measure(variant, contenders, plan, folder / variant, arguments.environments)
            document["rows"] += [row.document() for row in rows]
            save(arguments.out, document, markdown(document))
    print(markdown(document))


def bundles(variant: str, folder: Path, width: float = 1.0) -> None:
    """Write the seeded network as the bundles `weights`, `onnx` and `openvino`."""
    spec = architecture(variant, width=width)
    model = Model(
        name=f"{variant}.seeded",
        network=Network(variant=variant, num_classes=spec.num_classes, in_channels=spec.in_channels, width=width),
        form="weights",
        precision="float32",
        preprocess=default_preprocess(spec),
    )
    files = {"weights.safetensors": weights_bytes(seeded_tensors(spec))}
    weights = write_bundle(folder / "weights", model, default_labels(spec.num_classes), files)
    for form in ("onnx", "openvino"):
        export_bundle(weights, form, folder / form)


def measure(variant: str, contenders: Sequence[Contender], plan: Plan, folder: Path, environments: Path) -> list[Row]:
    """A row for each contender that has the network; `folder` holds what `bundles` made."""
    rows = [Row(contender, variant) for contender in contenders if variant.startswith(contender.variants)]
    expected = probe_logits(folder)
    with ExitStack() as stack:
        running = []
        for index, row in enumerate(rows):
            with _reported(row):
                if plan.skips(row.contender):
                    raise Broken("left out of this run")
                process = stack.enter_context(_start(row, folder, folder / f"{index}.log", environments))
                _recognize(row, process, expected)
                running.append((row, process))
        for number in range(1 + plan.rounds):
            _round(running, plan, counts=number > 0)
            print(f"{variant}: round {number} of {plan.rounds}", file=sys.stderr, flush=True)
    return rows


def probe_logits(folder: Path) -> np.ndarray:
    """What the network of the bundles answers to the probes, by torch in float32."""
    opened = open_bundle(folder / "weights")
    network = build(opened.model.network.architecture(), read_weights(opened.main_file))
    return logits(network, seeded.pixels(PX, batch=PROBES))


def _start(row: Row, folder: Path, log: Path, environments: Path) -> Process:
    contender = row.contender
    python = python_of(contender.environment, environments) if contender.environment else sys.executable
    command = [python, "-m", contender.module, "--variant", row.variant]
    return Process([*command, "--bundles", folder, *contender.options], log)


def _recognize(row: Row, process: Process, expected: np.ndarray) -> None:
    answer = process.ask("logits")
    row.versions = answer["versions"]
    row.logit_error = relative_difference(np.array(answer["logits"]), expected)
    if row.logit_error > TOLERANCES[row.contender.precision]:
        raise Broken(f"it runs another network: its logits differ by {row.logit_error:.2g} of the largest")


def _round(running: Sequence[tuple[Row, Process]], plan: Plan, *, counts: bool) -> None:
    """Every measure of every contender once; the first round, which warms up, does not count and is as short as can
    be."""
    for name, question_to in plan.measures().items():
        for row, process in running:
            question = question_to(row)
            if question is None or row.problem:
                continue
            with _reported(row):
                answer = process.ask(**question)
                rate = answer["images"] / answer["seconds"]
                if counts:
                    row.rates.setdefault(name, []).append(rate)
                else:
                    row.pace[name] = rate
            sleep(REST_S)


@contextmanager
def _reported(row: Row) -> Iterator[None]:
    """Where the block fails, the row has a problem."""
    try:
        yield
    except (Broken, subprocess.CalledProcessError) as error:
        row.problem = str(error)


def _plan(arguments: argparse.Namespace, folder: Path) -> Plan:
    photos = _sample(arguments.photos, arguments.images, folder / "photos") if arguments.photos else None
    skipped = tuple(arguments.skip)
    batches = (1,) if arguments.smoke else tuple(arguments.batches)
    file_batches = batches if arguments.only else ()
    if arguments.smoke:
        return Plan(batches=batches, seconds=0.0, rounds=1, photos=photos, skipped=skipped, file_batches=file_batches)
    return Plan(
        batches=batches,
        file_batches=file_batches,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        photos=photos,
        skipped=skipped,
    )


def _sample(photos: Path, count: int, folder: Path) -> Path:
    """A folder of `count` of the photos, evenly spread over their names."""
    files = sorted(path for path in photos.resolve().rglob("*") if path.is_file())
    for index in np.unique(np.linspace(0, len(files) - 1, count).round().astype(int)):
        link = folder / files[index].parent.name / files[index].name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(files[index])
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="JPEG files in folders; without it nothing is measured end to end")
    parser.add_argument("--images", type=int, default=64, help="how many of the photos")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measure of each contender in a round")
    parser.add_argument("--only", choices=GROUPS, help="these, and only from files to labels, at each of --batches")
    parser.add_argument("--skip", nargs="+", default=[], metavar="TEXT", help="not those with this in their names")
    parser.add_argument("--environments", type=Path, default=ROOT / ".parity", metavar="DIR")
    parser.add_argument("--out", type=Path, help="by default peers, or peers_GROUP, among the results")
    parser.add_argument("--smoke", action="store_true", help="one round, and as little of it as can be")
    arguments = parser.parse_args()
    if arguments.only and not arguments.photos:
        parser.error(f"--only {arguments.only} compares the way from files to labels; pass --photos")
    arguments.out = arguments.out or FOLDER / (f"peers_{arguments.only}" if arguments.only else "peers")
    return arguments


if __name__ == "__main__":
    main()
