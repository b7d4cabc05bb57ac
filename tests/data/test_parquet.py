from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.forms import CLASSES, HUB_FEATURES, IMAGES, parquet_bytes
from xception.data import parquet as module
from xception.data.sources import open_source
from xception.errors import DecodeError, InputError

FILES = [{"bytes": data, "path": None} for _, data in IMAGES]
PLAIN = [data for _, data in IMAGES]
TARGETS = [target for target, _ in IMAGES]


def write(folder: Path, rows: dict[str, Any], features: object = None, name: str = "a.parquet", group: int = 2) -> str:
    (folder / name).write_bytes(parquet_bytes(rows, features, group))
    return str(folder / name)


@pytest.mark.parametrize("images", [FILES, PLAIN])
@pytest.mark.parametrize("names", [("image", "label"), ("img", "labels")])
@pytest.mark.parametrize("group", [1, 5, 100])
def test_images_are_encoded_files_or_structures_with_them(
    images: list[object], names: tuple[str, str], group: int, tmp_path: Path
) -> None:
    source = open_source(write(tmp_path, dict(zip(names, (images, TARGETS), strict=True)), group=group))
    assert [(item.key, item.target, item.load()) for item in source] == [
        (f"a/{index}", target, data) for index, (target, data) in enumerate(IMAGES)
    ]
    assert source.classes == ("#0", "#1", "#2")


@pytest.mark.parametrize("names", [list(CLASSES), {str(index): name for index, name in enumerate(CLASSES)}])
def test_class_names_come_from_the_metadata(names: object, tmp_path: Path) -> None:
    features = {"label": {"_type": "ClassLabel", "names": names}, "image": {"_type": "Image"}}
    assert open_source(write(tmp_path, {"image": FILES, "label": TARGETS}, features)).classes == CLASSES


def test_columns_are_found_by_what_the_metadata_say(tmp_path: Path) -> None:
    features = {"photo": {"_type": "Image"}, "kind": {"_type": "ClassLabel", "names": list(CLASSES)}, "note": [1]}
    source = open_source(write(tmp_path, {"photo": FILES, "kind": TARGETS, "note": TARGETS}, features))
    assert (source[4].target, source[4].load()) == (1, PLAIN[4])


def test_of_two_kinds_of_labels_the_one_called_label_is_meant(tmp_path: Path) -> None:
    coarse = {"_type": "ClassLabel", "names": ["all"]}
    rows = {"image": FILES, "coarse": [0] * 12, "label": TARGETS}
    assert open_source(write(tmp_path, rows, HUB_FEATURES | {"coarse": coarse})).classes == CLASSES
    with pytest.raises(InputError, match="columns image, coarse, fine; expected images in one called image"):
        rows = {"image": FILES, "coarse": [0] * 12, "fine": TARGETS}
        open_source(write(tmp_path, rows, {"image": {"_type": "Image"}, "coarse": coarse, "fine": coarse}))


def test_class_names_may_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("x\ny\nz\n")
    assert open_source(write(tmp_path, {"image": FILES, "label": TARGETS})).classes == ("x", "y", "z")


def test_a_row_without_a_label_has_none(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, {"image": FILES[:3], "label": [None, -1, 1]}))
    assert [item.target for item in source] == [None, None, 1]


