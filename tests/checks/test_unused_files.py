from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.data import faulty
from tests.support.samples import encoded, picture
from xception.checks.unused_files import case_clashes, unused_files
from xception.data.files import LocalFiles
from xception.data.inventory import JUNK_NAMES


def found(root: Path, files: Mapping[str, bytes]) -> list[tuple[str, tuple[str, ...]]]:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return [(each.kind, each.paths) for each in unused_files(LocalFiles(root))]


def test_a_clean_folder_has_no_strays(tmp_path: Path) -> None:
    files = {"ant/0.jpg": faulty.jpeg(0), "bee/deep/1.PNG": encoded(picture()), "bee/notes.txt": b"two", "README": b""}
    assert found(tmp_path, files) == []


@pytest.mark.parametrize(
    "name",
    ["Thumbs.db", "ant/desktop.ini", ".DS_Store", "ant/._0.jpg", "__MACOSX/ant/a", "ant/~$list.doc", "a.jpg.part"],
)
def test_what_systems_and_programs_leave_behind_is_noted(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, {"ant/0.jpg": faulty.jpeg(0), name: b"\xff\xd8\xff"}) == [("junk", (name,))]


@pytest.mark.parametrize("name", ["ant/0.jpg", "thumbs.txt", "ant/part.png", "database.db"])
def test_other_names_are_not_junk(name: str) -> None:
    assert not JUNK_NAMES.fullmatch(name)


@pytest.mark.parametrize("name", ["outside.jpg", ".hidden/0.jpg"])
def test_an_image_outside_the_class_folders_is_named(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, {"ant/0.jpg": faulty.jpeg(0), name: faulty.jpeg(1)}) == [("outside_class", (name,))]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("ant/photo", faulty.jpeg(0)),
        ("ant/photo.png.1", encoded(picture())),
        ("ant/phone.photo", b"\0\0\0\x18ftypheic\0\0\0\0"),
    ],
)
def test_an_image_whose_name_does_not_say_so_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    assert found(tmp_path, {name: data, "ant/short": b"\xff"}) == [("ignored_image", (name,))]


def test_names_that_differ_in_case_alone_clash() -> None:
    assert [each.paths for each in case_clashes(["a/B.jpg", "a/b.jpg", "b/B.jpg"])] == [("a/B.jpg", "a/b.jpg")]
