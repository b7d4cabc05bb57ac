import os
from pathlib import Path

import pytest

from tests.support.samples import CLASSES, encoded, picture, write_folder
from xception.data.decode import decode
from xception.data.folder import image_files
from xception.data.sources import open_source
from xception.data.splits import Split
from xception.errors import InputError

PARTS: tuple[Split, ...] = ("train", "validation")


def test_classes_are_the_folders_in_order_and_images_lie_in_all_depths(tmp_path: Path) -> None:
    for name in ("dog/b.png", "dog/deep/er/a.JPEG", "cat/z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(picture()))
    source = open_source(str(tmp_path))
    assert source.classes == ("cat", "dog")
    assert [(item.key, item.target) for item in source] == [
        ("cat/z.png", 0),
        ("dog/b.png", 1),
        ("dog/deep/er/a.JPEG", 1),
    ]
    assert source.name == tmp_path.name


def test_items_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    source = open_source(str(write_folder(tmp_path / "d", 1)))
    data = source[3].load()
    assert isinstance(data, bytes)
    assert decode(data).size == picture().size
    (tmp_path / "d" / source[0].key).unlink()
    with pytest.raises(OSError, match="No such file"):
        source[0].load()


def test_names_that_are_no_text_are_shown_as_bytes_and_found_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"cl\xffass")
    folder.mkdir()
    (folder / os.fsdecode(b"\xfe.png")).write_bytes(encoded(picture()))
    source = open_source(str(tmp_path))
    assert source.classes == ("cl\\xffass",)
    assert source[0].key == "cl\\xffass/\\xfe.png"
    assert source[0].load() == encoded(picture())


def test_other_files_and_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 1)
    (root / ".cache").mkdir()
    (root / "README.txt").write_text("x")
    (root / "ant" / "notes.txt").write_text("x")
    (root / "ant" / "folder.png").mkdir()
    source = open_source(str(root))
    assert source.classes == CLASSES
    assert len(source) == len(CLASSES)


def test_an_empty_class_keeps_its_place(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 1, ("a", "c"))
    (root / "b").mkdir()
    source = open_source(str(root))
    assert source.classes == ("a", "b", "c")
    assert [item.target for item in source] == [0, 2]


@pytest.mark.parametrize(
    ("folders", "split", "taken"),
    [
        (("train", "validation", "test"), "test", "test"),
        (("train", "val"), "validation", "val"),
        (("train", "val"), "test", "val"),
        (("train", "val", "validation"), "validation", "validation"),
        (("train", "test"), "train", "train"),
        (("Train", "Val"), "validation", "Val"),
        (("train", "valid"), "validation", "valid"),
        (("TRAINING", "dev"), "train", "TRAINING"),
        (("training", "testing", "eval"), "test", "testing"),
    ],
)
def test_split_folders_are_used_where_they_exist(
    tmp_path: Path, folders: tuple[str, ...], split: Split, taken: str
) -> None:
    for count, name in enumerate(folders, 1):
        write_folder(tmp_path / name, count)
    source = open_source(str(tmp_path), split)
    assert len(source) == (folders.index(taken) + 1) * len(CLASSES)
    assert source.name == f"{tmp_path.name}:{split}"


@pytest.mark.parametrize(
    ("folders", "suffix"),
    [
        (("train",), ":validation"),
        (("test",), ":train"),
        (("train", "val"), ""),
        (("train", "validation", "kit"), ""),
        (("train", "kit"), ":validation"),
        (("Train", "Val"), ""),
        (("train", "test"), ":dev"),
        (("training_set", "test_set"), ""),
        (("train2017", "val2017"), ""),
        (("Train Images", "Validation Images"), ""),
    ],
)
def test_splits_are_not_taken_for_classes(folders: tuple[str, ...], suffix: str, tmp_path: Path) -> None:
    for name in folders:
        write_folder(tmp_path / name, 1)
    with pytest.raises(
        InputError, match=r"holds the splits ((?i:train).*/|test.*/).* and no .*:SPLIT, or name its folder"
    ):
        open_source(f"{tmp_path}{suffix}")


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "Train", "val"):
        write_folder(tmp_path / name, 1)
    with pytest.raises(InputError, match="holds Train/ and train/, which are both called train"):
        open_source(tmp_path, "train")