@pytest.mark.parametrize("images", [[None, PLAIN[0]], [{"bytes": None, "path": "a.png"}, FILES[0]]])
def test_a_row_without_an_image_fails_alone(images: list[object], tmp_path: Path) -> None:
    source = open_source(write(tmp_path, {"image": images, "label": [0, 0]}))
    with pytest.raises(DecodeError, match="the row holds no image"):
        source[0].load()
    assert source[1].load() == PLAIN[0]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The groups of rows that are read, in order."""
    read: list[int] = []
    original = module._read_group

    def counted(group: module.RowGroup) -> object:
        read.append(group.number)
        return original(group)

    monkeypatch.setattr(module, "_read_group", counted)
    return read


def test_a_group_of_rows_is_read_once_however_many_threads_want_it(tmp_path: Path, read: list[int]) -> None:
    source = open_source(write(tmp_path, {"image": FILES, "label": TARGETS}, group=4))
    assert read == []
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda item: item.load(), source)) == PLAIN
    assert sorted(read) == [0, 1, 2]


def test_no_more_than_a_few_groups_are_held(tmp_path: Path, read: list[int]) -> None:
    source = open_source(write(tmp_path, {"image": FILES, "label": TARGETS}, group=1))
    for item in source:
        item.load()
    source[0].load()
    source[11].load()
    assert read == [*range(12), 0]


def test_damaged_rows_fail_and_others_do_not(tmp_path: Path) -> None:
    data = write(tmp_path, {"image": PLAIN, "label": TARGETS}, group=4)
    source = open_source(data)
    content = bytearray(Path(data).read_bytes())
    page = pq.ParquetFile(data).metadata.row_group(1).column(0).dictionary_page_offset
    content[page : page + 40] = b"\xff" * 40
    Path(data).write_bytes(content)
    assert source[0].load() == PLAIN[0]
    with pytest.raises(DecodeError, match=r"a\.parquet is no parquet file, or damaged"):
        source[5].load()


def test_a_split_of_a_folder_is_that_of_its_files_names(tmp_path: Path) -> None:
    for name, count in (("train", 8), ("test", 4)):
        write(tmp_path, {"image": FILES[:count], "label": TARGETS[:count]}, name=f"{name}-00000-of-00001.parquet")
    assert len(open_source(f"{tmp_path}:train")) == 8
    assert open_source(f"{tmp_path}:test").name == f"{tmp_path.name}:test"
    with pytest.raises(InputError, match="holds the splits train, test; write"):
        open_source(str(tmp_path))
    with pytest.raises(InputError, match="holds the splits train, test"):
        open_source(f"{tmp_path}:validation")


def test_files_of_other_names_are_shared_out(tmp_path: Path) -> None:
    write(tmp_path, {"image": FILES * 10, "label": TARGETS * 10})
    train, validation = (open_source(f"{tmp_path}:{split}") for split in ("train", "validation"))
    assert len(train) + len(validation) == 120
    assert 0 < len(validation) < 30


def test_files_of_different_classes_are_refused(tmp_path: Path) -> None:
    other = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["x", "y", "z"]}}
    write(tmp_path, {"image": FILES, "label": TARGETS}, HUB_FEATURES, "p-0.parquet")
    write(tmp_path, {"image": FILES, "label": TARGETS}, other, "p-1.parquet")
    with pytest.raises(InputError, match=r"p-0\.parquet and p-1\.parquet name different classes"):
        open_source(f"{tmp_path}/p-{{0..1}}.parquet")


def test_a_class_beyond_the_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="uses class 3, but names 3 classes"):
        open_source(write(tmp_path, {"image": FILES[:1], "label": [3]}, HUB_FEATURES))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"image": PLAIN, "text": ["x"] * 12}, "has the columns image, text; expected"),
        ({"image": PLAIN, "label": [0.5] * 12}, "the column label of .* holds double; expected class indices or names"),
        ({"picture": PLAIN, "label": TARGETS}, "has the columns picture, label"),
    ],
)
def test_columns_that_are_missing_or_of_another_kind_are_named(
    rows: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        open_source(write(tmp_path, rows))


@pytest.mark.parametrize("cut", [0, 3, 50, -5])
def test_what_is_no_parquet_file_or_was_cut_is_refused(cut: int, tmp_path: Path) -> None:
    data = write(tmp_path, {"image": FILES, "label": TARGETS})
    Path(data).write_bytes(Path(data).read_bytes()[:cut])
    with pytest.raises(InputError, match=r"a\.parquet is no parquet file, or damaged"):
        open_source(data)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path, {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})
    for place in (data, str(tmp_path)):
        with pytest.raises(InputError, match="holds no rows"):
            open_source(place)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.parquet does not exist"):
        open_source(str(tmp_path / "none.parquet"))


def test_an_image_is_called_by_its_own_path_where_no_other_is(tmp_path: Path) -> None:
    paths = ["x/a.png", None, "twice.png", "twice.png"]
    images = [{"bytes": PLAIN[0], "path": path} for path in paths]
    source = open_source(write(tmp_path, {"image": images, "label": [0] * 4}))
    assert [item.key for item in source] == ["x/a.png", "a/1", "a/2", "a/3"]
    assert source[1].load() == PLAIN[0]


@pytest.mark.parametrize("column", ["fine_label", "class", "target", "category"])
def test_labels_are_found_in_columns_of_other_names_and_may_be_names(column: str, tmp_path: Path) -> None:
    by_index = open_source(write(tmp_path, {"image": FILES, "coarse_label": [0] * 12, column: TARGETS}))
    assert [item.target for item in by_index] == TARGETS
    by_name = open_source(write(tmp_path, {"image": FILES, column: [CLASSES[2 - target] for target in TARGETS]}))
    assert (by_name.classes, [item.target for item in by_name]) == (CLASSES, [2 - target for target in TARGETS])
