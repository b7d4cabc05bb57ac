"""A server in its own processes, clients that count its replies, and the measurement of both.

Requests of the overload are open loop: they come when they come, whether earlier ones were answered or not.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

from tests.serve.running import free_port, is_open
from xception.data.memory import as_item
from xception.data.source import Items
from xception.pipeline.engine import Engine
from xception.speed.benchmark import benchmark

T = TypeVar("T")

CLIENTS = 32
OVERLOAD = 10
PHOTO_PX = (400, 300)
RECOVERY_S = 2.0

PATIENCE_S = 5.0
"""Seconds that clients wait after the last request of an open loop; what is not answered by then has failed. A server
that admits everything would answer an overload of one minute for ten."""


@dataclass
class Tally:
    """Replies by status, with the time that each took."""

    seconds: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, seconds: float) -> None:
        self.seconds.setdefault(status, []).append(seconds)

    def in_time(self, deadline_s: float) -> int:
        return sum(value <= deadline_s for value in self.seconds.get(200, []))

    def percentile(self, *statuses: int, percent: float = 99) -> float:
        values = [value for status in statuses for value in self.seconds.get(status, [])]
        return float(np.percentile(values, percent)) if values else float("nan")

    @property
    def counts(self) -> dict[int, int]:
        return {status: len(values) for status, values in sorted(self.seconds.items())}


@dataclass
class Client:
    """Connections to a server that are kept open and used again."""

    port: int
    request: bytes
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    async def ask(self) -> None:
        began = time.perf_counter()
        try:
            status = await self._ask()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            status = 0
        self.tally.add(status, time.perf_counter() - began)

    async def _ask(self) -> int:
        reader, writer = await self._connection()
        is_kept = False
        try:
            writer.write(self.request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            is_kept = b"connection: close" not in head
        finally:
            if is_kept:
                self.idle.append((reader, writer))
            else:
                writer.close()
        return int(head.split()[1])

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that is open: a server closes those that nobody used for a while, as HTTP clients expect it to."""
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def close(self) -> None:
        for _, writer in self.idle:
            writer.close()


def photo_request(photo: bytes, timeout_s: float | None) -> bytes:
    query = "" if timeout_s is None else f"?timeout_ms={round(1000 * timeout_s)}"
    head = f"POST /v1/classify{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(photo)}\r\n\r\n"
    return head.encode() + photo


async def closed_loop(client: Client, clients: int, seconds: float) -> float:
    """Requests per second of clients that ask again as soon as they are answered."""
    end = time.perf_counter() + seconds

    async def ask_again() -> None:
        while time.perf_counter() < end:
            await client.ask()

    began = time.perf_counter()
    await asyncio.gather(*(ask_again() for _ in range(clients)))
    return len(client.tally.seconds.get(200, [])) / (time.perf_counter() - began)


async def counted_loop(client: Client, clients: int, requests: int) -> None:
    """That many requests by clients that ask again as soon as they are answered."""
    left = iter(range(requests))

    async def ask_again() -> None:
        for _ in left:
            await client.ask()

    await asyncio.gather(*(ask_again() for _ in range(clients)))


async def open_loop(client: Client, rate: float, seconds: float, seed: int = 0) -> None:
    """Requests at the times of a Poisson process, whose clients leave `PATIENCE_S` after the last one."""
    rng = np.random.default_rng(seed)
    began, due, tasks = time.perf_counter(), 0.0, set()
    while (due := due + rng.exponential(1 / rate)) < seconds:
        await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
        task = asyncio.ensure_future(client.ask())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=PATIENCE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


@dataclass(frozen=True)
class Server:
    """`xception serve` in processes of its own, on some cores."""

    process: "subprocess.Popen[bytes]"
    port: int

    def worker(self) -> int:
        """The process that holds the model."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return max(map(int, children), key=_pages)

    def resident_mb(self) -> float:
        """Memory of the process that holds the model."""
        return _pages(self.worker()) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


@contextmanager
def serving(bundle: Path, cores: set[int], *options: str, log: Path = Path(os.devnull)) -> Iterator[Server]:
    """A server on some cores, which writes to a log, until the end of the block."""
    port = free_port()
    command = [sys.executable, "-m", "xception", "serve", f"model={bundle}", "--port", str(port), *options]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=file,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        while not is_open(port):
            time.sleep(0.1)
            if process.poll() is not None:
                raise SystemExit("the server did not start")
        yield Server(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def run(ask: Callable[[Client], Awaitable[T]], port: int, request: bytes) -> tuple[Client, T]:
    """What a client did, and what it found."""
    client = Client(port, request)

    async def session() -> T:
        try:
            return await ask(client)
        finally:
            await client.close()

    return client, asyncio.run(session())


def end_to_end(bundle: Path, photo: bytes, cores: set[int], images: int) -> float:
    """The rate of `xception benchmark` on the same photo and the server's cores."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        with Engine.open(bundle) as engine:
            source = Items("photo", (), tuple(as_item(photo) for _ in range(8)))
            return max(
                run.end_to_end.images_per_second for run in benchmark(engine, source, batches=(8,), images=images).runs
            )
    finally:
        os.sched_setaffinity(0, everything)


def overload(server: Server, photo: bytes, capacity: float, seconds: float, deadline_s: float, *, tell: bool) -> dict:
    """Ten times the capacity, and one client at a time afterwards."""
    request = photo_request(photo, deadline_s if tell else None)
    before, _ = run(lambda client: closed_loop(client, 1, RECOVERY_S), server.port, request)
    memory = server.resident_mb()
    crowd, _ = run(lambda client: open_loop(client, OVERLOAD * capacity, seconds), server.port, request)
    grown = server.resident_mb() - memory
    time.sleep(RECOVERY_S)
    after, _ = run(lambda client: closed_loop(client, 1, RECOVERY_S), server.port, request)
    return {
        "offered_per_s": OVERLOAD * capacity,
        "replies": crowd.tally.counts,
        "answered_in_time_of_capacity": crowd.tally.in_time(deadline_s) / seconds / capacity,
        "p99_accepted_s": crowd.tally.percentile(200),
        "p99_refused_s": crowd.tally.percentile(503),
        "memory_grown_mb": grown,
        "latency_before_s": before.tally.percentile(200, percent=50),
        "latency_after_s": after.tally.percentile(200, percent=50),
    }


def added_by_http(bundle: Path, server: Server, photo: bytes, cores: set[int]) -> dict[str, float]:
    """Median time of one photo by HTTP and by the engine itself, one at a time."""
    client, _ = run(lambda one: closed_loop(one, 1, 5.0), server.port, photo_request(photo, None))
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        with Engine.open(bundle) as engine:
            times = []
            for _ in range(100):
                began = time.perf_counter()
                engine([as_item(photo)])
                times.append(time.perf_counter() - began)
    finally:
        os.sched_setaffinity(0, everything)
    by_http = client.tally.percentile(200, percent=50)
    return {"by_http_s": by_http, "by_engine_s": median(times), "added_s": by_http - median(times)}
