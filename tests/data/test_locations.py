from pathlib import Path

import pytest

from tests.data.forms import zip_bytes
from xception.data.locations import above, base_name, is_zip, locate, open_files


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "a.zip").write_bytes(zip_bytes({"one/cat/x.png": b"1", "two/cat/y.png": b"2"}))
    (tmp_path / "b").write_bytes(zip_bytes({"cat/x.png": b"1"}))
    return tmp_path


def test_an_archive_may_be_named_in_three_ways(archive: Path) -> None:
    assert set(open_files(f"{archive}/a.zip").names()) == {"one/cat/x.png", "two/cat/y.png"}
    assert set(open_files(f"zip::{archive}/b").names()) == {"cat/x.png"}
    assert set(open_files(f"zip://two::{archive}/a.zip").names()) == {"cat/y.png"}
    assert open_files(f"zip://two::{archive}/a.zip").read("cat/y.png") == b"2"
    assert set(open_files(f"zip::file://{archive}/b").names()) == {"cat/x.png"}


def test_a_file_is_located_by_its_folder_and_name(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(archive)
    for place in ("b", f"{archive}/b", f"file://{archive}/b"):
        files, name = locate(place)
        assert files.read(name) == (archive / "b").read_bytes()
    assert locate("/etc")[0].place == "/"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("s3://bucket/set/val", ["s3://bucket/set"]),
        ("s3://bucket", []),
        ("/data/set/val/", ["/data/set"]),
        ("/data/set.zip", ["/data"]),
        ("zip://val::s3://bucket/set.zip", ["s3://bucket"]),
    ],
)
def test_what_lies_above_is_known(place: str, expected: list[str]) -> None:
    assert [files.place for files in above(place)] == expected


@pytest.mark.parametrize(
    ("place", "expected"),
    [("a/photos/", "photos"), ("s3://b/photos/", "photos"), ("zip://x::s3://b/a.zip", "a.zip"), ("zip::c", "c")],
)
def test_a_place_is_called_by_its_last_part(place: str, expected: str) -> None:
    assert base_name(place) == expected


def test_the_folder_one_is_in_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert base_name(".") == tmp_path.name


@pytest.mark.parametrize(("place", "expected"), [("a.ZIP", True), ("zip::http://a/b?c", True), ("zipped", False)])
def test_archives_are_known_by_their_names(place: str, expected: bool) -> None:
    assert is_zip(place) is expected
