from pathlib import Path

import pytest

from tests.support.samples import encoded, picture
from xception.data.sources import open_source
from xception.errors import InputError
from xception.labels import Labels, imagenet1k


def write(root: Path, text: str, *images: str, labels: str = "") -> str:
    for index, name in enumerate(images):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(picture(seed=index)))
    if labels:
        (root / "labels.txt").write_text(labels)
    (root / "list.txt").write_text(text)
    return str(root / "list.txt")


def test_a_path_may_hold_spaces_and_lines_may_end_as_they_like(tmp_path: Path) -> None:
    data = write(tmp_path, "\ufeffa b/c d.png 1\r\n\r\ne.png\t0", "a b/c d.png", "e.png")
    source = open_source(data)
    assert [(item.key, item.target) for item in source] == [("a b/c d.png", 1), ("e.png", 0)]
    assert source[1].load() == encoded(picture(seed=1))
    assert source.name == "list.txt"


def test_classes_are_named_by_labels_beside_the_list_or_else_by_index(tmp_path: Path) -> None:
    data = write(tmp_path, "a.png 2\nb.png 0\n", "a.png", "b.png")
    assert open_source(data).classes == ("#0", "#1", "#2")
    assert Labels(("x", "y", "z")).targets(open_source(data).classes) == (0, 1, 2)
    with pytest.raises(InputError, match="3 classes are not among the model's 2 labels"):
        Labels(("x", "y")).targets(open_source(data).classes)
    write(tmp_path, "a.png 2\nb.png 0\n", labels="x\ny\nz\n")
    assert open_source(data).classes == ("x", "y", "z")
    write(tmp_path, "a.png 2\nb.png 0\n", labels="x\ny\n")
    with pytest.raises(InputError, match="names 2 classes, but the data use 3"):
        open_source(data)


def test_imagenets_own_images_have_imagenets_classes(tmp_path: Path) -> None:
    name = "ILSVRC2012_val_00000001.JPEG"
    source = open_source(write(tmp_path, f"val/{name} 65\n", f"val/{name}"))
    assert source.classes == imagenet1k().ids
    assert source[0].target == 65


def test_paths_may_begin_in_the_folder_val(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "a.png 0\n", "val/a.png"))
    assert (source[0].key, source[0].load()) == ("a.png", encoded(picture()))


def test_one_missing_image_fails_where_it_is_read_and_all_missing_ones_at_once(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "gone.png 0\na.png 0\n", "a.png"))
    assert len(source) == 2
    with pytest.raises(FileNotFoundError):
        source[0].load()
    with pytest.raises(InputError, match=r"none of the first 1 images of .* such as gone\.png"):
        open_source(write(tmp_path, "gone.png 0\n"))


def test_a_list_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt does not exist; expected a list file"):
        open_source(str(tmp_path / "none.txt"))
    (tmp_path / "list.txt").write_bytes(b"\xff\xfd 1")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        open_source(str(tmp_path / "list.txt"))


def test_a_list_is_shared_out_between_training_and_validation(tmp_path: Path) -> None:
    names = [f"{index}.png" for index in range(100)]
    data = write(tmp_path, "".join(f"{name} 0\n" for name in names), "0.png")
    train, validation = ([item.key for item in open_source(f"{data}:{split}")] for split in ("train", "validation"))
    assert sorted([*train, *validation]) == sorted(names)
    assert 2 <= len(validation) <= 25


@pytest.mark.parametrize(
    "text",
    [
        "a.png,1\nb c.png,0\n",
        "a.png;1\nb c.png; 0\n",
        "a.png\t1\nb c.png\t0\n",
        "a.png, 1\r\nb c.png, 0\r\n",
        "file_name,label\na.png,1\nb c.png,0\n",
        'Width,"Path",Class\n9,"a.png",1\n9,"b c.png",0\n',
    ],
)
def test_commas_and_tabs_separate_too_and_a_table_may_have_a_head(text: str, tmp_path: Path) -> None:
    data = write(tmp_path, text, "a.png", "b c.png")
    assert [(item.key, item.target) for item in open_source(data)] == [("a.png", 1), ("b c.png", 0)]


