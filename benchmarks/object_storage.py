"""Predictions of images in an object storage beside those of the same files on this machine: images per second.

    python -m benchmarks.object_storage [--server moto] [--latency-ms 20] [--images 4096] [--rounds 5] [--out PLACE]

The storage is an S3 server in a process of its own on this machine, so that it shares the cores with the pipeline. A
storage on another machine does not: `quick` (see `object_server.py`) takes a quarter of a millisecond of processor time
per object; `moto` is the complete server that the tests have. Both ways open the data, read, decode and classify all of
them, in turn, in several rounds; the ratio is the median of the rounds' own, with the lowest and the highest. Processor
time is that of the pipeline's process and of the server's.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection, socket
from tempfile import TemporaryDirectory

import msgspec

from benchmarks import record
from benchmarks.train_data import write_shard
from tests.support.children import processor_s, started_by
from tests.support.reader import digits_bundle, reader_spec, reader_tensors
from xception.data.images import open_images
from xception.pipeline.engine import Engine

SHARDS, PX, BUCKET = 4, 224, "measured"

MOTO = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(port={port}, verbose=False)
server.start()
input()
"""

FORMS = {"tar shards": "{place}/images-{{000000..000003}}.tar", "files": "{place}/files"}
"""Forms of the data, as they are named below a place."""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One run over all images of a form, from opening them on."""

    images_per_s: float
    own_ms: float
    """Processor time of this process per image."""
    server_ms: float
    """Processor time of the server per image."""


Rounds = Mapping[str, Mapping[str, list[Round]]]
"""Rounds by form and place."""


def main() -> None:
    """Measure, print and write."""
    arguments = _arguments()
    with TemporaryDirectory() as made:
        folder = Path(made)
        bundle = digits_bundle(folder / "reader", reader_spec(), reader_tensors(reader_spec()))
        data = folder / BUCKET
        write_images(data, arguments.images)
        with storage(folder, arguments.server, arguments.latency_ms) as server, Engine.open(bundle) as engine:
            rounds = measure(engine, {"local": str(data), "storage": f"s3://{BUCKET}"}, arguments.rounds, server)
    table = as_table(rounds)
    print(table, end="")
    if arguments.out:
        document = {
            "server": arguments.server,
            "latency_ms": arguments.latency_ms,
            "rounds": msgspec.to_builtins(rounds),
        }
        record.save(arguments.out, {**record.measured_on("s3fs", "obstore", "pillow"), **document}, table)


@contextmanager
def storage(folder: Path, kind: str, latency_ms: float) -> Iterator[int]:
    """An S3 server in a process of its own, which the environment names, with the data; yields the process' id."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "name", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    granian = ("-m", "granian", "--interface", "asgi", "--port", str(port), "benchmarks.object_server:app")
    command = [sys.executable, *(("-c", MOTO.format(port=port)) if kind == "moto" else granian)]
    surroundings = os.environ | {"OBJECTS": str(folder), "LATENCY_MS": str(latency_ms)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=surroundings
    ) as server:
        _await(port, server)
        if kind == "moto":
            upload(folder / BUCKET)
        yield server.pid
        server.terminate()


def _await(port: int, server: "subprocess.Popen[bytes]") -> None:
    while server.poll() is None:
        with suppress(ConnectionRefusedError):
            create_connection(("127.0.0.1", port)).close()
            return
    raise SystemExit(f"the server ended with {server.returncode}")


def upload(folder: Path) -> None:
    """Put all files of a folder into the bucket of its name."""
    import boto3
    import fsspec

    boto3.client("s3").create_bucket(Bucket=folder.name)
    fsspec.filesystem("s3").put(f"{folder}/", f"s3://{folder.name}/", recursive=True)


def write_images(folder: Path, images: int) -> None:
    """Write images into shards, and an eighth of them into files of their own."""
    files = folder / "files"
    files.mkdir(parents=True)
    for number in range(SHARDS):
        shard = write_shard(folder / f"images-{number:06d}.tar", images // SHARDS, PX, seed=number)
        if number == 0:
            with tarfile.open(shard) as archive:
                members = [member for member in archive if member.name.endswith(".jpg")][: images // 8]
                for member in members:
                    image = archive.extractfile(member)
                    if image:
                        (files / member.name).write_bytes(image.read())


def measure(engine: Engine, places: Mapping[str, str], rounds: int, server: int) -> Rounds:
    """Runs over each form and place, in turn."""
    found: dict[str, dict[str, list[Round]]] = {form: {place: [] for place in places} for form in FORMS}
    for number in range(rounds):
        for form, pattern in FORMS.items():
            for name in list(places)[:: 1 if number % 2 == 0 else -1]:
                found[form][name].append(_round(engine, pattern.format(place=places[name]), server))
    return found


def _round(engine: Engine, data: str, server: int) -> Round:
    began_s, own_s, server_s = time.perf_counter(), time.process_time(), _processor_s(server)
    outcomes = list(engine.run(open_images([data])))
    failed = [outcome for outcome in outcomes if hasattr(outcome, "reason")]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(outcomes)} images failed, such as {failed[0]}")
    return Round(
        images_per_s=len(outcomes) / (time.perf_counter() - began_s),
        own_ms=1e3 * (time.process_time() - own_s) / len(outcomes),
        server_ms=1e3 * (_processor_s(server) - server_s) / len(outcomes),
    )


def _processor_s(server: int) -> float:
    return sum(map(processor_s, (server, *started_by(server))))


def as_table(rounds: Rounds) -> str:
    """Rates of both places, of the storage as a multiple of the local one's, and the processor time of each."""
    lines = [
        "| images in | local, images/s | object storage, images/s | ratio | processor time per image |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for form, row in rounds.items():
        ratios = [far.images_per_s / near.images_per_s for far, near in zip(row["storage"], row["local"], strict=True)]
        rates = [_spread([each.images_per_s for each in row[place]], "{:,.0f}".format) for place in row]
        own = {place: statistics.median(each.own_ms for each in row[place]) for place in row}
        served = statistics.median(each.server_ms for each in row["storage"])
        spent = f"{own['local']:.2f} ms local; {own['storage']:.2f} ms, and {served:.2f} ms of the server"
        lines.append(f"| {form} | {' | '.join(rates)} | {_spread(ratios, '{:.2f}'.format)} | {spent} |")
    return "\n".join(lines) + "\n"


def _spread(figures: list[float], shown: Callable[[float], str]) -> str:
    return f"{shown(statistics.median(figures))} ({shown(min(figures))} to {shown(max(figures))})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=("quick", "moto"), default="quick")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="time that an answer of the quick server takes")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where the figures go, as OUT.json and OUT.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
