from pathlib import Path

from tests.support.samples import encoded, picture, write_folder
from xception.data.folder import image_files
from xception.data.inventory import EMPTY, Inventory, inventory_of, left_out
from xception.data.sources import open_source


def test_a_clean_folder_has_nothing_to_say(tmp_path: Path, remarks: list[str]) -> None:
    root = write_folder(tmp_path / "d", 1)
    (root / "README.md").write_text("about the classes")
    assert inventory_of(open_source(root)) == EMPTY
    assert not remarks


def test_every_file_that_is_left_out_is_counted_by_its_kind(tmp_path: Path, remarks: list[str]) -> None:
    root = write_folder(tmp_path / "d", 1, ("ant", "bee"))
    for name in ("ant/a.txt", "bee/B.TXT", "ant/photo", "ant/._0.png", "ant/Thumbs.db", "around.png", ".cache/0.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    source = open_source(root)
    assert len(source) == 2
    assert inventory_of(source).left_out == {
        ".txt": 2, "no ending": 1, "system files": 2, "images outside the class folders": 2
    }  # fmt: skip
    assert remarks == [
        "d: 7 files are left out: .txt 2, images outside the class folders 2, system files 2, no ending 1"
    ]


def test_images_without_labels_leave_out_the_same_files(tmp_path: Path, remarks: list[str]) -> None:
    for name in ("a.jpg", "b.jfif", "c.avif", "d.HEIC", "e", "._a.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(encoded(picture()))
    source = image_files(tmp_path)
    assert [Path(item.key).name for item in source] == ["a.jpg", "b.jfif", "c.avif", "d.HEIC"]
    assert inventory_of(source).left_out == {"no ending": 1, "system files": 1, ".txt": 1}
    assert "3 files are left out" in remarks[0]


def test_a_flat_folder_leaves_out_all_but_its_images_and_labels(tmp_path: Path) -> None:
    for name in ("a.png", "b.jfif"):
        (tmp_path / name).write_bytes(encoded(picture()))
    (tmp_path / "val_label.txt").write_text("a.png 0\nb.jfif 1\n")
    (tmp_path / "a.xml").write_text("<boxes/>")
    source = open_source(tmp_path)
    assert len(source) == 2
    assert inventory_of(source).left_out == {".xml": 1}


def test_lines_that_a_list_repeats_are_counted_and_said(tmp_path: Path, remarks: list[str]) -> None:
    write_folder(tmp_path, 1, ("ant", "bee"))
    (tmp_path / "list.txt").write_text("ant/0.png 0\nbee/0.png 1\nant/0.png 0\n")
    source = open_source(tmp_path / "list.txt")
    assert len(source) == 3
    assert inventory_of(source).repeated == 1
    assert remarks == ["list.txt: 1 image is there more than once, and counted each time"]


def test_many_kinds_are_shortened_on_the_screen_and_whole_in_the_count() -> None:
    counts = left_out(f"ant/{n}.{'abcdefgh'[n]}" for n in range(8))
    (sentence,) = Inventory(left_out=counts).sentences()
    assert sentence.endswith(".a 1, .b 1, .c 1, .d 1, .e 1, 3 more kinds")
    assert sum(counts.values()) == 8


def test_other_sources_have_an_empty_inventory() -> None:
    assert inventory_of(object()) == EMPTY
    assert EMPTY.sentences() == []