@pytest.mark.parametrize(
    "text",
    [
        "a.png,sea lion\nb.png,ant\n",
        "a.png sea lion\nb.png ant\n",
        "path\tcategory\na.png\tsea lion\nb.png\tant\n",
        '"a.png";"sea lion"\nb.png;ant\n',
    ],
)
def test_classes_may_be_stated_by_name(text: str, tmp_path: Path) -> None:
    data = write(tmp_path, text, "a.png", "b.png")
    source = open_source(data)
    assert (source.classes, [item.target for item in source]) == (("ant", "sea lion"), [1, 0])
    write(tmp_path, text, labels="sea lion\ncow\nant\n")
    source = open_source(data)
    assert (source.classes, [item.target for item in source]) == (("sea lion", "cow", "ant"), [0, 2])
    write(tmp_path, text, labels="ant\ncow\n")
    with pytest.raises(InputError, match="'sea lion' of the data is none of the 2 in the label file"):
        open_source(data)


def test_a_name_among_indices_is_refused_and_an_index_among_names(tmp_path: Path) -> None:
    for text, number in (("a.png,1\nb.png,0\nc.png,cat\n", 3), ("a.png,ant\nb.png,7\nc.png,cat\n", 2)):
        with pytest.raises(InputError, match=f"line {number} of"):
            open_source(write(tmp_path, text, "a.png"))


def test_a_flat_folder_takes_names_as_well(tmp_path: Path) -> None:
    write(tmp_path, "", "val/a.png", "val/b.png")
    (tmp_path / "val_label.txt").write_text("a.png,sea lion\nb.png,ant\n")
    source = open_source(tmp_path / "val")
    assert (source.classes, [item.target for item in source]) == (("ant", "sea lion"), [1, 0])


@pytest.mark.parametrize(
    "text",
    [
        "Filename;ClassId\na.png;1\nb.png;0\n",
        "Width,Height,ClassId,Path\n9,9,1,a.png\n9,9,0,b.png\n",
        ",Image Path,Label Name\n0,a.png,1\n1,b.png,0\n",
        "archivo,clase\na.png,1\nb.png,0\n",
        "id,target\na,1\nb,0\n",
        "\ufefffile_name,label\ra.png,1\rb.png,0\r",
    ],
)
def test_a_table_is_read_whatever_people_call_its_columns(text: str, tmp_path: Path) -> None:
    data = write(tmp_path, text, "a.png", "b.png")
    assert [(item.key, item.target) for item in open_source(data)] == [("a.png", 1), ("b.png", 0)]
    Path(data).write_bytes(text.encode("utf-16"))
    assert [(item.key, item.target) for item in open_source(data)] == [("a.png", 1), ("b.png", 0)]


@pytest.mark.parametrize("head", ["filename,breed", "id,breed", "foto,especie"])
def test_the_head_of_a_table_is_no_image_and_no_class(head: str, tmp_path: Path) -> None:
    for ending in (".png", ""):
        source = open_source(write(tmp_path, f"{head}\na{ending},pug\nb{ending},boxer\n", "a.png", "b.png"))
        assert (source.classes, [item.key for item in source]) == (("boxer", "pug"), ["a.png", "b.png"])


def test_a_table_in_which_several_columns_may_be_the_class_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path, "filename,breed,color\na.png,pug,black\nb.png,boxer,brown\n", "a.png", "b.png")
    with pytest.raises(InputError, match=r"'breed', 'color', any of which may be the class .* call it 'label'"):
        open_source(data)


def test_paths_may_begin_in_the_one_folder_next_to_the_list_that_has_them(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "id,breed\na,pug\nb,boxer\n", "pictures/a.png", "pictures/b.png"))
    assert [item.key for item in source] == ["a.png", "b.png"]
    assert source[0].load() == encoded(picture())
    write(tmp_path, "a.png 0\n", "list/a.png")
    assert open_source(str(tmp_path / "list.txt"))[0].load() == encoded(picture())
    (tmp_path / "list").rename(tmp_path / "others")
    with pytest.raises(InputError, match=r"lie in others/ and pictures/ of .* alike; put the list in the folder"):
        open_source(str(tmp_path / "list.txt"))


def test_a_list_that_windows_wrote_has_the_same_paths(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, ".\\ant\\a.png 0\r\n.\\bee\\b.png 1\r\n", "ant/a.png", "bee/b.png"))
    assert [item.load() for item in source] == [encoded(picture(seed=index)) for index in range(2)]
