"""Judge `xception serve` on this machine: make serving ARGS="--only overload fuzz"

Each part is a server, a load and a goal; one table says which are met. The server has one half of the cores and the
client the other, so that neither takes from the other. Parts about time need a quiet machine. Slow clients, and
MLPerf's own load generator, are parts of `make clients`.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import numpy as np

from benchmarks.record import FOLDER, conditions, measured_on, save
from benchmarks.run import untrained
from benchmarks.serving import (
    CLIENTS,
    PHOTO_PX,
    added_by_http,
    closed_loop,
    counted_loop,
    end_to_end,
    open_loop,
    overload,
    photo_request,
    run,
    serving,
)
from benchmarks.serving_memory import NARROW, ROUNDS, Peak, peak_at, wider
from tests.support.samples import encoded, picture
from xception.export.export import export_bundle
from xception.export.program import GraphOptions

SMALL = "mini_xception"
"""Network of the parts in which the number of requests counts, and not what each of them costs."""

MAPPED = "ppcls_xception41"
"""Network whose class maps are large: a thousand of them."""

CLIENTS_PYTHON = Path(__file__).parents[1] / ".venv-clients/bin/python"
"""Interpreter of the environment that `make clients` makes."""

RATE_ROUNDS = 3
RATE_S = 10.0
BATCH = 8
THUMBNAIL_PX = (64, 48)
"""Size of the photo of the part in which the number of requests counts, and not what each of them costs."""
LOADED_S = 15.0
"""Time for which a server is under load whose process is killed."""
MEMORY_SAMPLES = 20
WITHOUT_ADMISSION = ("--timeout-s", "100000", "--max-queued", "10000000", "--max-bodies-mb", "100000")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The subject and the size of all parts."""

    bundle: Path
    small: Path
    served: set[int]
    """Cores of the server."""
    photo: bytes
    seconds: float
    deadline_s: float
    requests: int
    loadgen_python: Path = CLIENTS_PYTHON
    """Interpreter of an environment that has mlperf_loadgen."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A figure, and the goal that it meets or misses."""

    part: str
    figure: str
    value: float
    goal: str
    met: bool


def at_most(part: str, figure: str, value: float, bound: float) -> Verdict:
    return Verdict(part=part, figure=figure, value=value, goal=f"<= {bound:g}", met=value <= bound)


def at_least(part: str, figure: str, value: float, bound: float) -> Verdict:
    return Verdict(part=part, figure=figure, value=value, goal=f">= {bound:g}", met=value >= bound)


def rate(setting: Setting) -> Iterator[Verdict]:
    """The rate of many clients, and of the benchmark in turn with it."""
    request, ratios = photo_request(setting.photo, None), []
    with serving(setting.bundle, setting.served) as server:
        for _ in range(RATE_ROUNDS):
            _, found = run(lambda client: closed_loop(client, CLIENTS, RATE_S), server.port, request)
            ratios.append(found / end_to_end(setting.bundle, setting.photo, setting.served, images=64))
    yield at_least("rate", f"rate of {CLIENTS} clients, of the benchmark's", median(ratios), 0.9)


def latency(setting: Setting) -> Iterator[Verdict]:
    """The time that HTTP adds to one photo."""
    with serving(setting.bundle, setting.served) as server:
        found = added_by_http(setting.bundle, server, setting.photo, setting.served)
    yield at_most("latency", "seconds added to one photo, median", found["added_s"], 0.003)


def poisson(setting: Setting) -> Iterator[Verdict]:
    """Requests of a Poisson process at a rate that the server can do."""
    request = photo_request(setting.photo, None)
    with serving(setting.bundle, setting.served) as server:
        _, capacity = run(lambda client: closed_loop(client, CLIENTS, RATE_S), server.port, request)
        crowd, _ = run(lambda client: open_loop(client, 0.7 * capacity, setting.seconds), server.port, request)
    batches = crowd.tally.percentile(200) / (BATCH / capacity)
    yield at_most("poisson", "p99 at 0.7 of capacity, in batches", batches, 4)
    failed = {status: count for status, count in crowd.tally.counts.items() if status != 200}
    yield at_most(
        "poisson", f"requests that failed: {failed}" if failed else "requests that failed", sum(failed.values()), 0
    )


def mlperf(setting: Setting) -> Iterator[Verdict]:
    """The same by MLPerf's load generator, in its Server scenario."""
    request = photo_request(setting.photo, None)
    with serving(setting.bundle, setting.served) as server, tempfile.NamedTemporaryFile(suffix=".jpg") as photo:
        _, capacity = run(lambda client: closed_loop(client, CLIENTS, RATE_S), server.port, request)
        photo.write(setting.photo)
        photo.flush()
        rate = 0.7 * capacity
        arguments = (server.port, photo.name, rate, round(rate * setting.seconds))
        command = [setting.loadgen_python, Path(__file__).with_name("serving_loadgen.py"), *arguments]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    batches = found["p99_s"] / (BATCH / capacity)
    yield at_most("mlperf", f"p99 of {found['queries']} queries at 0.7 of capacity, in batches", batches, 4)
    yield at_most("mlperf", "queries that failed", found["failed"], 0)


