"""Reads of S3 objects that are tried by obstore first."""

import pickle
from multiprocessing import get_context
from typing import Any

import pytest

from tests.conftest import S3Server
from xception.data import s3_reads
from xception.data.remote import RemoteFiles, filesystem
from xception.data.s3_reads import MAX_FAILURES_IN_A_ROW, S3Reads
from xception.platforms import PROCESS_START

CONTENT = bytes(range(256))


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    made = s3_server.bucket("reads")
    fs, root = filesystem(made, "write to")
    for name in ("a.png", "b c+(1),@=.png", "100%.png", "ä.png"):
        fs.pipe_file(f"{root}/{name}", name.encode() + CONTENT)
    return made


def reads(bucket: str) -> tuple[S3Reads, str]:
    fs, root = filesystem(bucket, "read")
    return S3Reads(fs), root


@pytest.mark.parametrize("name", ["a.png", "b c+(1),@=.png"])
def test_an_object_and_its_parts_come_without_s3fs(name: str, bucket: str) -> None:
    quick, root = reads(bucket)
    whole = name.encode() + CONTENT
    assert quick.read(f"{root}/{name}") == whole
    assert quick.read(f"{root}/{name}", 3, 50) == whole[3:50]
    assert pickle.loads(pickle.dumps(quick)).read(f"{root}/{name}") == whole


@pytest.mark.parametrize("name", ["100%.png", "ä.png", "/a.png", "./a.png", "x/../a.png", "a.png/"])
def test_a_name_that_clients_may_read_differently_is_left_to_s3fs(name: str, bucket: str) -> None:
    quick, root = reads(bucket)
    assert quick.read(f"{root}/{name}") is None


@pytest.mark.parametrize("name", ["a.png", "100%.png", "ä.png"])
def test_every_name_is_read_by_one_of_them(name: str, bucket: str) -> None:
    assert RemoteFiles(bucket).read(name) == name.encode() + CONTENT


def test_the_objects_below_a_folder_are_listed_as_s3fs_lists_them(s3_server: S3Server) -> None:
    fs, root = filesystem(s3_server.bucket("lists"), "write to")
    for name in (
        "a/b.png",
        "a/c/100%.png",
        "a/c/ä +.png",
        "ab.png",
        "a b/d.png",
        *(f"many/{n}.png" for n in range(60)),
    ):
        fs.pipe_file(f"{root}/{name}", b"x")
    for folder in ("", "/a", "/a/", "/a b", "/many"):
        fs.invalidate_cache()
        found, direct = S3Reads(fs).paths(root + folder), S3Reads(fs).entries(root + folder)
        assert found == set(fs.find(root + folder))
        rows = fs.ls(root + folder, detail=True)
        assert direct == {row["name"] + "/" * (row["type"] == "directory") for row in rows}
        assert found
    assert S3Reads(fs).paths(f"{root}/none") is S3Reads(fs).entries(f"{root}/none") is None
    fs.pipe_file(f"{root}/a/c/", b"")
    assert S3Reads(fs).paths(f"{root}/a") is None
    assert S3Reads(fs).entries(f"{root}/a/c") is None
    assert list(RemoteFiles(f"s3://{root}/a").names()) == ["b.png", "c/100%.png", "c/ä +.png"]


def test_what_fails_again_and_again_is_not_tried_any_more(bucket: str) -> None:
    quick, root = reads(bucket)
    for _ in range(MAX_FAILURES_IN_A_ROW - 1):
        assert quick.read(f"{root}/missing.png") is None
    assert quick.read(f"{root}/a.png") is not None  # begins to count anew
    for _ in range(MAX_FAILURES_IN_A_ROW):
        assert quick.read(f"{root}/missing.png") is None
    assert quick.read(f"{root}/a.png") is None
    assert RemoteFiles(bucket).read("a.png") == b"a.png" + CONTENT


def test_without_obstore_s3fs_reads(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_reads, "optional", lambda _: None)
    quick, root = reads(bucket)
    assert quick.read(f"{root}/a.png") is None
    assert RemoteFiles(bucket).read("a.png") == b"a.png" + CONTENT


def test_a_fork_leaves_the_threads_of_obstore_alone(bucket: str) -> None:
    files = RemoteFiles(bucket)
    assert files.read("a.png") == b"a.png" + CONTENT
    # mypy knows no context whose name is found out while it runs.
    context: Any = get_context(PROCESS_START)
    with context.Pool(1) as pool:
        assert pool.apply_async(files.read, ("a.png",)).get(60) == b"a.png" + CONTENT
