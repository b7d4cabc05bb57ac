import errno
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from xception import outputs, platforms
from xception.errors import EnvironmentFault, InputError
from xception.outputs import alone_in, ensure_free, json_document, staged_folder, sync_files, write_file


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
    # Two files, their two folders, and later the folder with the new name.
    assert synced == [False] * 4 + [True]
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


def test_a_link_is_followed_to_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "page", tmp_path / "link"
    link.symlink_to(target)
    for content in (b"new", b"newer"):
        write_file(link, content)
        assert (link.is_symlink(), target.read_bytes()) == (True, content)


def test_mode_and_owner_stay(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"old")
    place.chmod(0o640)
    owner = place.stat().st_uid
    write_file(place, b"new")
    assert (place.read_bytes(), place.stat().st_mode & 0o777, place.stat().st_uid) == (b"new", 0o640, owner)
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o750)
    with staged_folder(folder) as made:
        (made / "a").touch()
    assert folder.stat().st_mode & 0o777 == 0o750


def test_a_device_or_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    write_file(Path("/dev/null"), b"x")
    assert Path("/dev/null").is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, b"content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_an_open_file_that_is_named_as_such_is_continued(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        file.write(b"printed before, ")
        file.flush()
        write_file(Path(f"/dev/fd/{file.fileno()}"), b"and written")
        os.lseek(file.fileno(), 0, os.SEEK_END)
        file.write(b", and printed after")
    assert (tmp_path / "out").read_bytes() == b"printed before, and written, and printed after"


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(EnvironmentFault, match="it is a disk or a socket"):
            write_file(tmp_path / "socket", b"x")
        assert (tmp_path / "socket").is_socket()


