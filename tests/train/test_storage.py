import os
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import S3Server
from xception.bundle import Bundle, write_bundle
from xception.errors import EnvironmentFault, InputError, UsageError
from xception.outputs import PARTIAL
from xception.train.storage import Storage, open_storage


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.bucket("storage")


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> Storage:
    return open_storage(tmp_path / "run" if request.param == "folder" else f"{bucket}/{tmp_path.name}/run")


def test_a_new_place_is_empty(storage: Storage) -> None:
    assert storage.names() == []
    with pytest.raises(FileNotFoundError):
        storage.read("a")
    assert storage.published("bundle") is None


def test_what_is_written_is_read_replaced_and_removed(storage: Storage) -> None:
    storage.claim()
    for content in (b"old", b"new"):
        storage.write("a", content)
        assert storage.read("a") == content
    storage.write("b", b"")
    assert storage.names() == ["a", "b"]
    storage.remove("a")
    storage.remove("a")
    assert storage.names() == ["b"]
    storage.close()


def test_a_bundle_is_published_whole(storage: Storage, weights_bundle: Bundle) -> None:
    def make(path: Path) -> Bundle:
        files = {"weights.safetensors": weights_bundle.main_file}
        return write_bundle(path, weights_bundle.model, weights_bundle.labels, files)

    storage.claim()
    bundle = storage.publish("bundle", make)
    assert bundle.model.digest == weights_bundle.model.digest
    again = storage.published("bundle")
    assert again is not None
    assert again.model == bundle.model
    assert again.main_file.read_bytes() == weights_bundle.main_file.read_bytes()
    assert storage.names() == ["bundle"]
    storage.close()


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    (tmp_path / f".a{PARTIAL}").write_bytes(b"half")
    (tmp_path / "a").write_bytes(b"whole")
    with closing(open_storage(tmp_path)) as storage:
        storage.claim()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(("left", "kept"), [("new", []), ("old", ["bundle"])])
def test_a_bundle_that_a_killed_process_was_publishing_goes_and_the_one_before_returns(
    tmp_path: Path, left: str, kept: list[str]
) -> None:
    folder = tmp_path / f".bundle.0123abcd{PARTIAL}" / left
    folder.mkdir(parents=True)
    (folder / "model.json").write_bytes(b"half")
    with closing(open_storage(tmp_path)) as storage:
        storage.claim()
    assert [path.name for path in tmp_path.iterdir()] == kept


def test_a_writing_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(tmp_path)
    storage.write("a", b"old")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.write("a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_second_process_is_told_that_the_place_is_taken(tmp_path: Path) -> None:
    with closing(open_storage(tmp_path)) as storage, closing(open_storage(tmp_path)) as other:
        storage.claim()
        with pytest.raises(EnvironmentFault, match="another process is training in"):
            other.claim()
        storage.close()
        other.claim()


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match=r"cannot write .*; choose a place you may write"):
        open_storage(tmp_path / "file" / "run").claim()


def test_a_url_of_no_known_kind_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cannot write to nowhere://x: .* expected a URL such as s3://"):
        open_storage("nowhere://x")


def test_a_bucket_that_does_not_exist_is_named(s3_server: S3Server) -> None:
    storage = open_storage("s3://nowhere/run")
    with pytest.raises(EnvironmentFault, match=r"cannot write s3://nowhere/run/a: .*bucket does not exist"):
        storage.write("a", b"x")


def test_a_file_in_the_place_of_the_run_is_named_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(InputError, match=r"run is a file; expected a folder for the run"):
        open_storage(tmp_path / "run").names()
