"""A short siege; `kill_batch.py` itself lasts as long as one likes."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.attacks import kill_batch
from tests.attacks.kill_batch import IMAGES, IMAGES_PER_SHARD, Guard


@pytest.mark.slow
def test_attacked_runs_end_with_the_same_bytes(tmp_path: Path) -> None:
    assert kill_batch.besiege(tmp_path, 3, seed=1).total() >= 3


@pytest.mark.slow
def test_a_commit_that_is_not_atomic_is_seen(tmp_path: Path) -> None:
    work, expected = kill_batch.prepared(tmp_path)
    with pytest.raises(SystemExit, match="was seen in part"):
        kill_batch.attack("full", replace(work, careless=True), Guard(tmp_path / "out", expected), random.Random(0))


def test_an_object_that_is_not_whole_is_seen(tmp_path: Path) -> None:
    guard = Guard(tmp_path, {"shard-00000000.json": b"whole"})
    assert guard.look() == 0
    (tmp_path / "shard-00000000.json").write_bytes(b"whole")
    assert guard.look() == 1
    (tmp_path / "shard-00000000.json").write_bytes(b"who")
    with pytest.raises(SystemExit, match="was seen in part"):
        guard.look()


def test_a_file_that_is_left_and_work_that_is_done_too_often_are_noticed(tmp_path: Path) -> None:
    guard = Guard(tmp_path, {})
    kill_batch.judge(guard, IMAGES + IMAGES_PER_SHARD, ["worker"])
    with pytest.raises(SystemExit, match="images were read again after worker"):
        kill_batch.judge(guard, IMAGES + IMAGES_PER_SHARD + 1, ["worker"])
    (tmp_path / ".half.partial").touch()
    with pytest.raises(SystemExit, match=r"differs in \.half\.partial"):
        kill_batch.judge(guard, IMAGES, [])
