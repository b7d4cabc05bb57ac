"""Mutate what is not a checkpoint - descriptions, recipes, data, images, graphs - and see that each is used or refused.

    python -m tests.fuzz.fuzz_inputs --cases 10000 [--target NAME] [--seed N]

Prints one line per target. A case that ends in anything but a result or an error of this package or of the system, that
ends the process, or that takes longer or more memory than it may, ends the run; its bytes are in the file named first.
"""

import argparse
import io
import logging
import os
import random
import resource
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from unittest import mock

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.fuzz_readers import Tally, guarded, mutate, report
from tests.fuzz.litert_trials import forked_trials
from tests.support.samples import CLASSES, drawn_tensors, encoded, picture
from xception.backends import trial
from xception.backends.base import open_session
from xception.bundle import MANIFEST, Bundle, Graph, Model, Network, open_bundle, write_bundle
from xception.data.decode import decode
from xception.data.sources import open_source
from xception.errors import XceptionError
from xception.export.litert import litert_files
from xception.export.onnx import onnx_files
from xception.export.openvino import openvino_files
from xception.export.program import program
from xception.forms import Form
from xception.labels import Labels, read_labels
from xception.preprocess import CenterCrop, Preprocess, ShorterSide
from xception.train.manifest import DataFacts, PartFacts, RunManifest, manifest_at
from xception.train.recipe import CONTINUING, load_recipe, shipped

PX = 32
MEMORY_BYTES = 2 << 30
"""Address space that a case may take more than is in use: a runtime asks for much of it at its first call."""

Samples = Callable[[], tuple[bytes, ...]]
Attempt = Callable[[bytes, Path], object]


class Target(NamedTuple):
    """Files to mutate, and the use that is made of one in a folder of its own."""

    samples: Samples
    attempt: Attempt


def network() -> Network:
    return Network(variant="mini_xception", num_classes=len(CLASSES), in_channels=3, width=0.1)


@cache
def graph_files(form: Form) -> dict[str, bytes]:
    """The files of a narrow network in one form."""
    spec = network().architecture()
    layout = "nhwc" if form == "litert" else "nchw"
    made = program(spec, drawn_tensors(spec), preprocess(), layout=layout)
    write = {"onnx": onnx_files, "openvino": openvino_files, "litert": litert_files}[form]
    files = write(made)
    return {name: content if isinstance(content, bytes) else content.read_bytes() for name, content in files.items()}


def preprocess() -> Preprocess:
    return Preprocess(resize=ShorterSide(px=36), crop=CenterCrop(width_px=PX, height_px=PX))


def bundle(folder: Path, form: Form, files: dict[str, bytes]) -> Bundle:
    shape = (None, 3, PX, PX)
    layout = "nhwc" if form == "litert" else "nchw"
    graph = Graph(input_name="pixels", input_shape=shape, output_name="logits", input_layout=layout)
    model = Model(name="x", network=network(), form=form, precision="float32", preprocess=preprocess(), graph=graph)
    return write_bundle(folder / form, model, Labels(CLASSES), files, overwrite=True)


def description() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        made = bundle(Path(folder), "onnx", graph_files("onnx"))
        return ((made.path / MANIFEST).read_bytes(),)


def open_described(data: bytes, folder: Path) -> None:
    place = folder / "described"
    if not place.exists():
        bundle(folder, "onnx", graph_files("onnx")).path.rename(place)
    (place / MANIFEST).write_bytes(data)
    open_bundle(place, verify=False)


def run_graph(form: Form, name: str) -> Attempt:
    def attempt(data: bytes, folder: Path) -> None:
        opened = bundle(folder, form, graph_files(form) | {name: data})
        session = open_session(opened)
        session(np.zeros((1, 3, PX, PX), np.float32))
        session.close()

    return attempt


def recipes() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for name, path in shipped().items() if name not in CONTINUING)


def open_recipe(data: bytes, folder: Path) -> None:
    (folder / "r.toml").write_bytes(data)
    load_recipe(folder / "r.toml")


def run_files() -> tuple[bytes, ...]:
    recipe = load_recipe("digits")
    part = PartFacts(name="digits", images=3, classes=2, fingerprint="0" * 64)
    parts = {"training_part": part, "validation_part": part}
    data = DataFacts(source="digits", validation=None, hold_out=recipe.data.hold_out, **parts)
    facts = {"environment": {"python": "3"}, "device": "cpu", "processes": 1, "threads": 1}
    return (msgspec.json.encode(RunManifest(recipe=recipe, recipe_digest="0" * 64, data=data, **facts)),)


def open_run(data: bytes, folder: Path) -> None:
    (folder / "run.json").write_bytes(data)
    manifest_at(str(folder / "run.json"))


