import json
from pathlib import Path

import pytest

from tests.support.samples import CLASSES
from xception.errors import InputError
from xception.labels import Labels
from xception.tasks.real_labels import RealLabels, read_real

LABELS = Labels(CLASSES)


def written(folder: Path, content: object, images: int = 3) -> RealLabels:
    path = folder / "real.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_real(path, LABELS, images)


def test_a_list_is_in_the_order_of_the_images(tmp_path: Path) -> None:
    real = written(tmp_path, [[0], [], [1, 6]])
    assert [real.valid(f"{index}.png", index) for index in range(3)] == [{0}, set(), {1, 6}]


def test_an_imagenet_name_gives_its_place_itself(tmp_path: Path) -> None:
    real = written(tmp_path, [[0], [1], [2], [3]], images=1)
    assert real.valid("n01440764/ILSVRC2012_val_00000003.JPEG", 0) == {2}
    with pytest.raises(InputError, match="no entry for ILSVRC2012_val_00000005"):
        real.valid("ILSVRC2012_val_00000005.JPEG", 0)
    with pytest.raises(InputError, match="no entry for ILSVRC2012_val_00000000"):
        real.valid("ILSVRC2012_val_00000000.JPEG", 0)


def test_a_list_of_another_length_is_not_taken_for_the_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no entry for a\.png"):
        written(tmp_path, [[0], [1]], images=3).valid("a.png", 0)


def test_a_mapping_knows_images_by_path_name_or_stem(tmp_path: Path) -> None:
    real = written(tmp_path, {"ant/a.png": [0], "a.png": [1], "b": ["cat", 5]})
    assert real.valid("ant/a.png", 0) == {0}
    assert real.valid("bee/a.png", 1) == {1}
    assert real.valid("cat/b.jpeg", 2) == {2, 5}
    with pytest.raises(InputError, match=r"no entry for c\.png"):
        real.valid("c.png", 3)


@pytest.mark.parametrize(("entry", "message"), [([7], "class 7"), ([-1], "class -1"), (["yak"], "'yak'")])
def test_a_class_that_the_model_does_not_know_is_refused(tmp_path: Path, entry: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        written(tmp_path, {"a": entry}).valid("a", 0)


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], "text", {"a": [0.5]}])
def test_another_form_is_refused_with_its_place(tmp_path: Path, content: object) -> None:
    with pytest.raises(InputError, match="does not hold lists of classes"):
        written(tmp_path, content)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_real(tmp_path / "none.json", LABELS, 1)
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="does not hold lists"):
        read_real(tmp_path / "bad.json", LABELS, 1)
