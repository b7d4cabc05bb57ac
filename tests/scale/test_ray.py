"""What can be said without Ray; `make cluster` runs a cluster of two nodes."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from xception.errors import EnvironmentFault, MissingExtra, UsageError
from xception.scale import ray as scale
from xception.scale.ray import Cluster, RayWork, predict_on_ray
from xception.tasks.plan import ShardReport


class Nodes(SimpleNamespace):
    """A Ray of which one node is there, and whose tasks are done at once, here."""

    def __init__(self, rows: Any = (), refusal: Exception | None = None) -> None:
        super().__init__()
        self.data, self.rows, self.refusal = self, rows, refusal
        self.has_ended = False
        self.asked: dict[str, Any] = {}
        self.DataContext = SimpleNamespace(get_current=SimpleNamespace)

    def init(self, address: str | None, **_: object) -> None:
        if self.refusal:
            raise self.refusal

    def shutdown(self) -> None:
        self.has_ended = True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def put(self, work: RayWork) -> RayWork:
        return work

    def ActorPoolStrategy(self, **asked: int) -> dict[str, int]:  # noqa: N802 - Ray's name
        return asked

    def from_items(self, rows: list[dict[str, int]], **_: int) -> "Nodes":
        return self

    def map(self, _: object, **asked: Any) -> "Nodes":
        self.asked = asked
        return self

    def iter_rows(self) -> Iterator[dict[str, str]]:
        return iter(self.rows)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    made = Nodes()
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setitem(sys.modules, "ray.data", made)
    return made


NOTHING: Any = None
WORK = RayWork(opener=NOTHING, plan=NOTHING, store="out", folder=str(Path.cwd()))


def run(cluster: Cluster) -> list[ShardReport]:
    reports: list[ShardReport] = []
    watch = predict_on_ray(WORK, [0, 1], cluster, lambda report, _: reports.append(report))
    assert sum(rate.images for rate in watch.rates.values()) == sum(report.seen for report in reports)
    return reports


REPORT = '{"plan":"p","file":"a","seen":2,"failed":0,"bytes":1,"sha256":"s","fingerprint":"0"}'
DONE = f'{{"worker":"7 on a","busy_s":0.5,"report":{REPORT}}}'


def test_the_part_of_the_cluster_that_was_asked_for_is_asked_of_ray(nodes: Nodes) -> None:
    nodes.rows = [{"done": DONE, "fault": ""}] * 2
    assert [report.file for report in run(Cluster(address="auto", actors=3, cpus_per_actor=2))] == ["a", "a"]
    assert nodes.has_ended
    assert nodes.asked["compute"] == {"min_size": 1, "max_size": 3, "max_tasks_in_flight_per_actor": 1}
    assert (nodes.asked["num_cpus"], nodes.asked["num_gpus"]) == (2, None)


def test_nothing_to_do_needs_no_cluster() -> None:
    predict_on_ray(WORK, [], Cluster(address="none"))


def test_a_fault_of_an_actor_ends_the_run_with_its_sentence(nodes: Nodes) -> None:
    nodes.rows = [{"done": "", "fault": "cannot write s3://a/b (on the node c)"}]
    with pytest.raises(EnvironmentFault, match=r"cannot write s3://a/b \(on the node c\)"):
        run(Cluster(address="auto"))
    assert nodes.has_ended


@pytest.mark.parametrize("address", ["", "head", "ray://head:10001", "head:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="expected HOST:PORT, auto or local"):
        run(Cluster(address=address))


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"\[ray\]|ray"):
        run(Cluster(address="auto"))


def test_a_head_that_takes_no_connection_is_named(nodes: Nodes) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(
            EnvironmentFault, match=f"no Ray cluster answers at {address}: .*; start one with `ray start"
        ):
            run(Cluster(address=address))


def test_another_version_is_named(nodes: Nodes) -> None:
    nodes.refusal = RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.11.7")
    with pytest.raises(
        EnvironmentFault, match=r"does not fit: Version mismatch: .* Ray: 2\.59\.0 Python: 3\.11\.7; ins"
    ):
        run(Cluster(address="auto"))


@pytest.mark.parametrize(("cpus", "gpus"), [(5, 0), (1, 1)])
def test_a_cluster_without_room_for_one_actor_says_what_there_is(cpus: float, gpus: float, nodes: Nodes) -> None:
    said = rf"it needs {cpus} cores and {gpus} GPUs on one node, and the nodes have 4 cores and 0 GPUs; start a larger"
    with pytest.raises(EnvironmentFault, match=said):
        run(Cluster(address="auto", cpus_per_actor=cpus, gpus_per_actor=gpus))


def test_a_run_in_which_no_shard_ends_says_what_is_free(nodes: Nodes) -> None:
    is_over = Event()

    def never() -> Iterator[dict[str, str]]:
        is_over.wait()
        yield from ()

    nodes.rows = never()
    with pytest.raises(EnvironmentFault, match=r"no shard ended in 0\.01 s .* 1 cores and 0 GPUs are free"):
        run(Cluster(address="auto", patience_s=0.01))
    is_over.set()


def test_an_error_of_ray_itself_is_raised_here() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("a")

    rows = scale._in_time(broken(), 60, lambda: EnvironmentFault("stuck"))
    assert next(rows) == 1
    with pytest.raises(KeyError, match="a"):
        next(rows)
