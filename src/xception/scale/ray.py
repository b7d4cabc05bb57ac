"""Shards of predictions on a Ray cluster: a pool of actors, each with an engine of its own.

Who gets which shard, what is done again when an actor or a node is lost, and how many actors there are: all that is
Ray's. That no image is lost or comes twice is not; see `predict_shard`.
"""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from xception.data.remote_store import open_store
from xception.data.source import Source
from xception.errors import EnvironmentFault, InputError, UsageError, first_line
from xception.extras import require
from xception.inputs import parse_json
from xception.pipeline.engine import Engine
from xception.tasks.faults import ToldFault
from xception.tasks.plan import BatchPlan, ShardReport, require_plan, same_plan
from xception.tasks.shard import predict_shard
from xception.tasks.watch import OnReport, Watch
from xception.tasks.workers import Opener

CONNECT_S = 10.0
"""Time in which the head of a cluster has to take a connection."""

MAX_PORT = 0xFFFF

MAX_IDLE_S = 1800.0
"""Time without a finished shard after which a run is given up by default."""

MAX_BLOCKS = 10_000
"""Tasks that Ray is given at most; where there are more shards, one task does several."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Ray cluster, and the part of it that a run may use."""

    address: str
    """HOST:PORT of its head; `auto` for the one that this machine belongs to; `local` for one of only this machine,
    for the time of the run."""
    actors: int | None = None
    """Actors at most; by default as many as there is room for."""
    cpus_per_actor: float = 1
    """Cores that Ray reserves for each."""
    gpus_per_actor: float = 0
    """GPUs that Ray reserves for each; a fraction lets actors share one."""
    patience_s: float = MAX_IDLE_S
    """Time without a finished shard after which the run is given up."""


@dataclass(frozen=True, kw_only=True)
class RayWork:
    """All that an actor needs: it has no command line, and its own working directory."""

    opener: Opener
    """Opens the model and the images, in each actor."""
    plan: BatchPlan
    store: str
    """Folder or URL of the result, which all nodes reach under this name."""
    folder: str
    """The working directory in which the images and the model were named."""


class DoneShard(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that an actor has done."""

    worker: str
    """The actor's process and node."""
    busy_s: float
    report: ShardReport


class ShardPredictor:
    """An actor: it opens the model once, and does one shard after the other.

    What goes wrong is returned, since Ray would take an exception for the end of the whole run and show its traces. A
    shard that Ray has already given to an actor that failed gets the same answer, without waiting for it again.
    """

    def __init__(self, work: RayWork) -> None:
        """Take the work; nothing is opened before the first shard."""
        self._work = work
        self._open = ExitStack()
        self._fault = ""

    def __call__(self, row: dict[str, int]) -> dict[str, str]:
        """The `DoneShard` or the `ToldFault` as JSON, the other one empty."""
        node = socket.gethostname()
        if self._fault:
            return {"done": "", "fault": self._fault}
        try:
            engine, source = self._opened
            begun_s = perf_counter()
            report = predict_shard(engine, source, self._work.plan, row["shard"], open_store(self._work.store))
        except Exception as error:
            self._fault = msgspec.json.encode(ToldFault.from_error(error, f"on the node {node}")).decode()
            return {"done": "", "fault": self._fault}
        done = DoneShard(worker=f"{os.getpid()} on {node}", busy_s=perf_counter() - begun_s, report=report)
        return {"done": msgspec.json.encode(done).decode(), "fault": ""}

    @cached_property
    def _opened(self) -> tuple[Engine, Source]:
        """The model and the images, which stay open as long as the actor lives."""
        plan, folder = self._work.plan, self._work.folder
        if not Path(folder).is_dir():
            raise InputError(f"{folder} does not exist; run from a folder that all nodes have")
        os.chdir(folder)
        engine, source = self._open.enter_context(self._work.opener())
        # A node with another bundle, other images or another version is found out before it does a shard.
        require_plan(open_store(self._work.store), plan, same_plan(plan, engine, source))
        return engine, source


def predict_on_ray(
    work: RayWork, shards: Sequence[int], cluster: Cluster, on_report: OnReport = lambda *_: None
) -> Watch:
    """Do some shards on a Ray cluster; returns what each actor did.

    Args:
        work: the engine, the images, the plan and the place of the result.
        shards: their numbers.
        cluster: where, and how much of it.
        on_report: is told of each shard that is done.

    Raises:
        UsageError: no address of a cluster.
        EnvironmentFault: the cluster cannot be reached, has another version or no room, or no shard ended in time; or a
            node lacks the model, the images or the place of the result.
    """
    watch = Watch(left=len(shards))
    if not shards:
        return watch
    with _connected(cluster) as ray:
        _require_room(ray, cluster)
        todo = [{"shard": shard} for shard in shards]
        answers = ray.data.from_items(todo, override_num_blocks=min(len(todo), MAX_BLOCKS)).map(
            ShardPredictor,
            fn_constructor_args=(work,),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cluster.actors or len(todo)),
            num_cpus=cluster.cpus_per_actor,
            num_gpus=cluster.gpus_per_actor or None,
        )
        with closing(iter(answers.iter_rows())) as rows:
            for row in rows:
                if row["fault"]:
                    raise parse_json(row["fault"].encode(), ToldFault).error()
                done = parse_json(row["done"].encode(), DoneShard)
                watch.note(done.worker, done.report, done.busy_s)
                on_report(done.report, watch)
    return watch


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, as a driver on a cluster, whose errors are sentences."""
    host, _, port = cluster.address.rpartition(":")
    if cluster.address not in ("auto", "local") and not (host and "/" not in host and _is_port(port)):
        raise UsageError(f"{cluster.address!r} is no address of a Ray cluster; expected HOST:PORT, auto or local")
    ray = require("ray", "ray")
    require("ray.data", "ray")
    try:
        if host:
            socket.create_connection((host, int(port)), CONNECT_S).close()
        _begin(ray, cluster)
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        raise _no_connection(cluster, error) from error
    try:
        yield ray
    except ray.data.exceptions.ExecutionTimeoutError as error:
        raise _stuck(ray, cluster) from error
    except ray.exceptions.RayError as error:
        raise _broken(cluster, error) from error
    finally:
        ray.shutdown()


def _is_port(text: str) -> bool:
    return text.isdecimal() and int(text) <= MAX_PORT


def _begin(ray: Any, cluster: Cluster) -> None:
    """Connect, in silence: what Ray has to say comes as an error, and is in its own logs."""
    ray.init(
        None if cluster.address == "local" else cluster.address,
        include_dashboard=False if cluster.address == "local" else None,
        configure_logging=True,
        logging_level=logging.CRITICAL,
        log_to_driver=False,
    )
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data.exceptions").addFilter(_hidden)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = cluster.patience_s


def _hidden(record: logging.LogRecord) -> bool:
    """Keep a record from the screen, and let it into the file of Ray's own log."""
    record.hide = True
    return True