def crowd(setting: Setting) -> Iterator[Verdict]:
    """Ten times the capacity, with and without admission."""
    request = photo_request(setting.photo, None)
    with serving(setting.bundle, setting.served) as server:
        _, capacity = run(lambda client: closed_loop(client, CLIENTS, RATE_S), server.port, request)
        load = (setting.photo, capacity, setting.seconds, setting.deadline_s)
        found = overload(server, *load, tell=True)
    yield at_least("overload", "answered in time, of capacity", found["answered_in_time_of_capacity"], 0.9)
    yield at_most("overload", "p99 of accepted, seconds", found["p99_accepted_s"], setting.deadline_s)
    yield at_most("overload", "p99 of refused, seconds", found["p99_refused_s"], 0.05)
    yield at_most("overload", "memory grown, MiB", found["memory_grown_mb"], 64)
    slower = found["latency_after_s"] / found["latency_before_s"]
    yield at_most("overload", "latency two seconds later, of that before", slower, 1.5)
    with serving(setting.bundle, setting.served, *WITHOUT_ADMISSION) as server:
        control = overload(server, *load, tell=False)
    answered = control["answered_in_time_of_capacity"]
    yield at_most("overload", "the same without admission, which has to miss 0.9", answered, 0.9)


def memory(setting: Setting) -> Iterator[Verdict]:
    """The memory of very many requests, once the first fifth has filled what is kept."""
    request, samples = photo_request(encoded(picture(*THUMBNAIL_PX), "JPEG"), None), []
    step = -(-setting.requests // MEMORY_SAMPLES)
    with serving(setting.small, setting.served) as server:
        for _ in range(MEMORY_SAMPLES):
            asked, _ = run(lambda client: counted_loop(client, 4, step), server.port, request)
            samples.append(server.resident_mb())
            if set(asked.tally.counts) != {200}:
                yield at_most("memory", f"requests that failed: {asked.tally.counts}", 1, 0)
                return
    kept = samples[MEMORY_SAMPLES // 5 :]
    slope = float(np.polyfit(np.arange(len(kept)) * step, kept, 1)[0])
    yield at_most("memory", f"MiB per 100,000 requests, of {step * MEMORY_SAMPLES:,}", 1e5 * slope, 4)


def bound(setting: Setting) -> Iterator[Verdict]:
    """The memory of a server at its limits, under loads that fill each of them, and the bound that it prints."""
    with tempfile.TemporaryDirectory() as name:
        bundle, log = _exported(MAPPED, Path(name), class_maps=True), Path(name) / "server.log"
        narrow, control = (peak_at(limits, bundle, setting.served, log) for limits in (NARROW, wider(NARROW)))
    words = f"of the {narrow.bound_mb:,} MiB that are printed"
    yield at_most("bound", f"{narrow.peak_mb:,.0f} MiB at most, {words}", narrow.peak_mb / narrow.bound_mb, 1)
    yield at_most("bound", f"replies other than answers and refusals: {_counts(narrow)}", broken_replies(narrow), 0)
    yield at_least("bound", f"wider limits, which have to exceed it, {words}", control.peak_mb / narrow.bound_mb, 1)
    yield at_most("bound", "the same, of the bound that they print", control.peak_mb / control.bound_mb, 1)


def _counts(peak: Peak) -> str:
    return ", ".join(f"{status or 'cut'} {count}" for status, count in sorted(peak.statuses.items()))


def broken_replies(peak: Peak) -> int:
    """Replies that no load should get; one if none of the loads was answered."""
    broken = sum(count for status, count in peak.statuses.items() if status >= 500 and status not in (503, 504))
    return broken or int(not peak.statuses[200])


def restart(setting: Setting) -> Iterator[Verdict]:
    """The time after which a server under load answers again whose process of models was killed."""
    request = photo_request(setting.photo, None)
    began = time.perf_counter()
    with serving(setting.bundle, setting.served) as server:
        loaded_s = time.perf_counter() - began
        crowd = Thread(target=run, args=(lambda client: closed_loop(client, CLIENTS, LOADED_S), server.port, request))
        crowd.start()
        time.sleep(LOADED_S / 3)
        os.kill(server.worker(), signal.SIGKILL)
        began = time.perf_counter()
        while not _answers(server.port, request):
            time.sleep(0.05)
        again_s = time.perf_counter() - began
        crowd.join()
    yield at_most("restart", "seconds until an answer after SIGKILL, beyond the start's", again_s - loaded_s, 5)


def _answers(port: int, request: bytes) -> bool:
    client, _ = run(lambda one: counted_loop(one, 1, 1), port, request)
    return 200 in client.tally.counts


def fuzz(setting: Setting) -> Iterator[Verdict]:
    """Half as many requests as those of the memory, none of which should be sent."""
    command = [sys.executable, "-m", "tests.fuzz.fuzz_server", "--requests", str(setting.requests // 2)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stdout or done.stderr).strip().splitlines()[-1:]
    yield at_most("fuzz", f"failures: {' '.join(said)}", done.returncode, 0)


@dataclass(frozen=True)
class Part:
    """A part, and the seconds that it takes on two cores."""

    measure: Callable[[Setting], Iterator[Verdict]]
    seconds: Callable[[Setting], float]


PARTS = {
    "rate": Part(rate, lambda _: RATE_ROUNDS * 2 * RATE_S),
    "latency": Part(latency, lambda _: 30),
    "poisson": Part(poisson, lambda setting: RATE_S + setting.seconds),
    "mlperf": Part(mlperf, lambda setting: RATE_S + setting.seconds),
    "overload": Part(crowd, lambda setting: RATE_S + 2 * setting.seconds + 20),
    "memory": Part(memory, lambda setting: setting.requests / 250),
    "bound": Part(bound, lambda _: ROUNDS * 2 * 30),
    "restart": Part(restart, lambda _: 20),
    "fuzz": Part(fuzz, lambda setting: setting.requests / 2 / 200),
}


def table(verdicts: list[Verdict]) -> str:
    """All verdicts as a table in Markdown."""
    rows = ["| part | figure | value | goal | met |", "| --- | --- | ---: | ---: | --- |"]
    rows += [
        f"| {one.part} | {one.figure} | {one.value:.3g} | {one.goal} | {'yes' if one.met else 'NO'} |"
        for one in verdicts
    ]
    return "\n".join(rows) + "\n"


def page(document: Mapping[str, Any]) -> str:
    """The verdicts of a document, with what was measured, when, where and how."""
    verdicts = [Verdict(**row) for row in document["verdicts"]]
    missed = [f"{verdict.part}: {verdict.figure}" for verdict in verdicts if not verdict.met]
    parts = dict.fromkeys(verdict.part for verdict in verdicts)
    conclusion = f"Missed: {'; '.join(missed)}." if missed else "Every goal is met."
    lines = [
        f"# A server on trial: {', '.join(parts)}",
        "",
        conclusion,
        f"Measured on {document['date']} by `{document['command']}` ({conditions(document)}).",
        "One half of the cores had the server, and the other its clients.",
        "",
        *(f"- `{part}`: {(PARTS[part].measure.__doc__ or '').strip()}" for part in parts),
        "",
        table(verdicts),
    ]
    return "\n".join(lines)


def judge(setting: Setting, names: list[str]) -> list[Verdict]:
    """The verdicts of some parts, each told when it is there."""
    found = []
    for name in names:
        for verdict in PARTS[name].measure(setting):
            print(f"{verdict.part}: {verdict.figure}: {verdict.value:.3g}, goal {verdict.goal}", file=sys.stderr)
            found.append(verdict)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--bundle", type=Path, help="by default an untrained network in ONNX")
    parser.add_argument("--variant", default="ppcls_xception41")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--deadline", type=float, default=1.0)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--loadgen-python", type=Path, default=CLIENTS_PYTHON)
    parser.add_argument("--out", type=Path, default=FOLDER / "serving")
    arguments = parser.parse_args()
    facts, cores = measured_on("onnxruntime", "granian", "pillow"), sorted(os.sched_getaffinity(0))
    half = len(cores) // 2 or 1
    os.sched_setaffinity(0, set(cores[half:] or cores))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        setting = Setting(
            bundle=arguments.bundle or _exported(arguments.variant, folder),
            small=_exported(SMALL, folder),
            served=set(cores[:half]),
            photo=encoded(picture(*PHOTO_PX), "JPEG", quality=90),
            seconds=arguments.seconds,
            deadline_s=arguments.deadline,
            requests=arguments.requests,
            loadgen_python=arguments.loadgen_python,
        )
        minutes = sum(PARTS[part].seconds(setting) for part in arguments.only) / 60
        print(f"{', '.join(arguments.only)}: about {minutes:.0f} minutes", file=sys.stderr)
        verdicts = judge(setting, arguments.only)
    document = {
        **facts,
        "command": f"python -m benchmarks.serving_acceptance {shlex.join(sys.argv[1:])}".strip(),
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    print(page(document))
    save(arguments.out, document, page(document))
    sys.exit(not all(verdict.met for verdict in verdicts))


def _exported(variant: str, folder: Path, *, class_maps: bool = False) -> Path:
    weights = untrained(variant, folder / f"{variant}-weights")
    return export_bundle(weights, "onnx", folder / variant, options=GraphOptions(class_maps=class_maps)).path


if __name__ == "__main__":
    main()
