import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.data.forms import zip_bytes
from tests.support.samples import encoded, picture, write_folder
from xception.data import archive as module
from xception.data.archive import ZipFiles
from xception.data.files import LocalFiles, buffered, require_length
from xception.data.sources import open_source
from xception.errors import DecodeError, InputError
from xception.inputs import Limit

MEMBERS = {"cat/a.png": b"first" * 100, "cat/b.png": b"second" * 100, "dog/c.png": b"", "notes.txt": b"third"}


def opened(folder: Path, data: bytes) -> ZipFiles:
    (folder / "a.zip").write_bytes(data)
    return ZipFiles(LocalFiles(folder), "a.zip")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_files(compression: int, tmp_path: Path) -> None:
    files = opened(tmp_path, zip_bytes(MEMBERS, compression))
    assert files.place == f"{tmp_path}/a.zip"
    assert {name: files.read(name) for name in files.names()} == MEMBERS
    assert files.entries() == {"cat/", "dog/", "notes.txt"}
    assert list(files.names("cat/")) == ["cat/a.png", "cat/b.png"]
    assert files.size("cat/b.png") == 600
    assert files.span("cat/b.png", 6, 6) == b"second"
    assert files.open("notes.txt").read() == b"third"


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    members = {f"{index}.png": bytes([index]) * 5000 for index in range(100)}
    files = opened(tmp_path, zip_bytes(members))
    with ThreadPoolExecutor(8) as pool:
        assert dict(zip(members, pool.map(files.read, members), strict=True)) == members


def test_an_archive_behind_other_bytes_is_read(tmp_path: Path) -> None:
    files = opened(tmp_path, b"x" * 1000 + zip_bytes(MEMBERS))
    assert {name: files.read(name) for name in files.names()} == MEMBERS


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["set/cat/a.png", "set/dog/b.png", "set/labels.txt"], {"cat/a.png", "dog/b.png", "labels.txt"}),
        (["set/cat/a.png", "__MACOSX/set/cat/._a.png"], {"cat/a.png"}),
        (["cat/a.png", "dog/b.png"], {"cat/a.png", "dog/b.png"}),
        (["cat/a.png"], {"cat/a.png"}),
        (["val/a.png", "val_label.txt"], {"val/a.png", "val_label.txt"}),
        (["set/a.tar"], {"set/a.tar"}),
    ],
)
def test_a_folder_around_everything_is_left_out(names: list[str], expected: set[str], tmp_path: Path) -> None:
    assert set(opened(tmp_path, zip_bytes(dict.fromkeys(names, b"x"))).names()) == expected


@pytest.mark.parametrize(
    "form", ["set\\cat\\{}.png", "./cat/{}.png", "/cat/{}.png", "set//cat/./{}.png", "cat\\{}.png"]
)
def test_names_of_other_archivers_are_those_of_the_same_folders(form: str, tmp_path: Path) -> None:
    members = {form.format(name).replace("cat", folder): name.encode() for folder in ("cat", "dog") for name in "ab"}
    files = opened(tmp_path, zip_of_names(members))
    assert list(files.names()) == ["cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"]
    assert files.read("dog/b.png") == b"b"


@pytest.mark.parametrize("name", ["../a.png", "cat/../dog/a.png", "..\\a.png"])
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leads out of the archive"):
        opened(tmp_path, zip_of_names({"cat/a.png": b"x", name: b"y"}))


def zip_of_names(members: dict[str, bytes]) -> bytes:
    """An archive whose names are kept as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo()
            entry.filename = name
            archive.writestr(entry, content)
    return file.getvalue()


def test_an_empty_class_keeps_its_place(tmp_path: Path) -> None:
    opened(tmp_path, zip_bytes({"a/0.png": b"x", "b/": b"", "c/0.png": b"x"}))
    assert open_source(str(tmp_path / "a.zip")).classes == ("a", "b", "c")


def test_an_archive_is_the_folder_that_was_archived(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    members = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in root.rglob("*.png")}
    opened(tmp_path, zip_bytes(members))
    folder, archive = open_source(str(root)), open_source(str(tmp_path / "a.zip"))
    assert folder.classes == archive.classes
    assert [(item.key, item.target, item.load()) for item in folder] == [
        (item.key, item.target, item.load()) for item in archive
    ]


def test_a_damaged_member_fails_alone(tmp_path: Path) -> None:
    data = zip_bytes({"cat/a.png": encoded(picture()), "cat/b.png": encoded(picture(seed=1))}, zipfile.ZIP_STORED)
    place = data.index(encoded(picture(seed=1)))
    files = opened(tmp_path, data[: place + 60] + b"\0\0" + data[place + 62 :])
    assert files.read("cat/a.png") == encoded(picture())
    with pytest.raises(DecodeError, match=r"damaged in the archive .*Bad CRC-32"):
        files.read("cat/b.png")


def test_a_member_that_would_grow_without_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = opened(tmp_path, zip_bytes({"bomb.png": bytes(10_000)}))
    monkeypatch.setattr(module, "IMAGE_LIMIT", Limit(9_999, "an image file"))
    with pytest.raises(DecodeError, match="would grow to 10,000 bytes"):
        files.read("bomb.png")


def test_a_member_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.zip holds no none\.png"):
        opened(tmp_path, zip_bytes(MEMBERS)).read("none.png")


@pytest.mark.parametrize("data", [b"", b"no archive", zip_bytes(MEMBERS)[:-30], zip_bytes(MEMBERS)[40:]])
def test_what_is_no_archive_or_was_cut_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises((InputError, DecodeError), match=r"a\.zip"):
        files = opened(tmp_path, data)
        [files.read(name) for name in files.names()]


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("cat/a.png", b"1")
        archive.writestr("cat/a.png", b"2")
    with pytest.raises(InputError, match=r"holds cat/a\.png twice"):
        opened(tmp_path, file.getvalue())


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"a.png": b"x"}))
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(InputError, match="encrypted"):
        opened(tmp_path, bytes(data))


class WholeOnly(LocalFiles):
    """Files of a server that sends no parts."""

    def span(self, name: str, start: int, length: int) -> bytes:
        return require_length(self.read(name), length, name)

    def open(self, name: str) -> BinaryIO:
        return buffered(self, name)


def test_a_server_that_sends_no_parts_is_not_taken_for_a_broken_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_bytes({"a/b.png": b"x" * 1000}, zipfile.ZIP_STORED))
    with pytest.raises(OSError, match="sends whole files only; fetch the file first"):
        ZipFiles(WholeOnly(tmp_path), "a.zip")
