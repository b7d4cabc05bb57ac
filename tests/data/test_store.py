import errno
import os
import resource
import signal
import stat
from pathlib import Path
from threading import Thread

import pytest

from tests.support.children import FULL, in_child
from xception.data.store import LocalStore
from xception.errors import EnvironmentFault


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "out")


def test_objects_are_read_as_they_were_put(store: LocalStore) -> None:
    assert list(store.names()) == []
    store.put("a", b"old")
    store.put("a", b"new")
    store.put("b", b"")
    assert (store.read("a"), store.read("b"), sorted(store.names())) == (b"new", b"", ["a", "b"])
    store.remove("a")
    store.remove("a")
    with pytest.raises(FileNotFoundError):
        store.read("a")


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("file", "link"):
        with pytest.raises(EnvironmentFault, match=f"{name} is there already and no folder; choose another place"):
            LocalStore(tmp_path / name).create("plan", b"")


@pytest.mark.parametrize("has_links", [True, False])
def test_only_the_first_of_all_writers_creates(
    has_links: bool, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    assert store.create("plan", b"first")
    assert not store.create("plan", b"second")
    assert store.read("plan") == b"first"
    assert [path.name for path in store.root.iterdir()] == ["plan"]


def test_one_of_many_threads_creates(store: LocalStore) -> None:
    won: list[int] = []
    threads = [Thread(target=lambda n=n: won.append(n) if store.create("plan", b"%d" % n) else None) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("plan") == b"%d" % won[0]


def test_a_writer_that_is_killed_leaves_the_old_object_and_nothing_that_is_seen(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a", b"old")
    monkeypatch.setattr(os, "fsync", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    assert in_child(lambda: store.put("a", b"new")) == -signal.SIGKILL
    monkeypatch.undo()
    assert (list(store.names()), store.read("a")) == (["a"], b"old")
    assert len(list(store.root.iterdir())) == 2
    store.tidy()
    assert [path.name for path in store.root.iterdir()] == ["a"]


def test_the_disk_is_waited_for_once_per_object_and_for_the_names_in_the_end(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, list[str]]] = []

    def note(descriptor: int) -> None:
        synced.append((stat.S_ISREG(os.fstat(descriptor).st_mode), sorted(store.names())))

    monkeypatch.setattr(os, "fsync", note)
    store.put("rows", b"rows")
    store.create("mark", b"")
    store.put("report", b"report")
    assert synced == [(True, []), (True, ["mark", "rows"])]
    store.tidy()
    assert [is_file for is_file, _ in synced] == [True, True, False]


def test_what_a_living_writer_writes_is_not_tidied_away(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def tidied(_: int) -> None:
        monkeypatch.undo()
        assert in_child(store.tidy) == 0

    monkeypatch.setattr(os, "fsync", tidied)
    store.put("a", b"new")
    assert store.read("a") == b"new"


def test_a_full_disk_leaves_the_old_object(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.put("a", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="make room and run the same again"):
        store.put("a", b"new")
    with pytest.raises(EnvironmentFault, match="make room and run the same again"):
        store.create("b", b"new")
    assert [(path.name, path.read_bytes()) for path in store.root.iterdir()] == [("a", b"old")]


def test_an_object_that_the_system_takes_in_part_only_is_not_there(store: LocalStore) -> None:
    """The limit on the size of files makes the kernel stop in the middle of one, as it does on a full disk."""

    def put_too_much() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        store.put("a", bytes(8192))

    store.put("a", b"old")
    assert in_child(put_too_much) == FULL
    assert [(path.name, path.read_bytes()) for path in store.root.iterdir()] == [("a", b"old")]
