from pathlib import Path

import pytest

from tests.data import faulty
from tests.support.samples import write_folder
from xception.checks.survey import survey
from xception.errors import InputError

CLASSES = ("ant", "bee")


def kinds(data: Path | str) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.kind, each.paths) for each in survey(str(data))[1]]


def test_a_folder_is_searched_for_strays(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", classes=CLASSES)
    assert kinds(data) == []
    (data / "Thumbs.db").write_bytes(b"")
    source, found = survey(str(data))
    assert (len(source), [each.kind for each in found]) == (6, ["junk"])


def test_a_split_is_searched_alone(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_folder(tmp_path / split, classes=CLASSES)
    (tmp_path / "val/outside.jpg").write_bytes(faulty.jpeg(0))
    assert kinds(f"{tmp_path}:train") == []
    assert kinds(f"{tmp_path}:validation") == [("outside_class", ("outside.jpg",))]


def test_a_list_with_faults_is_still_a_source(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(faulty.jpeg(0))
    (tmp_path / "list.txt").write_text("a.jpg 0\nb.jpg 1\nrubbish\n")
    source, found = survey(str(tmp_path / "list.txt"))
    assert [item.key for item in source] == ["a.jpg", "b.jpg"]
    assert [each.kind for each in found] == ["bad_line"]


def test_a_flat_folder_is_what_its_label_file_says(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(faulty.jpeg(0))
    (tmp_path / "val_label.txt").write_text("a.jpg 0\n")
    assert kinds(tmp_path) == [("unlisted", ("b.jpg",))]


def test_other_forms_are_opened_as_they_are() -> None:
    source, found = survey("digits:validation")
    assert (source.name, found) == ("digits:validation", [])


@pytest.mark.parametrize("name", ["nowhere", "nowhere.txt", "nowhere.tar"])
def test_data_that_are_not_there_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        survey(str(tmp_path / name))
