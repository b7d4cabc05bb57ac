"""The same bytes from one process and from a Ray cluster, whatever fails in the meantime."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import BUCKET, Data, Nodes, content, ended, start, stored
from tests.cluster.sizes import IMAGES, IMAGES_PER_SHARD, SHARDS
from tests.support.faulty_storage import FaultyStorage

S3_IMAGES = f"s3://{BUCKET}/images"


@pytest.fixture(autouse=True)
def whole(nodes: Nodes, door: FaultyStorage) -> Iterator[None]:
    """Two nodes and a storage without faults, before a check and after it."""
    nodes.grow()
    yield
    door.rate = 0
    door.versions.clear()
    nodes.grow()


def after(shards: int, run: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    """The run, once so many shards are done."""
    assert run.stdout
    for _ in range(shards):
        assert run.stdout.readline().startswith("done"), run.communicate()[1]
    return run


def seen_in_part(door: FaultyStorage, prefix: str, expected: dict[str, bytes]) -> list[str]:
    """Objects of a result that anybody could ever see with another content than the expected one."""
    own = f"/{BUCKET}/{prefix}/"
    versions = {path.removeprefix(own): seen for path, seen in door.versions.items() if path.startswith(own)}
    return sorted(name for name, seen in versions.items() if name in expected and seen != {expected[name]})


def test_the_result_has_every_image_once(data: Data) -> None:
    manifest = json.loads(data.expected["manifest.json"])
    keys = [
        json.loads(row)["key"]
        for name in sorted(data.expected)
        if name.endswith(".jsonl")
        for row in data.expected[name].splitlines()
    ]
    assert (manifest["total"], manifest["seen"], manifest["failed"]) == (IMAGES, IMAGES - 1, 1)
    assert len(set(keys)) == len(keys) == IMAGES
    assert len(data.expected) == 2 + 2 * SHARDS


def test_the_command_line_writes_the_same_bytes_by_itself_and_on_the_cluster(
    data: Data, nodes: Nodes, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "xception", "predict", str(data.bundle), str(data.images), "--table", "jsonl.gz"]
    command += ["--images-per-shard", str(IMAGES_PER_SHARD)]
    for out, ways in (("one", []), ("ray", ["--ray", nodes.address, "--actors", "2"]), ("two", ["--workers", "2"])):
        done = subprocess.run(
            [*command, "--out", str(tmp_path / out), *ways], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert f"{IMAGES} = {IMAGES - 1} seen + 1 failed" in done.stdout
    assert content(tmp_path / "ray") == content(tmp_path / "two") == content(tmp_path / "one")


def test_one_process_writes_the_same_bytes_to_a_storage_with_faults(data: Data, door: FaultyStorage) -> None:
    door.rate = 0.2
    ended(start(data.bundle, data.images, f"s3://{BUCKET}/one"))
    door.rate = 0
    assert stored("one") == data.expected
    assert seen_in_part(door, "one", data.expected) == []
    assert door.faults.total() > SHARDS / 4


def test_a_commit_that_is_not_atomic_is_seen(data: Data, door: FaultyStorage) -> None:
    ended(start(data.bundle, data.images, f"s3://{BUCKET}/careless", "--careless"))
    assert stored("careless") == data.expected
    assert len(seen_in_part(door, "careless", data.expected)) == 1 + 2 * SHARDS


def test_a_cluster_reads_from_a_storage_with_faults_and_writes_to_it(
    data: Data, nodes: Nodes, door: FaultyStorage
) -> None:
    ended(start(data.bundle, S3_IMAGES, f"s3://{BUCKET}/alone"))
    expected = stored("alone")
    rows = [name for name in expected if name.endswith(".jsonl")]
    assert {name: expected[name] for name in rows} == {name: data.expected[name] for name in rows}
    door.rate = 0.2
    ended(start(data.bundle, S3_IMAGES, f"s3://{BUCKET}/both", "--ray", nodes.address))
    door.rate = 0
    assert stored("both") == expected
    assert seen_in_part(door, "both", expected) == []


def test_a_cluster_writes_the_same_rows_with_all_actors_that_it_may_have(
    data: Data, nodes: Nodes, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    words = ("--ray", nodes.address, "--together", str(tmp_path / "pipe"))
    ended(start(data.bundle, data.images, tmp_path / "out", *words))
    found = content(tmp_path / "out")
    rows = [name for name in found if name.endswith(".jsonl")]
    assert len(rows) == SHARDS
    assert {name: found[name] for name in rows} == {name: data.expected[name] for name in rows}


def test_an_actor_that_is_killed_loses_nothing(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    run = after(3, start(data.bundle, data.images, tmp_path / "out", "--ray", nodes.address))
    assert nodes.kill_actor()
    ended(run)
    assert content(tmp_path / "out") == data.expected


def test_a_node_that_is_lost_loses_nothing(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    run = after(3, start(data.bundle, data.images, tmp_path / "out", "--ray", nodes.address))
    nodes.lose_one()
    ended(run)
    assert content(tmp_path / "out") == data.expected


def test_a_driver_that_is_killed_is_begun_again(data: Data, nodes: Nodes, tmp_path: Path) -> None:
    run = after(4, start(data.bundle, data.images, tmp_path / "out", "--ray", nodes.address))
    run.kill()
    run.communicate()
    before = {
        name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir() if (name := path.name).endswith(".jsonl")
    }
    assert 4 <= len(before) < SHARDS
    ended(start(data.bundle, data.images, tmp_path / "out", "--ray", nodes.address))
    assert content(tmp_path / "out") == data.expected
    now = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    # What was done stays as it was, but for a shard that lacked its report.
    assert sum(now[name] != before[name] for name in before) <= 2
