from pathlib import Path

import pytest

from tests.data import faulty
from xception.checks.list_faults import survey_list
from xception.data.files import LocalFiles
from xception.errors import InputError

Found = list[tuple[str, tuple[str, ...]]]


def surveyed(
    root: Path, text: str, images: tuple[str, ...], labels: str = ""
) -> tuple[list[tuple[str, int | None]], Found]:
    for index, name in enumerate(images):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(faulty.jpeg(index))
    if labels:
        (root / "labels.txt").write_text(labels)
    source, found = survey_list("list.txt", text, LocalFiles(root))
    return [(item.key, item.target) for item in source], [(each.kind, each.paths) for each in found]


def test_a_sound_list_gives_its_images_and_no_findings(tmp_path: Path) -> None:
    rows, found = surveyed(tmp_path, "a b.jpg 0\nc/d.jpg 1\n\n", ("a b.jpg", "c/d.jpg"), "ant\nbee\n")
    assert (rows, found) == ([("a b.jpg", 0), ("c/d.jpg", 1)], [])


def test_lines_of_another_form_are_named_by_number(tmp_path: Path) -> None:
    rows, found = surveyed(tmp_path, "a.jpg 0\nb.jpg\nc.jpg minus\nd.jpg -1\ne\0.jpg 1\n", ("a.jpg",))
    assert rows == [("a.jpg", 0)]
    assert found == [("bad_line", (f"list.txt:{number}",)) for number in (2, 3, 4, 5)]


def test_an_index_without_a_class_is_named_and_its_image_kept(tmp_path: Path) -> None:
    rows, found = surveyed(tmp_path, "a.jpg 0\nb.jpg 2\n", ("a.jpg", "b.jpg"), "ant\nbee\n")
    assert rows == [("a.jpg", 0), ("b.jpg", None)]
    assert found == [("index_out_of_range", ("b.jpg",))]


def test_indices_from_one_are_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    _, found = survey_list("list.txt", "a.jpg 1\nb.jpg 2\n", LocalFiles(tmp_path))
    assert [each.detail for each in found] == [
        "index 2, but the last of 2 classes has index 1; do the indices begin at 1?"
    ]


def test_imagenets_images_have_imagenets_classes(tmp_path: Path) -> None:
    name = "ILSVRC2012_val_00000001.JPEG"
    rows, found = surveyed(tmp_path, f"{name} 1000\n", (name,))
    assert (rows, found) == ([(name, None)], [("index_out_of_range", (name,))])


def test_a_path_that_comes_again_is_named_once(tmp_path: Path) -> None:
    rows, found = surveyed(tmp_path, "a.jpg 0\na.jpg 0\na.jpg 1\n", ("a.jpg",))
    assert len(rows) == 3
    assert found == [("listed_twice", ("a.jpg",))]


def test_images_that_no_list_holds_are_named_where_the_list_has_images(tmp_path: Path) -> None:
    (tmp_path / "held.txt").write_text("train/held.jpg 0\n")
    images = ("train/a.jpg", "train/b.jpg", "train/held.jpg", "elsewhere/c.jpg")
    _, found = surveyed(tmp_path, "train/a.jpg 0\n", images)
    assert found == [("unlisted", ("train/b.jpg",))]


def test_a_listed_file_that_is_not_there_fails_where_it_is_read(tmp_path: Path) -> None:
    source, found = survey_list("list.txt", "gone/a.jpg 0\n", LocalFiles(tmp_path))
    assert found == []
    with pytest.raises(FileNotFoundError):
        source[0].load()


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the list list\.txt is empty"):
        survey_list("list.txt", "\n", LocalFiles(tmp_path))


def test_paths_may_begin_in_val_and_lack_their_suffix(tmp_path: Path) -> None:
    rows, found = surveyed(tmp_path, "x_1 0\nx_2 1\n", ("x_1.JPEG", "x_2.JPEG"))
    assert (rows, found) == ([("x_1.JPEG", 0), ("x_2.JPEG", 1)], [])
    source, faults = survey_list("list.txt", "x_3.jpg 0\n", LocalFiles(write_val(tmp_path / "other")))
    assert (faults, bool(source[0].load())) == ([], True)


def write_val(root: Path) -> Path:
    (root / "val").mkdir(parents=True)
    (root / "val/x_3.jpg").write_bytes(faulty.jpeg(0))
    return root
