"""Kill what writes bundles and data at random moments, and look each time for the old or the new, whole, at its place.

    python -m tests.attacks.kill_writing --kills 200 [--writer NAME] [--seed N]

The writers share the kills: conversion, export and quantization, to a free place and over an older bundle in turn, and
the sorting of images, which goes on where it was killed. Half the kills come while files are being written. Prints one
line for each writer; a place that is empty, broken or cluttered ends it with exit status 1.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter, sleep

import torch

from tests.data.forms import tar_bytes
from tests.support.children import begin, ended
from tests.support.reader import digits_bundle, reader_spec, reader_tensors
from tests.support.samples import drawn_tensors, encoded, picture
from xception.arch.variants import architecture
from xception.bundle import Bundle, Model, Network, open_bundle, write_bundle
from xception.convert.conversion import convert_checkpoint
from xception.convert.naming import timm
from xception.convert.naming.rename import rename_back
from xception.data.digits import digits
from xception.data.prepare import prepare_imagenet
from xception.export.export import export_bundle
from xception.forms import FORMS
from xception.labels import Labels
from xception.outputs import PARTIAL
from xception.preprocess import Preprocess, Squash
from xception.quantize.quantize import quantize_bundle
from xception.weights import weights_bytes

IMAGES = 200
NETWORK = Network(variant="mini_xception", num_classes=10, in_channels=1)
GRAY = Preprocess(color="gray", resize=Squash(width_px=32, height_px=32), mean=(0.5,), std=(0.5,))

Writer = Callable[[Path], object]


def drawn_bundle(place: Path, seed: int) -> Bundle:
    model = Model(name=f"drawn {seed}", network=NETWORK, form="weights", precision="float32", preprocess=GRAY)
    files = {"weights.safetensors": weights_bytes(drawn_tensors(NETWORK.architecture(), seed))}
    return write_bundle(place, model, Labels(tuple("0123456789")), files)


def bundle_writers(folder: Path) -> Mapping[str, Writer]:
    spec = reader_spec()
    weights, graph = drawn_bundle(folder / "weights", 1), digits_bundle(folder / "graph", spec, reader_tensors(spec))
    calibration, checkpoint = digits("train"), folder / "model.safetensors"
    published = architecture("timm_xception41", num_classes=10, width=0.125)
    checkpoint.write_bytes(weights_bytes(rename_back(drawn_tensors(published), published, timm)))

    def convert(out: Path) -> object:
        return convert_checkpoint(checkpoint).write(out, overwrite=True)

    def export(out: Path) -> object:
        return export_bundle(weights, "onnx", out, overwrite=True)

    def quantize(out: Path) -> object:
        return quantize_bundle(graph, calibration, out, images=20, method="max", tolerance=0.9, overwrite=True)

    return {"convert": convert, "export": export, "quantize": quantize}


def content(place: Path) -> Mapping[str, str] | None:
    """Weights or graph of a bundle, after every byte of it was compared; None where there is nothing."""
    return hashes(open_bundle(place)) if place.exists() else None


def hashes(bundle: Bundle) -> Mapping[str, str]:
    # A record of a quantization tells how long it took, and so differs each time.
    return {name: bundle.model.files[name].sha256 for name in FORMS[bundle.model.form].files}


def kill(job: Callable[[], object], rng: random.Random, whole_s: float, is_writing: Callable[[], bool]) -> str:
    """Kill a job at any moment, or soon after it began to write."""
    child = begin(job)
    if rng.random() < 0.5:
        sleep(rng.uniform(0, whole_s))
    else:
        while not is_writing() and os.waitpid(child, os.WNOHANG)[0] == 0:
            sleep(0.0005)
        sleep(rng.uniform(0, 0.02))
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    try:
        return "killed" if ended(child) == -signal.SIGKILL else "finished before"
    except ChildProcessError:
        return "finished before"


def besiege_bundles(name: str, write: Writer, folder: Path, kills: int, rng: random.Random) -> Counter[str]:
    place, events = folder / name / "out", Counter[str]()
    place.parent.mkdir()
    start = perf_counter()
    write(place)
    new, whole_s = content(place), perf_counter() - start
    older = drawn_bundle(folder / name / "older", 2)
    for number in range(kills):
        before = None
        if number % 2:
            before = hashes(older)
            files = {older.main_file.name: older.main_file}
            write_bundle(place, older.model, older.labels, dict(files), overwrite=True)
        else:
            for path in sorted(place.rglob("*"), reverse=True):
                path.unlink()
            place.rmdir()
        clear(place)
        event = kill(partial(write, place), rng, whole_s, lambda: bool(list(place.parent.glob(f".out.*{PARTIAL}"))))
        found = content(place)
        if found not in (before, new):
            raise SystemExit(f"{name}: after kill {number} {place} holds neither the old nor the new")
        events[f"{event}, then the {'new' if found == new else 'old' if found else 'empty place'}"] += 1
        if found is None:
            write(place)
        clear(place)
    return events


def clear(place: Path) -> None:
    """Let the next writer of the place find what is left, and check that it leaves nothing."""
    kept = content(place)
    if kept is None:
        drawn_bundle(place, 3)
        for path in place.iterdir():
            path.unlink()
        place.rmdir()
    else:
        bundle = open_bundle(place)
        write_bundle(
            place,
            bundle.model,
            bundle.labels,
            {name: bundle.content(name) for name in bundle.model.files if name != "labels.txt"},
            overwrite=True,
        )
    if left := [path.name for path in place.parent.iterdir() if path.name.endswith(PARTIAL)]:
        raise SystemExit(f"{place.parent} was left with {left}")


def besiege_sorting(folder: Path, kills: int, rng: random.Random) -> Counter[str]:
    downloads, events = folder / "downloads", Counter[str]()
    downloads.mkdir()
    images = {f"ILSVRC2012_val_{n:08d}.JPEG": encoded(picture(seed=n), "JPEG") for n in range(1, IMAGES + 1)}
    (downloads / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes(images))
    (downloads / "val_label.txt").write_text("".join(f"{name} {n % 7}\n" for n, name in enumerate(images)))

    def sort(out: Path) -> object:
        return prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", out)

    start = perf_counter()
    sort(folder / "whole")
    whole_s, run = perf_counter() - start, 0
    for _ in range(kills):
        out = folder / f"sorted-{run}"
        events[kill(partial(sort, out), rng, whole_s, out.exists)] += 1
        for path in out.rglob("*.JPEG"):
            if path.read_bytes() != images[path.name]:
                raise SystemExit(f"data prepare: {path} is not the image that it should be")
        if rng.random() < 0.3:
            sort(out)
            if len(list(out.rglob("*"))) != len(list((folder / "whole").rglob("*"))):
                raise SystemExit(f"data prepare: {out} holds other files than an undisturbed run leaves")
            run += 1
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kill-writing-") as name:
        folder, each = Path(name), options.kills // 4
        for writer, write in bundle_writers(folder).items():
            tell(writer, besiege_bundles(writer, write, folder, each, random.Random(f"{writer} {options.seed}")))
        tell("data prepare", besiege_sorting(folder, each, random.Random(f"sort {options.seed}")))


def tell(writer: str, events: Counter[str]) -> None:
    sys.stdout.write(f"{writer}: {', '.join(f'{count} {event}' for event, count in events.most_common())}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
