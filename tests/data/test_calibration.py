import hashlib
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.support.samples import CLASSES, encoded, labelled, picture
from xception.data import calibration
from xception.data.calibration import CALIBRATION_FILE, CalibrationSet, write_sample
from xception.data.digits import digits
from xception.data.source import Item, Items
from xception.data.sources import open_source
from xception.errors import EnvironmentFault, InputError, UsageError


def test_one_image_of_each_class_is_drawn_and_then_another(tmp_path: Path) -> None:
    write_sample(labelled(70), tmp_path / "one", len(CLASSES))
    write_sample(labelled(70), tmp_path / "two", 2 * len(CLASSES) + 3)
    counts = [Counter(item.target for item in open_source(str(tmp_path / name))) for name in ("one", "two")]
    assert set(counts[0].values()) == {1}
    assert sorted(counts[1].values()) == [2, 2, 2, 2, 3, 3, 3]


def test_files_are_copies_and_the_document_says_of_what(tmp_path: Path) -> None:
    source = labelled(70)
    document = write_sample(source, tmp_path / "out", 20, seed=5)
    assert msgspec.json.decode((tmp_path / "out" / CALIBRATION_FILE).read_bytes(), type=CalibrationSet) == document
    items = {item.key: item for item in source}
    for image in document.images:
        data = (tmp_path / "out" / image.path).read_bytes()
        assert data == items[image.key].load()
        assert hashlib.sha256(data).hexdigest() == image.sha256
        assert image.path.startswith(f"{CLASSES[items[image.key].target or 0]}/")
    assert (document.source, document.seed, document.classes, document.not_in) == ("pictures", 5, 7, ())
    assert len(list((tmp_path / "out").rglob("*.png"))) == 20


def test_the_seed_decides(tmp_path: Path) -> None:
    keys = [
        [image.key for image in write_sample(labelled(70), tmp_path / str(run), 9, seed=seed).images]
        for run, seed in enumerate((0, 0, 1))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_no_image_is_in_a_set_that_is_kept_apart_whatever_it_is_called(tmp_path: Path) -> None:
    source = labelled(70)
    judged = Items("judged", CLASSES, tuple(Item(f"other{i}", 0, source[i].load) for i in range(40)))
    document = write_sample(source, tmp_path / "out", 30, not_in=[judged])
    assert {int(image.key) for image in document.images} == set(range(40, 70))
    assert document.not_in == ("judged",)
    with pytest.raises(InputError, match=r"has 30 images that can be used where 31 were asked for .*ask for fewer"):
        write_sample(source, tmp_path / "more", 31, not_in=[judged])
    assert not (tmp_path / "more").exists()


def test_unreadable_and_repeated_images_are_passed_over(tmp_path: Path) -> None:
    broken = labelled(14, broken=(3, 4))
    twins = Items("twins", CLASSES, (*broken, *labelled(7)))
    document = write_sample(twins, tmp_path / "out", 12)
    assert len({image.sha256 for image in document.images}) == 12
    assert document.passed_over >= 2
    with pytest.raises(InputError, match="has 14 images that can be used"):
        write_sample(twins, tmp_path / "all", 21)


def test_pictures_without_a_file_become_one(tmp_path: Path) -> None:
    document = write_sample(digits("train"), tmp_path / "out", 10)
    assert document.classes == 10
    assert all(image.path.endswith(".png") for image in document.images)
    assert len(open_source(str(tmp_path / "out"))) == 10


def test_files_are_called_by_what_they_are(tmp_path: Path) -> None:
    item = Item("shard/0001", 0, lambda: encoded(picture(), "JPEG"))
    assert write_sample(Items("s", ("cat",), (item,)), tmp_path / "out", 1).images[0].path.endswith(".jpg")


@pytest.mark.parametrize("label", ["a/b", "..", ".cache"])
def test_a_class_that_cannot_be_a_folder_is_refused(label: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be a folder's name"):
        write_sample(labelled(1, (label,)), tmp_path / "out", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match="is not an empty folder"):
            write_sample(labelled(7), place, 7)
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_sample(labelled(7), tmp_path / "file" / "out", 7)


def test_unlabelled_images_and_counts_below_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a has no label"):
        write_sample(Items("s", (), (Item("a", None, lambda: encoded(picture())),)), tmp_path / "out", 1)
    with pytest.raises(UsageError, match="0 images were asked for"):
        write_sample(labelled(7), tmp_path / "out", 0)


def test_what_looks_like_an_image_that_is_kept_apart_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [encoded(picture(seed=seed), "JPEG", quality=95) for seed in range(20)]
    again = [encoded(picture(seed=seed), "JPEG", quality=40) for seed in range(8)]
    pool = Items("pool", ("cat",), tuple(Item(f"{i}", 0, lambda file=file: file) for i, file in enumerate(files)))
    test = Items("test", ("cat",), tuple(Item(f"t{i}", 0, lambda file=file: file) for i, file in enumerate(again)))
    document = write_sample(pool, tmp_path / "out", 12, not_in=[test])
    assert document.look_alikes
    assert {int(image.key) for image in document.images} == set(range(8, 20))
    monkeypatch.setattr(calibration, "is_installed", lambda _: False)
    assert not write_sample(pool, tmp_path / "same", 20, not_in=[test]).look_alikes
