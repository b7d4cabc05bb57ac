import errno
import os
from pathlib import Path

import pytest

from xception.errors import EnvironmentFault, InputError
from xception.outputs import ensure_free, json_document, staged_folder, write_file


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


def test_a_document_is_indented_json_that_ends_in_a_line_break() -> None:
    assert json_document({"a": [1], "b": None}) == b'{\n  "a": [\n    1\n  ],\n  "b": null\n}\n'


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    write_file(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "file", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_synced_file_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append((tmp_path / "file").exists()))
    write_file(tmp_path / "file", b"x", sync=False)
    assert synced == []
    (tmp_path / "file").unlink()
    write_file(tmp_path / "file", b"x")
    assert synced == [False, True]  # the content, and later the folder with the new name


def test_a_system_that_cannot_open_folders_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    write_file(tmp_path / "file", b"x")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_the_files_of_a_staged_folder_are_on_the_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append((tmp_path / "out").exists()))
    with staged_folder(tmp_path / "out") as folder:
        (folder / "below").mkdir()
        (folder / "a").write_bytes(b"a")
        (folder / "below" / "b").write_bytes(b"b")
    assert synced == [False, False, True]
    assert (tmp_path / "out" / "below" / "b").read_bytes() == b"b"


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_empty_or_missing_folder_is_free(tmp_path: Path, overwrite: bool) -> None:
    ensure_free(tmp_path, overwrite=overwrite)
    ensure_free(tmp_path / "new", "a pack", marker="pack.json", overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_anything_else_is_never_free(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"is not a pack \(it holds thesis\.txt\); choose another place"):
        ensure_free(tmp_path, "a pack", marker="pack.json", overwrite=overwrite)
    with pytest.raises(InputError, match=r"is not an empty folder \(it holds thesis\.txt\)"):
        ensure_free(tmp_path, overwrite=overwrite)
    with pytest.raises(InputError, match=r"is not a pack \(it is a file\)"):
        ensure_free(tmp_path / "thesis.txt", "a pack", marker="pack.json", overwrite=overwrite)


def test_an_earlier_result_is_free_only_if_it_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "pack.json").touch()
    for known in ({"marker": "pack.json"}, {"only": {"pack.json", "graph.onnx"}}):
        with pytest.raises(InputError, match="already holds a pack; choose another place or pass --overwrite"):
            ensure_free(tmp_path, "a pack", **known)
        ensure_free(tmp_path, "a pack", overwrite=True, **known)


def test_a_folder_with_more_than_an_earlier_result_holds_is_none(tmp_path: Path) -> None:
    for name in ("config.json", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"it holds config\.json, notes\.txt"):
        ensure_free(tmp_path, "a folder for timm", only={"config.json"}, overwrite=True)
    ensure_free(tmp_path, "a folder for timm", marker="config.json", overwrite=True)
