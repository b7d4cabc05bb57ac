import errno
import os
from pathlib import Path

import pytest

from tests.test_bundle import room_for
from tests.train.samples import fresh, train_steps
from xception.errors import EnvironmentFault
from xception.train.checkpoint import NAME, load_checkpoint, save_checkpoint, write_atomically


def test_without_a_checkpoint_the_state_stays_fresh(tmp_path: Path) -> None:
    state = fresh()
    load_checkpoint(tmp_path, state)
    assert state.progress.step == 0


def test_saving_again_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    state = fresh()
    save_checkpoint(tmp_path, state)
    first = (tmp_path / NAME).read_bytes()
    train_steps(state, 1)
    save_checkpoint(tmp_path, state)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() != first


def test_without_room_the_old_checkpoint_stays(tmp_path: Path) -> None:
    state = fresh()
    save_checkpoint(tmp_path, state)
    old = (tmp_path / NAME).read_bytes()
    train_steps(state, 1)
    with room_for(8192), pytest.raises(EnvironmentFault, match="what was there is unchanged"):
        save_checkpoint(tmp_path, state)
    assert (tmp_path / NAME).read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match=r"No space left on device; .*; make room and resume"):
        write_atomically(tmp_path / "file", b"x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["none/file", "taken/file"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_atomically(tmp_path / place, b"x")
