import errno
import os
from pathlib import Path

import pytest

from xception.errors import EnvironmentFault
from xception.outputs import write_file


def test_a_file_takes_the_place_of_the_old_one_and_leaves_no_other(tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder" / "file"
    for content in (b"first", b"second"):
        write_file(place, content)
        assert place.read_bytes() == content
    assert [path.name for path in place.parent.iterdir()] == ["file"]


def test_a_full_disk_is_called_so_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_file(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match=r"No space left on device; .*; make room"):
        write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("place", ["taken/file", "folder"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_file(tmp_path / place, b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "taken"]
