"""Clusters, nodes, storages and results that a run cannot use: one sentence each, the exit code of an unfit environment
or input, and nothing is lost of what was there."""

import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import BUCKET, Data, Nodes, content, ended, start, stored, xception
from tests.cluster.sizes import IMAGES, IMAGES_PER_SHARD
from tests.support.faulty_storage import FaultyStorage
from xception.data.store import LocalStore
from xception.tasks.plan import read_batch_manifest
from xception.tasks.sharded_rows import read_rows

SHARDS = ("--table", "jsonl.gz", "--images-per-shard", str(IMAGES_PER_SHARD))

NOBODY = "127.0.0.1:9"
"""An address at which no server is."""

OTHER_NUMPY = "Metadata-Version: 2.1\nName: numpy\nVersion: 99.0\n"

NO_PACKAGE = "raise ModuleNotFoundError(\"No module named 'xception'\", name='xception')\n"

OTHER_PYTHON = "import sys\nsys.version_info = type('V', (tuple,), {'major': 3, 'minor': 9})((3, 9, 99, 'final', 0))\n"


def refused(said: str, data: Data, out: Path | str, *words: str, **environment: str) -> None:
    """Run the command, which has to end with one sentence and the exit code 3."""
    done = xception("predict", data.bundle, data.images, "--out", out, *SHARDS, *words, **environment)
    sentences = [line for line in done.stderr.splitlines() if line.startswith("xception: ")]
    assert done.returncode == 3, done.stderr
    assert len(sentences) == 1 and said in sentences[0], done.stderr


def python_path(folder: Path, name: str, text: str) -> str:
    """The path on which Python finds a file before all others."""
    (folder / "first" / name).parent.mkdir(parents=True)
    (folder / "first" / name).write_text(text)
    return f"{folder / 'first'}{os.pathsep}{os.environ['PYTHONPATH']}"


def test_a_cluster_that_is_not_there_is_named_and_what_was_begun_can_be_done_without_one(
    data: Data, tmp_path: Path
) -> None:
    refused(f"no Ray cluster answers at {NOBODY}: ", data, tmp_path / "out", "--ray", NOBODY)
    done = xception("predict", data.bundle, data.images, "--out", tmp_path / "out", *SHARDS)
    assert done.returncode == 0, done.stderr


def test_a_cluster_of_another_python_is_named(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    path = python_path(tmp_path, "sitecustomize.py", OTHER_PYTHON)
    said = "install the same versions of Python and Ray on all nodes"
    refused(said, data, tmp_path / "out", "--ray", nodes.address, PYTHONPATH=path)


def test_a_cluster_without_room_says_what_there_is(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    said = "it needs 64 cores and 1 GPUs on one node, and the nodes have 3 cores and 0 GPUs"
    words = ("--cpus-per-actor", "64", "--gpus-per-actor", "1")
    refused(said, data, tmp_path / "out", "--ray", nodes.address, *words)


def test_a_run_in_which_no_shard_ends_says_what_is_free(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    # An actor needs longer than this to start Python alone.
    words = ("--ray", nodes.address, "--stall-after", "0.1")
    refused("no shard ended in 0.1 s on the Ray cluster: an actor needs 1 cores", data, tmp_path / "out", *words)


def test_a_node_with_another_version_of_a_package_is_refused(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    path = python_path(tmp_path, "numpy-99.0.dist-info/METADATA", OTHER_NUMPY)
    with nodes.odd_one(PYTHONPATH=path) as there:
        refused(" there and 99.0 here; give it the packages", data, tmp_path / "out", *there)
    assert set(content(tmp_path / "out")) == {"plan.json"}


def test_a_node_without_the_package_is_named(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    with nodes.odd_one(PYTHONPATH=python_path(tmp_path, "xception.py", NO_PACKAGE)) as there:
        refused("No module named 'xception'; what is done is kept: install", data, tmp_path / "out", *there)


def test_a_node_that_reaches_no_storage_says_so(data: Data, nodes: Nodes, door: FaultyStorage) -> None:
    with nodes.odd_one(AWS_ENDPOINT_URL=f"http://{NOBODY}") as there:
        refused("(on the node ", data, f"s3://{BUCKET}/far", *there)
    assert set(stored("far")) == {"plan.json"}


@pytest.fixture
def guarded(door: FaultyStorage) -> Iterator[None]:
    """The storage, which knows nobody's credentials any more."""

    def ask_credentials_after(requests: str) -> None:
        url, form = f"http://{door.upstream}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(url, requests.encode(), form)).close()

    ask_credentials_after("0")
    yield
    ask_credentials_after("inf")


def test_credentials_that_the_storage_does_not_know_are_named(data: Data, nodes: Nodes, guarded: None) -> None:
    said = f"cannot write s3://{BUCKET}/guarded/plan.json: the credentials at hand do not allow it"
    refused(said, data, f"s3://{BUCKET}/guarded", "--ray", nodes.address)


def test_the_result_of_another_plan_is_not_continued(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    out, fewer = tmp_path / "out", tmp_path / "fewer"
    ended(start(data.bundle, data.images, out))
    before = content(out)
    shutil.copytree(data.images, fewer)
    (fewer / "digits-0.tar").unlink()
    others = Data(data.bundle, fewer, {})
    refused(f"images is {IMAGES} there and ", others, out, "--ray", nodes.address)
    assert content(out) == before


def test_an_image_that_kills_is_found_on_the_cluster_and_all_others_are_answered(
    data: Data, nodes: Nodes, tmp_path: Path
) -> None:
    ended(start(data.bundle, data.images, tmp_path / "out", "--ray", nodes.address, "--deadly", "000123"))
    failures = {row.key: row.failure for row in read_rows(tmp_path / "out") if row.failure}
    assert [reason for key, reason in failures.items() if key.endswith("000123")] == ["killed the process twice"]
    manifest = read_batch_manifest(LocalStore(tmp_path / "out"))
    assert (manifest.total, manifest.failed, len(failures)) == (IMAGES, 2, 2)
    assert not [name for name in content(tmp_path / "out") if name.startswith("attempt-")]
