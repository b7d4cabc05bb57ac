"""Flat folders and their ground truth, which is also what `xception data prepare` sorts images by."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.data.forms import CLASSES, GROUND_TRUTH, IMAGES, NAMES, SYNSETS, synsets, tar_bytes, zip_bytes
from xception.data.ground_truth import GROUND_TRUTH as TRUTH_FILE
from xception.data.ground_truth import devkit_truth, image_stem, read_truth
from xception.data.sources import open_source
from xception.errors import InputError
from xception.labels import imagenet1k

KIT = {"ILSVRC2012_devkit_t12/data/" + TRUTH_FILE: GROUND_TRUTH, "ILSVRC2012_devkit_t12/data/meta.mat": SYNSETS}
LISTED = "".join(f"{name}.JPEG {target}\n" for name, (target, _) in zip(NAMES, IMAGES, strict=True))


def gzipped(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data)


@pytest.fixture
def val(tmp_path: Path) -> Path:
    (tmp_path / "val").mkdir()
    for name, (_, data) in zip(NAMES, IMAGES, strict=True):
        (tmp_path / "val" / f"{name}.JPEG").write_bytes(data)
    return tmp_path / "val"


def labels_of(data: Path | str) -> dict[str, str]:
    source = open_source(str(data))
    return {image_stem(item.key): source.classes[item.target or 0] for item in source}


EXPECTED = {name: CLASSES[target] for name, (target, _) in zip(NAMES, IMAGES, strict=True)}


def test_the_kit_is_read_as_a_folder_and_as_the_archive_it_comes_in(val: Path) -> None:
    archive = val.parent / "ILSVRC2012_devkit_t12.tar.gz"
    archive.write_bytes(gzipped(tar_bytes(KIT)))
    assert labels_of(val) == EXPECTED
    archive.unlink()
    for name, data in KIT.items():
        (val.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (val.parent / name).write_bytes(data)
    assert labels_of(val) == labels_of(f"{val.parent}:validation") == EXPECTED
    with pytest.raises(InputError, match="holds the splits val/ and no classes"):
        open_source(str(val.parent))


def test_labels_may_lie_among_the_images_and_the_split_folder_may_be_meant(val: Path) -> None:
    (val / "val_label.txt").write_text(LISTED)
    assert labels_of(val) == labels_of(f"{val.parent}:validation") == EXPECTED
    assert open_source(str(val)).classes == imagenet1k().ids
    (val / "val_label.txt").rename(val.parent / "val_label.txt")
    assert labels_of(f"{val.parent}:validation") == EXPECTED


def test_images_are_matched_by_their_stems(val: Path) -> None:
    (val / "val_label.txt").write_text(LISTED.replace(".JPEG", ".jpg"))
    assert labels_of(val) == EXPECTED
    assert open_source(str(val))[0].key == f"{NAMES[0]}.JPEG"


def test_other_images_have_the_classes_that_lie_beside_them_or_none_but_their_indices(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(IMAGES[0][1])
    (tmp_path / "val_label.txt").write_text("a.png 1\n")
    assert open_source(str(tmp_path)).classes == ("#0", "#1")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    assert open_source(str(tmp_path)).classes == ("cat", "dog")


def test_an_image_that_the_labels_promise_and_the_folder_lacks_counts(val: Path) -> None:
    (val / "val_label.txt").write_text(LISTED)
    (val / f"{NAMES[3]}.JPEG").unlink()
    source = open_source(str(val))
    assert len(source) == 12
    with pytest.raises(FileNotFoundError):
        source[3].load()


def test_an_image_that_the_labels_do_not_mention_is_an_error(val: Path) -> None:
    (val / "val_label.txt").write_text("".join(LISTED.splitlines(keepends=True)[1:]))
    with pytest.raises(InputError, match=rf"1 images of .*{NAMES[0]}\.JPEG, are not in .*val_label\.txt"):
        open_source(str(val))


def test_images_without_any_labels_are_an_error_that_says_where_they_are_looked_for(val: Path) -> None:
    with pytest.raises(
        InputError, match=r"no class folders; expected one folder per class, or their classes in val_label\.txt"
    ):
        open_source(str(val))


def test_two_images_of_one_stem_are_refused(val: Path) -> None:
    (val / "val_label.txt").write_text(LISTED)
    (val / f"{NAMES[0]}.png").write_bytes(IMAGES[0][1])
    with pytest.raises(InputError, match="differ only in what follows the first dot"):
        open_source(str(val))


def test_a_flat_folder_may_be_archived_beside_its_labels(val: Path) -> None:
    members = {f"{name}.JPEG": data for name, (_, data) in zip(NAMES, IMAGES, strict=True)}
    (val.parent / "val.zip").write_bytes(zip_bytes(members))
    (val.parent / "val_label.txt").write_text(LISTED)
    assert labels_of(val.parent / "val.zip") == EXPECTED


def test_ranks_follow_the_wordnet_ids_of_childless_synsets() -> None:
    truth = devkit_truth("1\n2\n3\n", SYNSETS, "kit")
    assert truth.classes == CLASSES
    assert list(truth.targets.values()) == [2, 0, 1]
    assert devkit_truth("7\n", synsets([(7, "n1", 0)]), "kit").classes == ("n1",)


@pytest.mark.parametrize("line", ["4", "0", "1001", "x"])
def test_a_number_that_is_no_class_is_named(line: str) -> None:
    with pytest.raises(InputError, match=f"line 2 of kit is '{line}'"):
        devkit_truth(f"1\n{line}\n", SYNSETS, "kit")


@pytest.mark.parametrize("data", [b"", b"MATLAB", SYNSETS[:-20], SYNSETS[:200]])
def test_broken_synsets_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"meta\.mat of kit cannot be read"):
        devkit_truth("1\n", data, "kit")


def test_labels_that_a_user_names_may_be_a_list_the_kit_or_its_archive(tmp_path: Path) -> None:
    (tmp_path / "any.txt").write_text(LISTED)
    (tmp_path / "kit.tar.gz").write_bytes(gzipped(tar_bytes(KIT)))
    (tmp_path / "kit" / "data").mkdir(parents=True)
    for name, data in KIT.items():
        (tmp_path / "kit" / "data" / Path(name).name).write_bytes(data)
    for name in ("any.txt", "kit.tar.gz", "kit", "kit/data"):
        truth = read_truth(str(tmp_path / name))
        assert {image: truth.classes[target] for image, target in truth.targets.items()} == EXPECTED


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"x 1\nx.png 2\n", "lists 1 images twice"),
        ("a.tar.gz", b"no archive", "is no tar archive, or broken"),
        ("a.tar.gz", gzipped(tar_bytes(KIT))[:-40], "is no tar archive, or broken"),
        ("a.tar", tar_bytes({"meta.mat": SYNSETS}), "does not hold ILSVRC2012_validation_ground_truth"),
        ("a.txt", b"\xff\xff", "are not UTF-8 text"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_truth(str(tmp_path / name))


def test_labels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no labels: .*none\.txt does not exist"):
        read_truth(str(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="holds no labels"):
        read_truth(str(tmp_path))


def test_a_link_in_the_kits_archive_is_not_followed(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("data/meta.mat")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    (tmp_path / "kit.tar").write_bytes(file.getvalue())
    with pytest.raises(InputError, match="does not hold"):
        read_truth(str(tmp_path / "kit.tar"))