def test_a_file_that_another_process_writes_is_left_to_it(tmp_path: Path) -> None:
    taken = outputs._locked(tmp_path / ".file.partial")
    with taken, pytest.raises(EnvironmentFault, match="another process is writing it"):
        write_file(tmp_path / "file", b"x")
    write_file(tmp_path / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture(params=["exchanged", "in two steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways to replace a folder: of systems that exchange two at once, and of others."""
    if request.param == "in two steps":
        monkeypatch.setattr(platforms, "exchange", lambda *_: False)
    return str(request.param)


def make(place: Path, content: bytes) -> None:
    with staged_folder(place) as folder:
        (folder / "file").write_bytes(content)


def held(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_a_folder_is_replaced_whole(way: str, tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        make(tmp_path / "out", content)
        assert held(tmp_path / "out") == {"file": content}
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_folder_stays_and_the_folder_is_replaced(way: str, tmp_path: Path) -> None:
    make(tmp_path / "v1", b"old")
    (tmp_path / "current").symlink_to("v1")
    make(tmp_path / "current", b"new")
    assert (tmp_path / "current").is_symlink()
    assert held(tmp_path / "v1") == {"file": b"new"}


def test_an_error_in_the_middle_leaves_the_old_folder_and_says_so(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out", b"old")
    rename, calls = Path.rename, []

    def failing(self: Path, to: Path) -> Path:
        calls.append(to)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, to)

    def refused(*_: object) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "rename", failing)
    if way == "exchanged":
        monkeypatch.setattr(platforms, "exchange", refused)
    with pytest.raises(EnvironmentFault, match="Input/output error; what was there is unchanged"):
        make(tmp_path / "out", b"new")
    assert held(tmp_path / "out") == {"file": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_was_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "out"
    with (
        pytest.raises(InputError, match="exists and is not an empty folder"),
        staged_folder(place, partial(ensure_free, place)) as folder,
    ):
        (folder / "file").touch()
        place.mkdir()
        (place / "thesis.txt").touch()
    assert [path.name for path in place.iterdir()] == ["thesis.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def killed(job: Callable[[], object], step: int) -> bool:
    """Run a job in a process of its own, which is killed before its nth change of the disk; False if it ended."""
    child = os.fork()
    if not child:
        plant(step)
        job()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def plant(step: int) -> None:
    left = iter(range(step, -1, -1))

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object, **options: object) -> object:
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return counting

    for owner, names in ((os, ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir")), (platforms, ("exchange",))):
        for name in names:
            setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.parametrize("there_before", [True, False])
def test_a_kill_before_any_change_leaves_the_old_folder_or_the_new_one(
    way: str, there_before: bool, tmp_path: Path
) -> None:
    step, seen = 0, set()
    while True:
        place = tmp_path / str(step) / "out"
        place.parent.mkdir()
        if there_before:
            make(place, b"old")
        if not killed(partial(make, place, b"new"), step):
            break
        seen.add(state := held(place)["file"] if place.exists() else None)
        if way == "exchanged":
            assert (state is not None) or not there_before
        # The next writer finds what was left, puts back what was moved aside, and clears the rest away.
        with pytest.raises(KeyboardInterrupt), staged_folder(place):
            raise KeyboardInterrupt
        assert [path.name for path in place.parent.iterdir()] == (["out"] if there_before or state else [])
        assert not place.exists() or held(place) in ({"file": b"old"}, {"file": b"new"})
        step += 1
    assert step >= 5
    assert {b"new", b"old" if there_before else None} <= seen


def test_a_kill_before_any_change_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    step, seen, place = 0, set(), tmp_path / "file"
    while True:
        write_file(place, b"old")
        if not killed(partial(write_file, place, b"new"), step):
            break
        seen.add(place.read_bytes())
        step += 1
    assert seen == {b"old", b"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_another_process_is_writing_is_not_cleared_away(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as first:
        (first / "file").write_bytes(b"first")
        make(tmp_path / "out", b"second")
        assert held(tmp_path / "out") == {"file": b"second"}
        assert held(first) == {"file": b"first"}
    assert held(tmp_path / "out") == {"file": b"first"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folders_of_others_that_look_alike_stay(tmp_path: Path) -> None:
    for name in (".out.backup", ".out.0123abcd", ".out.0123abcd.partial.txt", ".outer.0123abcd.partial"):
        (tmp_path / name).mkdir()
    make(tmp_path / "out", b"x")
    assert len(list(tmp_path.iterdir())) == 5


def test_one_process_at_a_time_is_in_a_folder(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path / "run", "training in"),
        pytest.raises(EnvironmentFault, match=r"another process is training in .*run; wait until it has ended"),
        alone_in(tmp_path / "run", "training in"),
    ):
        pass
    with alone_in(tmp_path / "run", "training in"):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    def hold() -> None:
        with alone_in(tmp_path, "training in"):
            os.kill(os.getpid(), signal.SIGKILL)

    assert killed(hold, 10**6)
    assert (tmp_path / ".lock").exists()
    with alone_in(tmp_path, "training in"):
        pass


def test_a_process_that_was_forked_does_not_keep_its_killed_parents_lock(tmp_path: Path) -> None:
    """As worker processes do, for seconds after their run was killed."""
    waiting, release = os.pipe()

    def hold() -> None:
        with alone_in(tmp_path, "training in"):
            if os.fork() == 0:
                os.close(release)
                os.read(waiting, 1)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)

    assert killed(hold, 10**6)
    with alone_in(tmp_path, "training in"):
        pass
    os.close(release)
    os.close(waiting)


def test_where_there_are_no_locks_files_and_folders_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: int) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(platforms, "lock", none)
    write_file(tmp_path / "file", b"x")
    make(tmp_path / "out", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


def test_synced_files_are_brought_to_the_disk_with_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write_file(tmp_path / name, b"x", sync=False)
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    sync_files([tmp_path / "a", tmp_path / "b"])
    assert synced == [path.stat().st_ino for path in (tmp_path / "a", tmp_path / "b", tmp_path)]
    with pytest.raises(EnvironmentFault, match="it may not be whole"):
        sync_files([tmp_path / "none"])


def test_a_lock_that_is_given_back_at_once_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / outputs.LOCK).touch()
    held = (tmp_path / outputs.LOCK).open("ab")
    assert platforms.lock(held.fileno())
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            held.close()

    monkeypatch.setattr(outputs, "sleep", pause)
    with alone_in(tmp_path, "training in"):
        pass
    assert pauses == [outputs.PAUSE_S] * 3
