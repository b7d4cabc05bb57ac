"""Time from the start of a process to the first label, for which a user waits once."""

import csv
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from time import perf_counter
from typing import NamedTuple

import msgspec

from xception.data.source import Source
from xception.errors import EnvironmentFault
from xception.machine import peak_memory_bytes
from xception.pipeline.timing import Clock, Latency, latency
from xception.speed.workload import first_image

PREDICT = (sys.executable, "-m", "xception", "predict")


class Startup(msgspec.Struct, frozen=True, kw_only=True):
    """Fresh processes that classify one photo."""

    backend: str
    label: str
    """The label they print."""
    first_label_ms: Latency
    peak_memory_bytes: int | None
    """The most memory that one of them held until its label came; None where the system does not tell."""


def startup(bundle: Path, backend: str, source: Source, *, repeats: int, clock: Clock = perf_counter) -> Startup:
    """Classify the first image that can be read, in `repeats` processes one after the other.

    Raises:
        InputError: none of the images can be read.
        EnvironmentFault: a process failed.
    """
    with TemporaryDirectory() as folder:
        photo = Path(folder) / "photo"
        loaded, image = first_image(source, source.name)
        if isinstance(loaded, bytes):
            photo.write_bytes(loaded)
        else:
            image.save(photo, "PNG")
        command = [*PREDICT, str(bundle), str(photo), "--backend", backend, "--csv"]
        runs = [_first_label(command, clock) for _ in range(repeats)]
    return Startup(
        backend=backend,
        label=runs[-1].label,
        first_label_ms=latency([run.seconds for run in runs]),
        peak_memory_bytes=max((run.peak_bytes for run in runs if run.peak_bytes), default=None),
    )


class _Run(NamedTuple):
    label: str
    seconds: float
    peak_bytes: int | None


def _first_label(command: list[str], clock: Clock) -> _Run:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with TemporaryFile("w+", encoding="utf-8") as complaints:
        start = clock()
        with subprocess.Popen(  # noqa: S603 - this program
            command, stdout=subprocess.PIPE, stderr=complaints, env=environment, encoding="utf-8"
        ) as process:
            lines = list(islice(process.stdout or (), 2))
            # The process is about to end, and with it the system's record.
            seconds, peak_bytes = clock() - start, peak_memory_bytes(process.pid)
            process.communicate()
        label = next((row["label"] for row in csv.DictReader(lines)), "")
        if process.returncode or not label:
            complaints.seek(0)
            raise EnvironmentFault(f"{' '.join(command[1:])} gave no label: {complaints.read().strip() or lines}")
    return _Run(label, seconds, peak_bytes)
