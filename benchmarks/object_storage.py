"""Predictions of images in an object storage beside those of the same files on this machine: images per second.

    python -m benchmarks.object_storage [--images 4096] [--rounds 5] [--out PLACE]

The storage is an S3 server in a process of its own on this machine, so that it shares its cores with the pipeline. Both
ways open the data, read, decode and classify all of them, in turn, in several rounds; the ratio is the median of the
rounds' own, with the lowest and the highest.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import record
from benchmarks.train_data import write_shard
from tests.support.reader import digits_bundle, reader_spec, reader_tensors
from xception.data.images import open_images
from xception.pipeline.engine import Engine

SHARDS, PX, BUCKET = 4, 224, "measured"

SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
input()
"""

FORMS = {"tar shards": "{place}/images-{{000000..000003}}.tar", "files": "{place}/files"}
"""Forms of the data, as they are named below a place."""

Rates = Mapping[str, Mapping[str, list[float]]]
"""Images per second by form and place; one per round."""


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    with TemporaryDirectory() as made, storage() as url:
        folder = Path(made)
        bundle = digits_bundle(folder / "reader", reader_spec(), reader_tensors(reader_spec()))
        write_images(folder / "data", arguments.images)
        upload(folder / "data", url)
        with Engine.open(bundle) as engine:
            rates = measure(engine, {"local": str(folder / "data"), "storage": url}, arguments.rounds)
    table = as_table(rates)
    print(table, end="")
    if arguments.out:
        record.save(arguments.out, {**record.measured_on("s3fs", "pillow"), "images_per_second": rates}, table)


@contextmanager
def storage() -> Iterator[str]:
    """An S3 server in a process of its own, which the environment names; the URL of a bucket there."""
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "name", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        host, port = (server.stdout or sys.stdin).readline().split()
        os.environ.update(keys, AWS_ENDPOINT_URL=f"http://{host}:{port}")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}"
        server.communicate("\n")


def write_images(folder: Path, images: int) -> None:
    """Write images into shards, and an eighth of them into files of their own."""
    folder.mkdir()
    for number in range(SHARDS):
        shard = write_shard(folder / f"images-{number:06d}.tar", images // SHARDS, PX, seed=number)
        if number == 0:
            with tarfile.open(shard) as archive:
                members = [member for member in archive if member.name.endswith(".jpg")][: images // 8]
                archive.extractall(folder / "files", members, filter="data")


def upload(folder: Path, url: str) -> None:
    import fsspec

    fsspec.filesystem("s3").put(f"{folder}/", f"{url}/", recursive=True)


def measure(engine: Engine, places: Mapping[str, str], rounds: int) -> Rates:
    """Images per second of each form and place, in turn."""
    rates: dict[str, dict[str, list[float]]] = {form: {place: [] for place in places} for form in FORMS}
    for number in range(rounds):
        for form, pattern in FORMS.items():
            for name in list(places)[:: 1 if number % 2 == 0 else -1]:
                rates[form][name].append(_rate(engine, pattern.format(place=places[name])))
    return rates


def _rate(engine: Engine, data: str) -> float:
    started = time.perf_counter()
    outcomes = list(engine.run(open_images([data])))
    failed = [outcome for outcome in outcomes if hasattr(outcome, "reason")]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(outcomes)} images failed, such as {failed[0]}")
    return len(outcomes) / (time.perf_counter() - started)


def as_table(rates: Rates) -> str:
    """Rates of both places, and of the storage as a multiple of the local one's."""
    lines = ["| images in | local, images/s | object storage, images/s | ratio |", "| --- | ---: | ---: | ---: |"]
    for form, row in rates.items():
        ratios = [far / near for far, near in zip(row["storage"], row["local"], strict=True)]
        cells = (*(_spread(row[place], "{:,.0f}".format) for place in ("local", "storage")),)
        lines.append(f"| {form} | {' | '.join(cells)} | {_spread(ratios, '{:.2f}'.format)} |")
    return "\n".join(lines) + "\n"


def _spread(figures: list[float], shown: Callable[[float], str]) -> str:
    return f"{shown(statistics.median(figures))} ({shown(min(figures))} to {shown(max(figures))})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where the figures go, as OUT.json and OUT.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
