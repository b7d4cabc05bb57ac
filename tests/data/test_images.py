from pathlib import Path

import pytest

from tests.data.forms import parquet_bytes, tar_bytes
from tests.support.samples import encoded, picture, write_folder
from xception.data.images import open_images
from xception.data.sources import open_source
from xception.errors import InputError

FILE = encoded(picture())


def test_shards_need_no_classes(tmp_path: Path) -> None:
    (tmp_path / "s-0.tar").write_bytes(tar_bytes({"a.png": FILE, "b.png": FILE, "b.cls": b"1"}))
    (tmp_path / "s-1.tar").write_bytes(tar_bytes({"c.png": FILE}))
    for place in (tmp_path, tmp_path / "s-{0..1}.tar"):
        found = [(item.key, item.target) for item in open_images([str(place)])]
        assert found == [("s-0/a", None), ("s-0/b", 1), ("s-1/c", None)]
    (tmp_path / "s-1.tar").write_bytes(tar_bytes({"c.png": FILE, "c.cls": b"-1"}))
    with pytest.raises(InputError, match="class of c"):
        open_images([str(tmp_path)])


def test_every_form_of_data_is_taken(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", 1, ("ant", "bee"))
    (tmp_path / "list.txt").write_text("folder/ant/0.png 0\nfolder/bee/0.png 1\n")
    (tmp_path / "p.parquet").write_bytes(parquet_bytes({"image": [FILE, FILE], "label": [0, 1]}))
    for place in (tmp_path / "list.txt", tmp_path / "p.parquet", "synthetic:2,8x8,2"):
        assert [item.target for item in open_images([str(place)])] == [0, 1]
    assert len(open_images(["digits:test"])) > 100
    for places in ([str(folder)], [str(folder / "ant" / "0.png"), str(folder / "bee")]):
        assert [item.target for item in open_images(places)] == [None, None]


def test_a_part_of_a_folder_has_its_labels(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_folder(tmp_path / split, 1, ("ant", "bee"))
    assert [item.target for item in open_images([f"{tmp_path}:val"])] == [0, 1]


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_images([str(tmp_path / "none.jpg")])
    with pytest.raises(InputError, match="does not exist"):
        open_images([str(tmp_path / "none.tar")])


def test_parquet_files_need_no_classes(tmp_path: Path) -> None:
    contents: list[list[object]] = [[FILE, FILE], [{"bytes": FILE, "path": "x.png"}]]
    for number, images in enumerate(contents):
        (tmp_path / f"p-{number}.parquet").write_bytes(parquet_bytes({"image": images}))
    for place in (tmp_path, tmp_path / "p-{0..1}.parquet"):
        found = [(item.key, item.target, item.load()) for item in open_images([str(place)])]
        assert found == [("p-0/0", None, FILE), ("p-0/1", None, FILE), ("x.png", None, FILE)]
    with pytest.raises(InputError, match="has the columns image; expected"):
        open_source(tmp_path)
