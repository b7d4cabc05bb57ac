"""Three servers behind HAProxy, with the configuration of `deploy/`: one is killed, one is drained and replaced."""

import http.client
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, HAPROXY, PYTHON, ROOT, Served, free_port, is_open, log_read

CONFIGURATION = (ROOT / "deploy/haproxy.cfg").read_text("utf-8")
LOAD = 0.6
"""Share of the capacity that is asked for."""
SETTLED = 100
"""Requests that are answered before and after each event."""


@dataclass
class Copy:
    """One server, in a group of processes of its own."""

    bundle: Path
    port: int
    process: "subprocess.Popen[str]" = field(init=False)

    def start(self) -> None:
        command = [PYTHON, "-m", "xception", "serve", f"digits={self.bundle}", "--port", str(self.port)]
        command += ["--shutdown-delay-s", "3", "--timeout-s", "60"]
        self.process = subprocess.Popen(
            command,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stderr
        assert any(line.startswith("ready:") for line in self.process.stderr)
        while not is_open(self.port):
            assert self.process.poll() is None
        log_read(self.process)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        while is_open(self.port):
            pass

    def drain(self) -> int:
        self.process.terminate()
        return self.process.wait()


@dataclass
class Outcome:
    began_s: float
    status: int | str


@dataclass
class Load:
    """Requests to one address, in the order in which they were answered."""

    port: int
    photo: bytes
    outcomes: list[Outcome] = field(default_factory=list)
    answered: threading.Condition = field(default_factory=threading.Condition)

    def ask(self) -> None:
        began_s, status = time.monotonic(), "none"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", "/v1/classify?model=digits", self.photo)
            reply = connection.getresponse()
            reply.read()
            status = reply.status
        except OSError as error:
            status = type(error).__name__
        finally:
            connection.close()
            with self.answered:
                self.outcomes.append(Outcome(began_s, status))
                self.answered.notify_all()

    def capacity(self) -> float:
        """Requests per second that sixteen clients get answered, each with one at a time."""
        began_s = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            for asked in [pool.submit(self.ask) for _ in range(300)]:
                asked.result()
        return 300 / (time.monotonic() - began_s)

    @contextmanager
    def poisson(self, per_second: float) -> Iterator[None]:
        """Requests at random moments, whoever is still waiting, until the end of the block."""
        over, draws = threading.Event(), random.Random(1)
        asked: list[Future[None]] = []

        def send() -> None:
            due_s = time.monotonic()
            while not over.is_set():
                due_s += draws.expovariate(per_second)
                over.wait(max(0.0, due_s - time.monotonic()))
                asked.append(pool.submit(self.ask))

        with ThreadPoolExecutor(256) as pool:
            sender = threading.Thread(target=send)
            sender.start()
            try:
                yield
            finally:
                over.set()
                sender.join()
        for one in asked:
            one.result()

    def settle(self) -> None:
        """Wait until many more requests have been answered."""
        enough = len(self.outcomes) + SETTLED
        with self.answered:
            self.answered.wait_for(lambda: len(self.outcomes) >= enough)


@contextmanager
def balanced(configuration: str, ports: list[int], folder: Path) -> Iterator[int]:
    """The port of a balancer in front of servers."""
    port = free_port()
    for known, own in zip((8000, 8001, 8002, 8003), (port, *ports), strict=True):
        configuration = configuration.replace(f"127.0.0.1:{known}", f"127.0.0.1:{own}")
    (folder / "haproxy.cfg").write_text(configuration)
    subprocess.run([HAPROXY, "-c", "-f", str(folder / "haproxy.cfg")], check=True, capture_output=True)
    process = subprocess.Popen([HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        while not is_open(port):
            assert process.poll() is None
        while _status(port) != 200:
            assert process.poll() is None
        yield port
    finally:
        process.terminate()
        process.wait()


def _status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/v2/health/ready")
    status = connection.getresponse().status
    connection.close()
    return status


@contextmanager
def copies(served: Served) -> Iterator[list[Copy]]:
    with ExitStack() as ends:
        found = [Copy(served.bundle, free_port()) for _ in range(3)]
        for copy in found:
            copy.start()
            ends.callback(lambda copy=copy: copy.process.poll() is None and copy.kill())
        yield found


def test_a_killed_copy_costs_its_own_requests_and_a_replaced_one_costs_none(served: Served, tmp_path: Path) -> None:
    with copies(served) as (killed, drained, kept):
        ports = [copy.port for copy in (killed, drained, kept)]
        with balanced(CONFIGURATION, ports, tmp_path) as port:
            load = Load(port, served.photos[0].read_bytes())
            rate = LOAD * load.capacity()
            assert {outcome.status for outcome in load.outcomes} == {200}
            with load.poisson(rate):
                load.settle()
                killed.kill()
                dead_s = time.monotonic()
                load.settle()
                code = drained.drain()
                load.settle()
                drained.start()
                for _ in range(50):  # the balancer has to find out that it is back
                    if not answered(drained):
                        load.settle()
            lost = [outcome for outcome in load.outcomes if outcome.status != 200]
            assert code == 0
            assert all(outcome.began_s < dead_s for outcome in lost)
            assert {outcome.status for outcome in lost} <= {502}
            assert answered(drained) > 0


def answered(copy: Copy) -> float:
    """Requests for labels that a server has replied to since it was started."""
    connection = http.client.HTTPConnection("127.0.0.1", copy.port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return sum(float(line.split()[-1]) for line in lines if line.startswith('xception_requests_total{route="classify"'))


def test_without_the_checks_and_retries_a_killed_copy_costs_others_too(served: Served, tmp_path: Path) -> None:
    careless = CONFIGURATION.replace("default-server check", "default-server").replace("retries 3", "retries 0")
    assert careless.count("retries 0") == 1
    with copies(served) as (killed, *others):
        ports = [copy.port for copy in (killed, *others)]
        with balanced(careless, ports, tmp_path) as port:
            load = Load(port, served.photos[0].read_bytes())
            killed.kill()
            dead_s = time.monotonic()
            load.capacity()
    lost = [outcome for outcome in load.outcomes if outcome.status != 200]
    assert any(outcome.began_s > dead_s for outcome in lost)


@pytest.mark.parametrize("wrong", ["defaults\n    retry-onn x", "defaults\n    timeout connect soon"])
def test_a_mistake_in_the_configuration_is_noticed(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text(CONFIGURATION.replace("defaults", wrong, 1))
    command = [HAPROXY, "-c", "-f", str(tmp_path / "haproxy.cfg")]
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
