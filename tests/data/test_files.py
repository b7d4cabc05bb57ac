import os
from pathlib import Path

import pytest
from PIL import Image

from xception.data.files import (
    HEIC_SUFFIXES,
    PILLOW_SUFFIXES,
    Below,
    Files,
    LocalFiles,
    buffered,
    is_image,
    require_length,
)


def write(root: Path, *names: str) -> LocalFiles:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return LocalFiles(root)


def test_files_are_named_from_the_root_in_order_part_by_part(tmp_path: Path) -> None:
    files = write(tmp_path, "b/z", "b/c/y", "b c/x", "a", "b.txt")
    assert list(files.names()) == ["a", "b/c/y", "b/z", "b c/x", "b.txt"]
    assert list(files.names()) == sorted(files.names(), key=lambda name: name.split("/"))
    assert list(files.names("b/")) == ["b/c/y", "b/z"]
    assert files.entries() == {"a", "b/", "b c/", "b.txt"}
    assert files.entries("b/") == {"z", "c/"}


def test_linked_folders_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    files = write(tmp_path / "d", "a/x")
    write(tmp_path / "other", "y")
    (tmp_path / "d" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "d" / "a" / "circle").symlink_to(tmp_path / "d")
    assert list(files.names()) == ["a/x", "linked/y"]


def test_a_link_that_leads_nowhere_is_listed_and_fails_where_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "lost").symlink_to(tmp_path / "none")
    files = LocalFiles(tmp_path)
    assert list(files.names()) == ["lost"]
    with pytest.raises(FileNotFoundError):
        files.read("lost")


@pytest.fixture(params=["local", "below"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_bytes(bytes(range(100)))
    return LocalFiles(tmp_path / "d") if request.param == "local" else Below(LocalFiles(tmp_path), "d/")


def test_a_file_is_read_whole_and_in_parts(files: Files, tmp_path: Path) -> None:
    assert files.place == str(tmp_path / "d")
    assert list(files.names()) == ["file"]
    assert files.entries() == {"file"}
    assert files.size("file") == 100
    assert files.read("file") == bytes(range(100))
    assert files.span("file", 10, 5) == bytes(range(10, 15))
    with files.open("file") as file:
        file.seek(-3, os.SEEK_END)
        assert file.read() == bytes((97, 98, 99))


def test_a_part_beyond_the_end_is_no_part(files: Files) -> None:
    with pytest.raises(OSError, match="file ends early: 2 bytes came where 5 were expected"):
        files.span("file", 98, 5)


def test_more_than_was_asked_for_is_no_part_either() -> None:
    with pytest.raises(OSError, match="sends whole files only"):
        require_length(b"1234", 3, "http://a/b")


class Counted(LocalFiles):
    def span(self, name: str, start: int, length: int) -> bytes:
        spans.append((start, length))
        return super().span(name, start, length)


spans: list[tuple[int, int]] = []


def test_small_reads_are_made_of_large_ones(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(250)) * 40)
    spans.clear()
    with buffered(Counted(tmp_path), "file") as file:
        assert b"".join(iter(lambda: file.read(100), b"")) == bytes(range(250)) * 40
        assert file.seek(7) == 7
        assert file.read(2) == bytes((7, 8))
        file.seek(20_000)
        assert file.read(1) == b""
    assert len(spans) <= 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/b.JPEG", True), ("b.png", True), ("c.jfif", True), ("jpg", False), ("a.jpg/b", False), ("a/._b.png", False)],
)
def test_images_are_known_by_their_suffix(name: str, expected: bool) -> None:
    assert is_image(name) is expected


def test_all_that_pillow_decodes_by_itself_is_known_by_its_suffix() -> None:
    Image.init()
    known = {suffix for suffix, form in Image.registered_extensions().items() if form in Image.OPEN}
    # Documents, films and stubs: read by other programs, or not at all.
    others = {".bufr", ".emf", ".eps", ".grib", ".h5", ".hdf", ".iim", ".mpeg", ".mpg", ".ps", ".wmf"}
    assert set(PILLOW_SUFFIXES.split()) - known == {".mpo", ".pjp", ".pjpeg"}
    assert known - set(PILLOW_SUFFIXES.split()) - HEIC_SUFFIXES == others


def test_circles_of_links_are_walked_once(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").touch()
        (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    assert list(LocalFiles(tmp_path).names()) == ["a/0.png", "a/to_b/0.png", "b/0.png", "b/to_a/0.png"]


def test_a_link_to_itself_is_listed_and_fails_where_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").symlink_to(tmp_path / "x.jpg")
    files = LocalFiles(tmp_path)
    assert list(files.names()) == ["x.jpg"]
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        files.read("x.jpg")
