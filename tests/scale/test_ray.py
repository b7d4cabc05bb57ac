"""What can be said without Ray; `make cluster` runs a cluster of two nodes."""

import json
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.support.samples import labelled
from xception.bundle import Bundle
from xception.data.source import Source
from xception.data.store import LocalStore
from xception.errors import EnvironmentFault, MissingExtra, UsageError
from xception.pipeline.engine import Engine
from xception.scale.ray import Cluster, DoneShard, RayWork, ShardPredictor, predict_on_ray
from xception.tasks.faults import ToldFault
from xception.tasks.plan import ShardReport, make_plan, settle_plan


class Broken(Exception):
    """An error of Ray."""


class Stalled(Exception):
    """Ray's error of a run that goes on no more."""


class Nodes(SimpleNamespace):
    """A Ray of which one node is there, and whose tasks are done at once, here."""

    def __init__(self) -> None:
        super().__init__()
        self.data, self.rows = self, list[dict[str, str]]()
        self.refusal: Exception | None = None
        self.error: Exception | None = None
        self.has_ended = False
        self.asked: dict[str, Any] = {}
        self.context = SimpleNamespace()
        self.DataContext = SimpleNamespace(get_current=lambda: self.context)
        self.exceptions = SimpleNamespace(RayError=Broken, ExecutionTimeoutError=Stalled)

    def init(self, address: str | None, **_: object) -> None:
        if self.refusal:
            raise self.refusal

    def shutdown(self) -> None:
        self.has_ended = True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def ActorPoolStrategy(self, **asked: int) -> dict[str, int]:  # noqa: N802 - Ray's name
        return asked

    def from_items(self, rows: list[dict[str, int]], **_: int) -> "Nodes":
        return self

    def map(self, _: object, **asked: Any) -> "Nodes":
        self.asked = asked
        return self

    def iter_rows(self) -> Iterator[dict[str, str]]:
        yield from self.rows
        if self.error:
            raise self.error


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


FILE = "shard-00000000.parquet"
REPORT = json.dumps(
    {"plan": "p", "file": FILE, "seen": 2, "failed": 0, "bytes": 1, "sha256": "0" * 64, "fingerprint": "0"}
)
DONE = f'{{"worker":"7 on a","busy_s":0.5,"report":{REPORT}}}'


def test_the_part_of_the_cluster_that_was_asked_for_is_asked_of_ray(nodes: Nodes) -> None:
    nodes.rows = [{"done": DONE, "fault": ""}] * 2
    assert [report.file for report in run(Cluster(address="auto", actors=3, cpus_per_actor=2))] == [FILE, FILE]
    assert nodes.has_ended
    assert nodes.asked["compute"] == {"min_size": 1, "max_size": 3}
    assert (nodes.asked["num_cpus"], nodes.asked["num_gpus"]) == (2, None)


def test_nothing_to_do_needs_no_cluster() -> None:
    predict_on_ray(WORK, [], Cluster(address="none"))


def test_a_fault_of_an_actor_ends_the_run_with_its_sentence(nodes: Nodes) -> None:
    nodes.rows = [{"done": "", "fault": '{"sentence": "cannot write s3://a/b (on the node c)", "exit_code": 3}'}]
    with pytest.raises(EnvironmentFault, match=r"cannot write s3://a/b \(on the node c\)"):
        run(Cluster(address="auto"))
    assert nodes.has_ended


@pytest.mark.parametrize("address", ["", "head", "ray://head:10001", "head:port", "head:65536", "head:²", ":6379"])
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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Stalled("no progress"), r"no shard ended in 60 s .* 1 cores and 0 GPUs are free"),
        (
            Broken("died\ntraceback: a\nModuleNotFoundError: No module named 'xception'\n"),
            "cannot go on: ModuleNotFoundE",
        ),
        (Broken(), "cannot go on: Broken; what is done is kept"),
    ],
)
def test_an_error_of_ray_itself_is_a_sentence(error: Exception, said: str, nodes: Nodes) -> None:
    nodes.error = error
    with pytest.raises(EnvironmentFault, match=said):
        run(Cluster(address="auto", patience_s=60))
    assert nodes.has_ended
    assert nodes.context.execution_no_progress_timeout_s == 60


def test_a_token_that_the_cluster_does_not_take_is_named(nodes: Nodes) -> None:
    nodes.refusal = Broken("Token authentication is enabled but no token was found")
    with pytest.raises(
        EnvironmentFault, match=r"Token authentication is enabled .* set RAY_AUTH_MODE=token and its token"
    ):
        run(Cluster(address="auto"))


@pytest.fixture
def work(onnx_bundle: Bundle, tmp_path: Path) -> RayWork:
    """Work of which an actor has to do one shard of seven images."""
    opener = partial(opened, onnx_bundle.path, 7)
    with opener() as (engine, source):
        plan = make_plan(engine, source, table="jsonl")
    settle_plan(LocalStore(tmp_path / "out"), plan)
    return RayWork(opener=opener, plan=plan, store=str(tmp_path / "out"), folder=str(tmp_path))


@contextmanager
def opened(bundle: Path, images: int) -> Iterator[tuple[Engine, Source]]:
    with Engine.open(bundle) as engine:
        yield engine, labelled(images)


def answered(work: RayWork, monkeypatch: pytest.MonkeyPatch) -> tuple[DoneShard | None, Exception | None]:
    """The shard that an actor does and tells of again, or the error that it would be here, which is told again too."""
    monkeypatch.chdir(Path.cwd())
    actor = ShardPredictor(work)
    answer = actor({"shard": 0})
    assert actor({"shard": 0})["fault"] == answer["fault"]
    if answer["fault"]:
        return None, msgspec.json.decode(answer["fault"], type=ToldFault).error()
    return msgspec.json.decode(answer["done"], type=DoneShard), None


def test_an_actor_does_a_shard(work: RayWork, monkeypatch: pytest.MonkeyPatch) -> None:
    done, error = answered(work, monkeypatch)
    assert done and not error
    assert (done.report.seen, done.report.plan) == (7, work.plan.digest)


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"folder": "/nowhere"}, EnvironmentFault, "/nowhere does not exist; run from a folder that all nodes have"),
        ({"store": "elsewhere"}, EnvironmentFault, "elsewhere is another place here, without the plan of this run"),
        (
            {"images": 6},
            EnvironmentFault,
            "this machine does not fit the plan of .*: other images, .*; images is 7 there and 6 here",
        ),
        ({"opener": None}, RuntimeError, "TypeError: 'NoneType' object is not callable"),
    ],
)
def test_an_actor_that_cannot_do_it_tells_why_and_on_which_node(
    changed: dict[str, Any],
    kind: type[Exception],
    said: str,
    work: RayWork,
    onnx_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "images" in changed:
        changed = {"opener": partial(opened, onnx_bundle.path, changed["images"])}
    done, error = answered(replace(work, **changed), monkeypatch)
    assert not done and type(error) is kind
    assert re.search(said, str(error)) and " (on the node " in str(error)
    assert [path.name for path in Path(work.store).iterdir()] == ["plan.json"]
    assert not (Path(work.folder) / "elsewhere").exists()
