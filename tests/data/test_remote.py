"""Reading from a web server and from an S3 server on this machine, and what goes wrong there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.data.forms import CLASSES, CONTENT, FORMS, all_files, zip_bytes
from tests.data.web import WebServer
from tests.support.children import in_child
from xception import network
from xception.data.folder import image_files
from xception.data.remote import RemoteFiles, Unreachable, is_remote
from xception.data.sources import open_source
from xception.errors import EnvironmentFault, InputError, UsageError
from xception.inputs import Limit
from xception.pipeline.lane import Failure, prepared
from xception.preprocess import Preprocess

FILES = all_files()


@pytest.mark.parametrize(
    ("place", "expected"), [("s3://a", True), ("zip::a.zip", True), ("a:b", False), ("C:/data", False)]
)
def test_urls_are_told_from_paths(place: str, expected: bool) -> None:
    assert is_remote(place) is expected


@pytest.mark.parametrize("place", ["s3", "web"])
def test_files_behind_a_url_are_listed_and_read(place: str, s3: str, web: WebServer) -> None:
    files = RemoteFiles(s3 if place == "s3" else web.url)
    assert list(files.names()) == sorted(FILES, key=lambda name: name.split("/"))
    assert files.entries() == {f"{name.partition('/')[0]}/" if "/" in name else name for name in FILES}
    assert files.entries("folder/") == {f"{name}/" for name in CLASSES}
    name = f"folder/{CLASSES[0]}/im age 0.png"
    assert files.read(name) == FILES[name]
    assert files.size(name) == len(FILES[name])
    assert files.span(name, 5, 7) == FILES[name][5:12]
    assert files.span(name, 5, 0) == b""
    with files.open(name) as file:
        file.seek(9)
        assert file.read() == FILES[name][9:]


@pytest.mark.parametrize("place", ["s3", "web"])
def test_a_fork_reads_files_that_the_process_before_it_has_read(place: str, s3: str, web: WebServer) -> None:
    name, files = FORMS["tar shards"].replace("{000..002}", "000"), RemoteFiles(s3 if place == "s3" else web.url)
    content = files.read(name)

    def read() -> None:
        if (files.read(name), files.span(name, 5, 9)) != (content, content[5:14]):
            raise ValueError("other bytes")

    assert in_child(read) == 0
    assert files.read(name) == content


def test_many_threads_read_at_once(s3: str) -> None:
    files = RemoteFiles(f"{s3}/flat/val")
    names = list(files.names())
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(files.read, names)) == [FILES[f"flat/val/{name}"] for name in names]


def test_a_shard_is_indexed_with_few_requests_and_its_images_are_read_in_parts(web: WebServer) -> None:
    web.requests.clear()
    source = open_source(f"{web.url}/shards/s-000.tar")
    assert len([path for method, path, _ in web.requests if method == "GET" and path.endswith(".tar")]) == 1
    web.requests.clear()
    data = source[2].load()
    (part,) = [asked for _, _, asked in web.requests]
    first, last = (int(number) for number in str(part).removeprefix("bytes=").split("-"))
    assert last - first + 1 == len(data)


@pytest.mark.parametrize("data", ["zip::{s3}/folder.zip", "zip::{web}/folder.zip", "zip://folder::{s3}/wrapped.zip"])
def test_an_archive_behind_a_url_may_be_called_one(data: str, s3: str, web: WebServer) -> None:
    import fsspec

    members = {name: content for name, content in FILES.items() if name.startswith(("folder/", "kit/images/"))}
    with fsspec.open(f"{s3}/wrapped.zip", "wb") as file:
        file.write(zip_bytes(members))
    source = open_source(data.format(s3=s3, web=web.url))
    assert {(source.classes[item.target or 0], item.load()) for item in source} == CONTENT
    fsspec.filesystem("s3").rm(f"{s3}/wrapped.zip")


def test_pictures_behind_urls_can_be_predicted(s3: str, web: WebServer) -> None:
    one, some, archived = (
        image_files([place])
        for place in (f"{s3}/flat/val/ILSVRC2012_val_00000001.JPEG", f"{web.url}/flat/val", f"{s3}/folder.zip")
    )
    assert one[0].load() == some[0].load() == FILES["flat/val/ILSVRC2012_val_00000001.JPEG"]
    assert (len(one), len(some), len(archived)) == (1, 12, 12)
    assert some[0].key == f"{web.url}/flat/val/ILSVRC2012_val_00000001.JPEG"


@pytest.mark.parametrize(
    "data",
    ["s3://no-such-bucket/images", "{s3}/none", "{s3}/none.zip", "{s3}/none.tar", "{web}/none", "{web}/none.tar"],
)
def test_what_is_not_there_is_said_to_be_missing(data: str, s3: str, web: WebServer) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_source(data.format(s3=s3, web=web.url))


def test_an_item_that_vanished_fails_as_a_file_does(web: WebServer, root: Path) -> None:
    files = RemoteFiles(web.url)
    with pytest.raises(FileNotFoundError, match=r"none\.png does not exist"):
        files.read("none.png")


def test_what_a_server_no_longer_sends_is_a_failure_in_its_place(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(f"{web.url}/flat/val")
    monkeypatch.setattr(web, "status", 503)
    outcomes = list(prepared(source, Preprocess()))
    assert [outcome.key for outcome in outcomes if isinstance(outcome, Failure)] == [item.key for item in source]
    assert all("Service Unavailable" in outcome.reason for outcome in outcomes if isinstance(outcome, Failure))


def test_missing_credentials_are_named(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match="credentials; set AWS_ACCESS_KEY_ID"):
        open_source(f"{s3}/folder")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("name", ["folder", "photos.zip", "list.csv"])
def test_a_refused_connection_is_named(name: str) -> None:
    with pytest.raises(InputError, match=r"cannot read http://127\.0\.0\.1:9.*Connect.*check the address"):
        open_source(f"http://127.0.0.1:9/{name}")


def test_a_server_in_trouble_is_not_taken_for_a_file_that_does_not_exist(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "status", 503)
    with pytest.raises(Unreachable, match="Service Unavailable"):
        RemoteFiles(web.url).size("flat/val/ILSVRC2012_val_00000001.JPEG")


@pytest.mark.parametrize(("status", "words"), [(403, "Forbidden"), (500, "Internal Server Error")])
def test_what_a_server_refuses_is_named(
    status: int, words: str, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "status", status)
    with pytest.raises(InputError, match=words):
        open_source(f"{web.url}/folder")


def test_a_server_that_sends_no_parts_is_found_out(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(f"{web.url}/{FORMS['tar shards']}")
    monkeypatch.setattr(web, "takes_ranges", False)
    with pytest.raises(OSError, match="sends whole files only; fetch the file first"):
        source[1].load()


@pytest.mark.parametrize(
    "data",
    [
        "gopher://a/b",
        "reference::a.json",
        "reference://a::s3://b/c",
        "ftp://a/b",
        "github://a:b@c/d",
        "dask://a",
        "file::/a",
    ],
)
def test_a_kind_of_url_that_is_not_known_here_is_refused(data: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*expected a URL such as s3://"):
        open_source(data)


def test_a_file_url_is_read_like_a_path(root: Path) -> None:
    assert len(open_source(f"file://{root}/folder")) == 12


@pytest.mark.parametrize("data", ["http://127.0.0.1:9/a", "s3://bucket/a", "zip::https://a.example/b.zip"])
def test_nothing_is_fetched_where_the_network_is_forbidden(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XCEPTION_OFFLINE", "1")
    with pytest.raises(EnvironmentFault, match="XCEPTION_OFFLINE is set"):
        open_source(data)


def test_credentials_are_in_no_message_and_in_no_key(web: WebServer) -> None:
    with pytest.raises(InputError, match="does not exist") as error:
        open_source(f"{web.url}/none.tar".replace("//", "//user:hunter2@"))
    assert "hunter2" not in str(error.value)
    one = image_files(f"{web.url}/flat/val/ILSVRC2012_val_00000001.JPEG?token=abc")
    assert one[0].load() == FILES["flat/val/ILSVRC2012_val_00000001.JPEG"]
    assert one[0].key.endswith("JPEG?token=***")


def test_an_answer_without_an_end_is_left_at_the_limit(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "flat/val/ILSVRC2012_val_00000001.JPEG"
    monkeypatch.setattr("xception.network.IMAGE_LIMIT", Limit(len(FILES[name]), "an image file"))
    assert RemoteFiles(web.url).read(name) == FILES[name]
    monkeypatch.setattr("xception.network.IMAGE_LIMIT", Limit(len(FILES[name]) - 1, "an image file"))
    with pytest.raises(OSError, match=r"sends more than [0-9,]+ bytes, the limit for an image file"):
        RemoteFiles(web.url).read(name)


def test_a_failure_that_passes_is_asked_about_again_after_pauses(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recover(seconds: float) -> None:
        pauses.append(seconds)
        monkeypatch.setattr(web, "status", 0 if len(pauses) == 2 else 503)

    pauses: list[float] = []
    monkeypatch.setattr(network, "pause", recover)
    monkeypatch.setattr(web, "status", 503)
    assert RemoteFiles(web.url).read("flat/val/ILSVRC2012_val_00000001.JPEG")
    assert pauses == list(network.PAUSES_S[:2])


def test_a_redirect_to_a_machine_s_own_address_is_a_failure(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "location", "http://169.254.169.254/latest")
    with pytest.raises(OSError, match="link-local"):
        RemoteFiles(web.url).read("flat/val/ILSVRC2012_val_00000001.JPEG")


def test_a_kind_whose_package_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.core

    def missing(url: str, **options: object) -> None:
        raise ImportError("Install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(EnvironmentFault, match=r"Install gcsfs.*pip install .*\[cloud\]'"):
        open_source("gs://a/b")
