"""Results in an object storage, and what goes wrong there."""

import errno
import os
import socket
from collections.abc import Iterator
from threading import Thread
from typing import ClassVar

import pytest

from tests.conftest import S3Server
from tests.support.faulty_storage import FAULTS, Fault, FaultyStorage
from xception.data import remote, remote_store
from xception.data.images import open_images
from xception.data.remote_store import RemoteStore, open_store
from xception.data.source import insisting
from xception.data.store import LocalStore
from xception.errors import EnvironmentFault, UsageError

CONTENT = bytes(range(256)) * 64


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.bucket("results")


@pytest.fixture
def store(bucket: str, request: pytest.FixtureRequest) -> RemoteStore:
    return RemoteStore(f"{bucket}/{request.node.name}/")


@pytest.fixture
def behind(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStorage]:
    """A door in front of the storage, through which all requests of the test go."""
    with FaultyStorage(os.environ["AWS_ENDPOINT_URL"], rate=0) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
        _forget_clients()
        yield door
    _forget_clients()


def _forget_clients() -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def test_a_place_with_a_scheme_is_an_object_storage(tmp_path: os.PathLike[str]) -> None:
    assert isinstance(open_store("s3://bucket/a"), RemoteStore)
    assert isinstance(open_store(tmp_path), LocalStore)
    with pytest.raises(UsageError, match="expected a URL such as s3://bucket/folder"):
        open_store("gopher://a/b")


def test_objects_are_read_as_they_were_put(store: RemoteStore) -> None:
    assert list(store.names()) == []
    store.put("a", b"old")
    store.put("a", b"new")
    store.put("b", b"")
    assert (store.read("a"), store.read("b"), sorted(store.names())) == (b"new", b"", ["a", "b"])
    store.remove("a")
    store.remove("a")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        store.read("a")
    store.tidy()


def test_only_the_first_of_all_writers_creates(store: RemoteStore) -> None:
    assert store.create("plan", b"first")
    assert not store.create("plan", b"second")
    assert not store.create("plan", b"first")
    assert store.read("plan") == b"first"


def test_one_of_many_threads_creates(store: RemoteStore) -> None:
    won: list[int] = []
    threads = [Thread(target=lambda n=n: won.append(n) if store.create("plan", b"%d" % n) else None) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("plan") == b"%d" % won[0]


def test_a_storage_without_conditions_is_looked_at_first(store: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put = store._fs.pipe_file

    def refuse(path: str, content: bytes, mode: str = "overwrite", **_: float) -> None:
        if mode == "create":
            raise OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented")
        put(path, content)

    monkeypatch.setattr(store._fs, "pipe_file", refuse)
    assert store.create("plan", b"first")
    assert not store.create("plan", b"second")
    assert store.read("plan") == b"first"


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_that_passes_is_outlasted(kind: Fault, behind: FaultyStorage, request: pytest.FixtureRequest) -> None:
    behind.rate, behind.kinds = 1.0, (kind,)
    store = RemoteStore(f"s3://results/{request.node.name}")
    store.put("a", CONTENT)
    assert store.create("b", CONTENT)
    assert (store.read("a"), store.read("b"), sorted(store.names())) == (CONTENT, CONTENT, ["a", "b"])
    store.remove("a")
    assert behind.faults[kind] >= 8


@pytest.mark.parametrize("content", [b"", CONTENT])
def test_an_object_whose_answer_was_lost_counts_as_created(content: bytes, behind: FaultyStorage) -> None:
    behind.rate, behind.kinds = 1.0, ("reset before the answer",)
    assert RemoteStore(f"s3://results/lost{len(content)}").create("attempt-1", content)


def test_what_was_being_sent_when_the_connection_broke_is_not_there(
    behind: FaultyStorage, store: RemoteStore, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = RemoteStore(f"s3://results/{request.node.name}")
    monkeypatch.setattr("tests.support.faulty_storage.MAX_IN_A_ROW", 100)
    behind.rate, behind.kinds = 1.0, ("reset while sending",)
    with pytest.raises(
        EnvironmentFault, match=r"cannot write s3://results/.*/a: .*; check the address and the network"
    ):
        faulty.put("a", CONTENT)
    with pytest.raises(EnvironmentFault, match="cannot write"):
        faulty.create("b", CONTENT)
    behind.rate = 0
    assert list(faulty.names()) == []


def test_images_are_read_through_faults(behind: FaultyStorage, s3: str) -> None:
    expected = {item.key: item.load() for item in open_images([f"{s3}/flat/val"])}
    _forget_clients()
    behind.rate = 0.4
    assert {item.key: item.load() for item in open_images([f"{s3}/flat/val"])} == expected
    assert behind.faults.total() > 5


def test_a_missing_bucket_is_named() -> None:
    store = RemoteStore("s3://no-such-bucket/out")
    assert list(store.names()) == []
    with pytest.raises(EnvironmentFault, match="cannot write s3://no-such-bucket/out/a: there is no such bucket"):
        store.put("a", b"")
    with pytest.raises(EnvironmentFault, match="there is no such bucket"):
        store.create("a", b"")


def test_an_unreachable_storage_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    _forget_clients()
    with pytest.raises(EnvironmentFault, match=r"cannot write s3://results/a/b: .*127\.0\.0\.1:9.*; check the address"):
        RemoteStore("s3://results/a").put("b", b"")
    _forget_clients()


def test_a_storage_that_takes_objects_without_a_word_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_store, "READ_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        _forget_clients()
        for write in (RemoteStore("s3://results/a").put, RemoteStore("s3://results/a").create):
            with pytest.raises(
                EnvironmentFault, match=r"cannot write s3://results/a/b: the server did not take 4 bytes"
            ):
                write("b", b"rows")
    _forget_clients()


def test_what_the_credentials_do_not_allow_is_named(store: RemoteStore, s3_server: S3Server) -> None:
    store.put("a", b"here before")
    with s3_server.refusing_credentials():
        for verb, ask in {
            "write": lambda: store.put("a", b""),
            "read": lambda: store.read("a"),
            "remove": lambda: store.remove("a"),
        }.items():
            with pytest.raises(EnvironmentFault, match=f"cannot {verb} .*/a: the credentials at hand do not allow it"):
                ask()
        with pytest.raises(EnvironmentFault, match=r"cannot write .*/b: the credentials"):
            store.create("b", b"")
    assert (store.read("a"), list(store.names())) == (b"here before", ["a"])


def test_an_image_whose_server_refuses_the_credentials_is_no_failed_image(s3: str, s3_server: S3Server) -> None:
    item = insisting(open_images([f"{s3}/flat/val"])[0])
    said = "may not be read with the credentials at hand; check these"
    with s3_server.refusing_credentials(), pytest.raises(EnvironmentFault, match=said):
        item.load()
    assert item.load()


def test_an_object_that_nobody_may_read_is_a_failed_image() -> None:
    class Refusal(PermissionError):
        response: ClassVar = {"Error": {"Code": "AccessDenied"}}

    def refuse() -> bytes:
        raise PermissionError("Access Denied") from Refusal()

    with pytest.raises(PermissionError, match="s3://a/b may not be read with the credentials at hand"):
        remote._asked("s3://a/b", refuse)