def test_a_class_that_is_called_like_a_split_stays_a_class(tmp_path: Path) -> None:
    source = open_source(write_folder(tmp_path / "d", 1, ("car", "plane", "train")))
    assert source.classes == ("car", "plane", "train")


def test_class_folders_with_the_same_folders_and_no_images_are_refused(tmp_path: Path) -> None:
    for name in ("fold_1", "fold_2"):
        write_folder(tmp_path / name, 1, ("ant", "bee"))
    with pytest.raises(InputError, match=r"only the same folders in each of them, such as ant, bee.*name one of them"):
        open_source(tmp_path)
    (tmp_path / "fold_1" / "0.png").write_bytes(encoded(picture()))
    assert open_source(tmp_path).classes == ("fold_1", "fold_2")


def test_folders_that_mostly_hold_the_same_folders_are_refused_too(tmp_path: Path) -> None:
    write_folder(tmp_path / "first", 1, ("ant", "bee", "cat"))
    write_folder(tmp_path / "second", 1, ("ant", "bee"))
    with pytest.raises(InputError, match="only the same folders in each of them, such as ant, bee"):
        open_source(tmp_path)
    write_folder(tmp_path / "animals", 1, ("ant", "cow", "dog", "eel", "fox"))
    assert open_source(tmp_path).classes == ("animals", "first", "second")


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("training_set", "test_set"), "test"),
        (("train2017", "val2017"), "val"),
        (("Train Images", "Test-Data"), "test"),
    ],
)
def test_splits_with_more_in_their_names_are_opened_as_parts(
    folders: tuple[str, str], name: str, tmp_path: Path
) -> None:
    for number, folder in enumerate(folders):
        write_folder(tmp_path / folder, 1 + number, ("ant", "bee"))
    assert (len(open_source(f"{tmp_path}:train")), len(open_source(f"{tmp_path}:{name}"))) == (2, 4)


@pytest.mark.parametrize("name", ["validation", "val", "Valid", "DEV"])
def test_a_split_is_asked_for_by_any_of_its_names(name: str, tmp_path: Path) -> None:
    for folder in ("train", "val"):
        write_folder(tmp_path / folder, 1)
    assert open_source(f"{tmp_path}:{name}").name == f"{tmp_path.name}:validation"


def test_one_folder_is_split_into_parts_that_share_nothing_and_miss_nothing(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 60)
    train, validation = ({item.key for item in open_source(str(root), split)} for split in PARTS)
    assert not train & validation
    assert train | validation == {item.key for item in open_source(str(root))}
    assert len(validation) == 6 * len(CLASSES)


def test_the_split_does_not_depend_on_the_place_or_on_other_classes(tmp_path: Path) -> None:
    first, second = write_folder(tmp_path / "a", 30), write_folder(tmp_path / "b" / "c", 30, CLASSES[1:])
    small = {item.key for item in open_source(str(second), "validation")}
    large = {item.key for item in open_source(str(first), "validation")}
    assert small == {key for key in large if not key.startswith(CLASSES[0])}


def test_folders_without_classes_or_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no class folders"):
        open_source(str(tmp_path))
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="holds no images in its 1 class folders"):
        open_source(str(tmp_path))


def test_files_and_folders_may_be_mixed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", 1, ("a", "b"))
    source = image_files([str(root / "b" / "0.png"), str(root)])
    assert [Path(item.key).relative_to(root).as_posix() for item in source] == ["b/0.png", "a/0.png", "b/0.png"]
    assert {item.target for item in source} == {None}
    assert source.classes == ()


def test_a_file_that_is_named_outright_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(encoded(picture()))
    assert len(image_files([str(tmp_path / "picture")])) == 1


def test_missing_paths_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png does not exist"):
        image_files([str(tmp_path / "none.png")])
    with pytest.raises(InputError, match="no images in"):
        image_files([str(tmp_path)])
