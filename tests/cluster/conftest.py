"""A Ray cluster of two nodes and an S3 server behind a door where requests fail, all on this machine.

PACKAGE_PYTHON is the interpreter of the package's environment, which makes the data.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
# Ray's processes begin with these too.
os.environ |= {
    "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "AWS_ACCESS_KEY_ID": "name",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}

from tests.support.children import command_of, started_by  # noqa: E402
from tests.support.faulty_storage import FaultyStorage  # noqa: E402

BUCKET = "cluster"


@dataclass
class Nodes:
    """A Ray cluster whose nodes are processes of this machine. Each has more cores than its actors take, since Ray
    itself runs tasks there."""

    cluster: Any
    others: list[Any] = field(default_factory=list)

    CPUS = 3

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def grow(self) -> None:
        """Add a node, unless there are two."""
        if not self.others:
            self.others.append(self.cluster.add_node(num_cpus=self.CPUS, object_store_memory=90 << 20))

    @contextmanager
    def odd_one(self, **environment: str) -> Iterator[list[str]]:
        """A node with more cores and another environment, for the time of a block; yields the options with which only
        it has room for actors."""
        before = dict(os.environ)
        os.environ |= environment
        try:
            node = self.cluster.add_node(num_cpus=2 * self.CPUS, object_store_memory=90 << 20)
        finally:
            os.environ.clear()
            os.environ |= before
        yield ["--ray", self.address, "--cpus-per-actor", str(self.CPUS + 1)]
        self.cluster.remove_node(node, allow_graceful=False)

    def lose_one(self) -> None:
        """Take a node away without a word."""
        self.cluster.remove_node(self.others.pop(), allow_graceful=False)

    def kill_actor(self) -> bool:
        """Kill the process of an actor; False if there is none."""
        found = next(iter(actors()), None)
        if found is not None:
            os.kill(found, signal.SIGKILL)
        return found is not None


def actors() -> list[int]:
    """Processes of this cluster that predict shards."""
    return [pid for pid in started_by(os.getpid()) if "ShardPredictor" in command_of(pid)]


@contextmanager
def opened_door() -> Iterator[FaultyStorage]:
    """The storage as all processes reach it; it has no faults until a check wants some."""
    import boto3

    command = [sys.executable, str(Path(__file__).with_name("storage_server.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout
        with FaultyStorage(server.stdout.readline().strip(), rate=0) as opened:
            os.environ["AWS_ENDPOINT_URL"] = opened.url
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield opened
        server.communicate("")


@pytest.fixture(scope="session")
def door() -> Iterator[FaultyStorage]:
    with opened_door() as made:
        yield made


@contextmanager
def opened_nodes() -> Iterator[Nodes]:
    """A cluster; its actors find the storage behind the door that is there already."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": Nodes.CPUS, "object_store_memory": 90 << 20, "include_dashboard": False}
    made = Nodes(Cluster(initialize_head=True, head_node_args=head))
    made.grow()
    yield made
    made.cluster.shutdown()


@pytest.fixture(scope="session")
def nodes(door: FaultyStorage) -> Iterator[Nodes]:
    """The one cluster of all checks."""
    with opened_nodes() as made:
        yield made


def xception(*words: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end."""
    command = [sys.executable, "-m", "xception", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@dataclass(frozen=True)
class Data:
    """A bundle and images, and the result of one process that nobody disturbed."""

    bundle: Path
    images: Path
    expected: dict[str, bytes]


def start(bundle: Path, source: Path | str, out: Path | str, *options: str) -> "subprocess.Popen[str]":
    """Begin a run; what it says of finished shards can be read while it goes on."""
    command = [sys.executable, "-m", "tests.cluster.drive", str(bundle), str(source), str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(run: "subprocess.Popen[str]", status: int = 0) -> str:
    """What a run wrote on standard error, once it ended with a status."""
    errors = run.communicate()[1]
    assert run.returncode == status, errors
    return errors


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, door: FaultyStorage) -> Data:
    return prepared(tmp_path_factory.mktemp("data"))


def prepared(folder: Path) -> Data:
    """The data in a folder, and their images in the storage too."""
    import boto3

    python = os.environ.get("PACKAGE_PYTHON", str(ROOT / ".venv/bin/python"))
    subprocess.run([python, "-m", "tests.cluster.make_data", str(folder)], check=True, cwd=ROOT)
    for shard in (folder / "images").iterdir():
        boto3.client("s3").upload_file(str(shard), BUCKET, f"images/{shard.name}")
    ended(start(folder / "reader", folder / "images", folder / "expected"))
    return Data(folder / "reader", folder / "images", content(folder / "expected"))


def content(folder: Path) -> dict[str, bytes]:
    """All objects of a local result; nothing hidden may be left in it."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stored(prefix: str, bucket: str = BUCKET) -> dict[str, bytes]:
    """All objects of a result in the storage."""
    import boto3

    client = boto3.client("s3")
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", ())
    return {
        row["Key"].removeprefix(f"{prefix}/"): client.get_object(Bucket=bucket, Key=row["Key"])["Body"].read()
        for row in found
    }
