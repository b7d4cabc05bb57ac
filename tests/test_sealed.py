import os
from collections.abc import Callable
from pathlib import Path

import pytest

from xception.errors import InputError
from xception.sealed import check_entries, check_sizes, hash_of, is_plain, read_sealed

CONTENT = b"the weights"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "weights").write_bytes(CONTENT)
    (tmp_path / "outside").write_bytes(CONTENT)
    return folder


def linked(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.parent.parent / "outside")


def test_a_folder_of_its_listed_files_passes(folder: Path) -> None:
    check_entries(folder, {"weights", "one that need not be there"})
    check_sizes(folder, {"weights": hash_of(CONTENT)})
    assert read_sealed(folder / "weights", hash_of(CONTENT)) == CONTENT


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._weights"])
def test_what_file_managers_leave_behind_is_passed_over(folder: Path, name: str) -> None:
    (folder / name).touch()
    check_entries(folder, {"weights"})
    linked(folder / name)
    with pytest.raises(InputError, match="is a link"):
        check_entries(folder, {"weights"})


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("w.bin", Path.touch, r"w\.bin is not listed among the bundle's files"),
        (".hidden", Path.touch, "is not listed"),
        ("sub", Path.mkdir, "is a folder"),
        ("weights", linked, "weights is a link"),
        ("more", linked, "more is a link"),
        ("pipe", os.mkfifo, "is a pipe"),
    ],
)
def test_anything_else_is_refused(folder: Path, name: str, make: Callable[[Path], None], words: str) -> None:
    make(folder / name)
    with pytest.raises(InputError, match=words):
        check_entries(folder, {"weights"})


def test_changed_content_is_refused_unless_nothing_is_verified(folder: Path) -> None:
    (folder / "weights").write_bytes(b"The weights")
    with pytest.raises(InputError, match=r"is not the file .* got 11 bytes of another content"):
        read_sealed(folder / "weights", hash_of(CONTENT))
    assert read_sealed(folder / "weights", hash_of(CONTENT), verify=False) == b"The weights"


@pytest.mark.parametrize("verify", [True, False])
def test_a_link_or_another_size_is_refused_even_then(folder: Path, verify: bool) -> None:
    (folder / "weights").write_bytes(b"weights")
    with pytest.raises(InputError, match="got 7 bytes"):
        read_sealed(folder / "weights", hash_of(CONTENT), verify=verify)
    with pytest.raises(InputError, match="got 7 bytes"):
        check_sizes(folder, {"weights": hash_of(CONTENT)})
    linked(folder / "weights")
    with pytest.raises(InputError, match="it is a link"):
        read_sealed(folder / "weights", hash_of(CONTENT), verify=verify)


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the folder"):
        check_entries(tmp_path / "none", ())
    with pytest.raises(InputError, match="none cannot be read"):
        check_sizes(tmp_path, {"none": hash_of(b"")})


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\0b"])
def test_a_name_that_leads_elsewhere_is_not_plain(name: str) -> None:
    assert not is_plain(name)
    assert is_plain("model.onnx")