def _no_connection(cluster: Cluster, error: Exception) -> EnvironmentFault:
    if "mismatch" in str(error):
        return EnvironmentFault(
            f"the Ray cluster at {cluster.address} does not fit: {' '.join(str(error).split())}; install the same "
            "versions of Python and Ray on all nodes"
        )
    return EnvironmentFault(
        f"no Ray cluster answers at {cluster.address}: {first_line(error)}; start one with `ray start --head`, or "
        "check the address and the network, and set RAY_AUTH_MODE=token and its token where the cluster has one"
    )


def _broken(cluster: Cluster, error: Exception) -> EnvironmentFault:
    """The fault of an error of Ray itself, of which only the last line says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return EnvironmentFault(
        f"the Ray cluster at {cluster.address} cannot go on: {lines[-1]}; what is done is kept: install the same "
        "packages and the same token on all nodes, look into Ray's logs, and run the same again"
    )


def _require_room(ray: Any, cluster: Cluster) -> None:
    """Refuse a cluster of which no node could ever hold an actor, since Ray would wait for one that can."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    need = {"CPU": cluster.cpus_per_actor, "GPU": cluster.gpus_per_actor}
    if not any(all(node.get(kind, 0) >= amount for kind, amount in need.items()) for node in nodes):
        there = "; ".join(f"{node.get('CPU', 0):g} cores and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise EnvironmentFault(
            f"the Ray cluster has no room for one actor: it needs {need['CPU']:g} cores and {need['GPU']:g} GPUs on "
            f"one node, and the nodes have {there}; start a larger node, or ask for less with --cpus-per-actor and "
            "--gpus-per-actor"
        )


def _stuck(ray: Any, cluster: Cluster) -> EnvironmentFault:
    free = ray.available_resources()
    return EnvironmentFault(
        f"no shard ended in {cluster.patience_s:g} s on the Ray cluster: an actor needs {cluster.cpus_per_actor:g} "
        f"cores and {cluster.gpus_per_actor:g} GPUs, and {free.get('CPU', 0):g} cores and {free.get('GPU', 0):g} GPUs "
        "are free; what is done is kept, so run the same again once there is room"
    )