def images() -> tuple[bytes, ...]:
    formats = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "ICO", "TGA", "PCX", "SGI", "DDS")
    return tuple(encoded(picture(24, 20), name) for name in formats)


def zips() -> tuple[bytes, ...]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for index, name in enumerate(CLASSES[:3]):
                archive.writestr(f"{name}/{index}.png", encoded(picture(8, 8, seed=index)))
        made.append(file.getvalue())
    return tuple(made)


def parquets() -> tuple[bytes, ...]:
    made = []
    for compression in ("none", "snappy", "zstd"):
        pictures = [encoded(picture(8, 8, seed=index)) for index in range(4)]
        table = pa.table({"image": [{"bytes": one, "path": "x"} for one in pictures], "label": [0, 1, 2, None]})
        file = io.BytesIO()
        pq.write_table(table, file, compression=compression, row_group_size=2)
        made.append(file.getvalue())
    return tuple(made)


def tars() -> tuple[bytes, ...]:
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for index in range(3):
            for name, content in ((f"{index}.png", encoded(picture(8, 8, seed=index))), (f"{index}.cls", b"1")):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return (file.getvalue(),)


def read_data(name: str) -> Attempt:
    def attempt(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        for item in open_source(str(folder / name)):
            try:
                loaded = item.load()
            except (XceptionError, OSError):
                continue
            if isinstance(loaded, bytes):
                decoded(loaded)

    return attempt


def decoded(data: bytes) -> None:
    try:
        decode(data)
    except XceptionError:
        return


def list_files() -> tuple[bytes, ...]:
    return (b"a.png 0\nb c.png 1\n\xc3\xa4.png 12\n",)


def read_list(data: bytes, folder: Path) -> None:
    (folder / "a.png").write_bytes(encoded(picture(8, 8)))
    read_data("list.txt")(data, folder)


def open_labels(data: bytes, folder: Path) -> None:
    (folder / "labels.txt").write_bytes(data)
    read_labels(folder / "labels.txt")


def one_file(form: Form, name: str) -> Target:
    return Target(lambda: (graph_files(form)[name],), run_graph(form, name))


TARGETS = {
    "model_json": Target(description, open_described),
    "recipe": Target(recipes, open_recipe),
    "run_json": Target(run_files, open_run),
    "labels": Target(lambda: (b"n01\tant\nn02\tbee\n", "käse\n日本\n".encode()), open_labels),
    "list": Target(list_files, read_list),
    "image": Target(images, lambda data, _: decode(data)),
    "zip": Target(zips, read_data("a.zip")),
    "tar": Target(tars, read_data("a.tar")),
    "parquet": Target(parquets, read_data("a.parquet")),
    "onnx": one_file("onnx", "model.onnx"),
    "openvino_xml": one_file("openvino", "model.xml"),
    "litert": one_file("litert", "model.tflite"),
}


def case(target: str, samples: tuple[bytes, ...], seed: int, number: int) -> bytes:
    rng = random.Random(zlib.crc32(f"{target} {seed} {number}".encode()))
    return mutate(rng.choice(samples), rng)


def fuzz(target: str, numbers: Iterable[int], seed: int, folder: Path) -> Tally:
    """Use the cases with these numbers; the file `current` in `folder` holds the one that is in use.

    Raises:
        BaseException: whatever a case raised that is neither the package's nor the system's.
    """
    samples, attempt = TARGETS[target].samples(), TARGETS[target].attempt
    tally, place = Tally(), folder / target
    place.mkdir(exist_ok=True)
    for number in numbers:
        data = case(target, samples, seed, number)
        (folder / "current").write_bytes(data)  # kept if the process ends
        reason, start = None, perf_counter()
        with guarded(folder / "failed", data):
            try:
                attempt(data, place)
            except (XceptionError, OSError) as error:
                reason = str(error)
        tally.add(reason and reason.replace(str(place), ""), perf_counter() - start)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print("target                cases  rejected  accepted  reasons  seconds slowest_ms  peak_mb")
    folder = Path(tempfile.mkdtemp())
    print(f"whatever fails is kept in {folder}", file=sys.stderr)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # what is remembered of mutated files is of no use to anybody
    with forked_trials() as exit_status, mock.patch.object(trial, "exit_status", exit_status):
        for target in [options.target] if options.target else TARGETS:
            fuzz(target, range(20), options.seed + 1, folder)  # imports what it needs, and its threads
            in_use_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (in_use_bytes + MEMORY_BYTES, hard))
            print(report(target, fuzz(target, range(options.cases), options.seed, folder)), flush=True)
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


if __name__ == "__main__":
    main()
