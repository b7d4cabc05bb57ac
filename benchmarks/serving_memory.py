"""The memory of a server at its limits, and the bound of it that the server prints when it starts."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.serving import serving
from benchmarks.serving_loads import Target, loads
from tests.serve.running import free_port
from xception.machine import peak_memory_bytes_of_all
from xception.serve.limits import MIB, Limits

NARROW = Limits(
    max_body_mb=2,
    max_bodies_mb=16,
    max_images=16,
    max_pixels=4_000_000,
    max_queued=32,
    max_connections=64,
    timeout_s=20.0,
    body_timeout_s=4.0,
    header_timeout_s=4.0,
)
"""Limits under which the bound is near, so that what it leaves out would show."""

WIDER = 8
"""How many times as much the limits of the control allow."""

ROUNDS = 3
CLIENTS = 8
"""Clients of each load."""

BOUND = re.compile(r"memory: .* ([\d,]+) MiB in all")


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The memory of a server under all loads at once."""

    bound_mb: int
    """As the server printed it."""
    peak_mb: float
    """Of all its processes, each at its own time."""
    statuses: Counter[int]
    """Replies by status."""


def wider(limits: Limits) -> Limits:
    """Limits of a control: the loads that fill them take more than the bound of the narrow ones."""
    return replace(
        limits,
        max_body_mb=WIDER * limits.max_body_mb,
        max_bodies_mb=WIDER * limits.max_bodies_mb,
        max_pixels=WIDER * limits.max_pixels,
    )


def peak_at(limits: Limits, bundle: Path, cores: set[int], log: Path, rounds: int = ROUNDS) -> Peak:
    """The memory of a server at its limits, on some cores, which writes to a log."""
    grpc_port = free_port()
    options = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(limits).items()]
    with serving(bundle, cores, *options, f"--grpc-port={grpc_port}", log=log) as server:
        (bound,) = BOUND.findall(log.read_text("utf-8"))
        target = Target(port=server.port, grpc_port=grpc_port, limits=limits)
        everything = list(loads(target, CLIENTS))
        statuses: Counter[int] = Counter()
        for _ in range(rounds):
            with ThreadPoolExecutor(len(everything)) as pool:
                statuses.update(pool.map(lambda load: load(), everything))
        peak = peak_memory_bytes_of_all(server.process.pid) / MIB
    return Peak(bound_mb=int(bound.replace(",", "")), peak_mb=peak, statuses=statuses)
