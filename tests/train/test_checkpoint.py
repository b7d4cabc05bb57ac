import errno
import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from tests.test_bundle import room_for
from tests.train.samples import fresh
from xception.errors import EnvironmentFault, InputError
from xception.train.checkpoint import INDEX, CheckpointIndex, Checkpoints, encode
from xception.train.logs import Epoch
from xception.train.state import TrainingState
from xception.train.storage import LocalStorage


class Run:
    """Checkpoints in a folder, with the warnings that came."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self.checkpoints = Checkpoints(LocalStorage(folder), keep, self.warnings.append)

    def save(self, step: int, top1: float | None = None) -> TrainingState:
        state = fresh()
        state.progress.step = step
        if top1 is not None:
            state.progress.history.append(epoch(step, top1))
        self.checkpoints.save(state)
        return state

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name != INDEX)

    def steps(self) -> list[int]:
        return [int(name.split("-")[1]) for name in self.files()]

    def manifest(self) -> CheckpointIndex:
        return msgspec.json.decode((self.folder / INDEX).read_bytes(), type=CheckpointIndex)


def epoch(step: int, top1: float) -> Epoch:
    return Epoch(
        epoch=1,
        steps=step,
        lr=0.1,
        train_loss=1.0,
        validation_loss=1.0,
        validation_top1=top1,
        seconds=1.0,
        images_per_second=1.0,
        ms_per_step=9.0,
        devices=1,
    )


def test_without_a_checkpoint_there_is_nothing_to_load(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.checkpoints.load() is None
    assert run.checkpoints.newest is None
    assert run.warnings == []


def test_what_was_saved_last_is_what_is_loaded(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    state = run.save(2)
    name, content = Run(tmp_path).checkpoints.load() or ("", b"")
    assert name == run.checkpoints.newest
    assert content == encode(state)


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, keep=2)
    for step, top1 in ((1, 0.5), (2, 0.9), (3, 0.9), (4, None), (5, 0.7)):
        run.save(step, top1)
    assert run.steps() == [2, 4, 5]
    manifest = run.manifest()
    assert [saved.step for saved in manifest.checkpoints] == [5, 4, 2]
    assert manifest.best == run.files()[0]


def test_the_manifest_holds_the_checksums(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    (saved,) = run.manifest().checkpoints
    content = (tmp_path / saved.file).read_bytes()
    assert (saved.sha256, saved.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = [truncate, empty, flip, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_checkpoint_is_named_and_the_one_before_taken(damage: object, tmp_path: Path) -> None:
    run = Run(tmp_path)
    before, _ = run.save(1), run.save(2)
    damage(tmp_path / run.files()[-1])
    again = Run(tmp_path)
    name, content = again.checkpoints.load() or ("", b"")
    assert name.endswith(run.files()[0])
    assert content == encode(before)
    (warning,) = again.warnings
    assert "checkpoint-000000002-" in warning
    again.save(2)
    assert again.steps() == [1, 2]


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_readable_manifest_the_files_speak_for_themselves(damage: object, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    state = run.save(2)
    damage(tmp_path / INDEX)
    again = Run(tmp_path)
    assert (again.checkpoints.load() or ("", b""))[1] == encode(state)


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_none_is_whole_the_run_is_not_begun_anew_in_silence(damage: object, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    damage(tmp_path / run.files()[0])
    with pytest.raises(
        InputError, match=r"no checkpoint in .* is intact, including checkpoint-000000001-.*start again"
    ):
        Run(tmp_path).checkpoints.load()


def test_a_file_that_the_manifest_does_not_know_goes(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    orphan = tmp_path / f"checkpoint-{2:09d}-{'0' * 16}.safetensors"
    orphan.write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("mine")
    assert Run(tmp_path).checkpoints.load()
    assert not orphan.exists()
    assert (tmp_path / "notes.txt").exists()


def test_a_manifest_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    state = run.save(1)
    text = (tmp_path / INDEX).read_text()
    (tmp_path / INDEX).write_text(text.replace("checkpoint-", "../../checkpoint-"))
    again = Run(tmp_path)
    assert (again.checkpoints.load() or ("", b""))[1] == encode(state)
    assert "is broken" in again.warnings[0]


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    text = (tmp_path / INDEX).read_text()
    (tmp_path / INDEX).write_text(text.replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(InputError, match="has format version 9, this program reads version 1"):
        Run(tmp_path).checkpoints.load()


def test_without_room_the_last_checkpoint_stays(tmp_path: Path) -> None:
    run = Run(tmp_path)
    state = run.save(1)
    files = run.files()
    with room_for(8192), pytest.raises(EnvironmentFault, match="what was there is unchanged; make room and resume"):
        run.save(2)
    assert run.files() == files
    assert (Run(tmp_path).checkpoints.load() or ("", b""))[1] == encode(state)


@pytest.mark.parametrize("call", range(1, 5))
def test_a_disk_that_fills_up_at_any_point_leaves_the_last_checkpoint(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    first = run.save(1)
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        run.save(2)
    again = Run(tmp_path)
    name, content = again.checkpoints.load() or ("", b"")
    assert content == encode(first) or (call == 4 and "checkpoint-000000002-" in name)
    assert again.warnings == []
    assert not list(tmp_path.glob(".*"))


def test_where_the_best_state_is_damaged_the_next_best_is_taken_and_not_the_last(tmp_path: Path) -> None:
    run = Run(tmp_path, keep=3)
    run.save(1, 0.9)
    second = run.save(2, 0.8)
    run.save(3, 0.1)
    flip(tmp_path / run.files()[0])
    again = Run(tmp_path, keep=3)
    assert again.checkpoints.load()
    name, content = again.checkpoints.best() or ("", b"")
    assert "checkpoint-000000002-" in name
    assert content == encode(second)
    assert "checkpoint-000000001-" in again.warnings[0]


def test_without_an_index_the_states_tell_by_themselves_which_is_the_best(tmp_path: Path) -> None:
    run = Run(tmp_path, keep=3)
    best = run.save(1, 0.9)
    run.save(2, 0.1)
    (tmp_path / INDEX).unlink()
    again = Run(tmp_path, keep=3)
    assert again.checkpoints.load()
    assert (again.checkpoints.best() or ("", b""))[1] == encode(best)


def test_a_whole_state_that_was_not_yet_listed_is_taken_where_the_listed_ones_are_broken(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save(1)
    index = (tmp_path / INDEX).read_bytes()
    broken = tmp_path / run.files()[-1]
    newer = run.save(2)
    (tmp_path / INDEX).write_bytes(index)
    flip(broken)
    again = Run(tmp_path)
    assert (again.checkpoints.load() or ("", b""))[1] == encode(newer)
