import gzip
import io
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.data.forms import CLASSES, GROUND_TRUTH, IMAGES, NAMES, SYNSETS, tar_bytes
from xception.data import prepare as module
from xception.data.prepare import PreparedFolder, prepare_imagenet
from xception.data.sources import open_source
from xception.errors import CheckFailed, EnvironmentFault, InputError, UsageError
from xception.outputs import alone_in

VAL = {f"{name}.JPEG": data for name, (_, data) in zip(NAMES, IMAGES, strict=True)}
LABELS = "".join(f"{name}.JPEG {target}\n" for name, (target, _) in zip(NAMES, IMAGES, strict=True))
KIT = {"data/ILSVRC2012_validation_ground_truth.txt": GROUND_TRUTH, "data/meta.mat": SYNSETS}
SORTED = {f"{CLASSES[target]}/{name}.JPEG": data for name, (target, data) in zip(NAMES, IMAGES, strict=True)}


def training() -> dict[str, bytes]:
    """The archive of archives, with a class's images each."""
    members = {label: {} for label in CLASSES}  # type: dict[str, dict[str, bytes]]
    for index, (target, data) in enumerate(IMAGES):
        members[CLASSES[target]][f"{CLASSES[target]}_{index}.JPEG"] = data
    return {f"{label}.tar": tar_bytes(images) for label, images in members.items()}


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes(VAL))
    (folder / "val_label.txt").write_text(LABELS)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_validation_images_are_sorted_by_a_label_file_beside_them(downloads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", out) == (
        PreparedFolder(folder=str(out), classes=3, images=12, written=12, kept=0),
    )
    assert tree(out) == SORTED
    assert open_source(str(out)).classes == CLASSES


def test_validation_images_are_sorted_by_the_kit(downloads: Path, tmp_path: Path) -> None:
    (downloads / "val_label.txt").unlink()
    kit = tmp_path / "kit.tar.gz"
    kit.write_bytes(gzip.compress(tar_bytes(KIT)))
    with pytest.raises(InputError, match=r"no labels lie next to .*--truth"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")
    prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out", truth=str(kit))
    assert tree(tmp_path / "out") == SORTED


def test_training_images_lie_in_archives_by_class(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(tar_bytes(training()))
    (result,) = prepare_imagenet(tmp_path / "train.tar", tmp_path / "out", expect=12)
    assert (result.images, result.classes) == (12, 3)
    assert sorted(tree(tmp_path / "out").values()) == sorted(data for _, data in IMAGES)
    assert open_source(str(tmp_path / "out")).classes == CLASSES


def test_all_downloads_in_a_folder_are_sorted(downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRAIN_IMAGES", 12)
    monkeypatch.setattr(module, "TRAIN_CLASSES", 3)
    (downloads / "ILSVRC2012_img_train.tar").write_bytes(tar_bytes(training()))
    results = prepare_imagenet(downloads, tmp_path / "out")
    assert [Path(row.folder).name for row in results] == ["train", "val"]
    assert len(open_source(f"{tmp_path / 'out'}:validation")) == 12
    with pytest.raises(UsageError, match="--expect is for one archive"):
        prepare_imagenet(downloads, tmp_path / "out", expect=12)


def test_a_folder_of_unsorted_images_is_sorted(downloads: Path, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    for name, data in VAL.items():
        (tmp_path / "val" / name).write_bytes(data)
    prepare_imagenet(tmp_path / "val", tmp_path / "out", truth=str(downloads / "val_label.txt"))
    assert tree(tmp_path / "out") == SORTED


def test_an_interrupted_run_continues(downloads: Path, tmp_path: Path) -> None:
    def interrupt(count: int) -> None:
        if count == 5:
            raise KeyboardInterrupt

    archive, out = downloads / "ILSVRC2012_img_val.tar", tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare_imagenet(archive, out, on_image=interrupt)
    assert len(tree(out)) == 5
    cut = out / min(tree(out))
    cut.write_bytes(b"cut")
    (out / CLASSES[0] / f".{NAMES[6]}.JPEG.partial").write_bytes(b"half")
    (result,) = prepare_imagenet(archive, out)
    assert (result.written, result.kept) == (8, 4)
    assert tree(out) == SORTED


def test_a_file_of_the_right_size_that_a_power_failure_emptied_is_written_again(
    downloads: Path, tmp_path: Path
) -> None:
    archive, out = downloads / "ILSVRC2012_img_val.tar", tmp_path / "out"
    prepare_imagenet(archive, out)
    victim = out / min(tree(out))
    victim.write_bytes(bytes(victim.stat().st_size))
    (result,) = prepare_imagenet(archive, out)
    assert (result.written, result.kept) == (1, 11)
    assert tree(out) == SORTED


def test_files_are_on_the_disk_before_they_are_counted(
    downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("xception.data.prepare.SYNCED_TOGETHER", 5)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    out = tmp_path / "out"
    prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", out)
    assert {(out / name).stat().st_ino for name in tree(out)} <= set(synced)


def test_a_second_process_is_told_that_the_place_is_taken(downloads: Path, tmp_path: Path) -> None:
    with (
        alone_in(tmp_path / "out", "sorting images into"),
        pytest.raises(EnvironmentFault, match="another process is sorting images into"),
    ):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")


def test_a_missing_image_fails_the_check_and_names_what_to_do(downloads: Path, tmp_path: Path) -> None:
    archive = downloads / "ILSVRC2012_img_val.tar"
    archive.write_bytes(tar_bytes(dict(list(VAL.items())[:10])))
    with pytest.raises(CheckFailed, match=r"holds 10 images where 12 were expected; .*--expect 10"):
        prepare_imagenet(archive, tmp_path / "out")
    assert prepare_imagenet(archive, tmp_path / "out", expect=10)[0].kept == 10


def test_a_training_archive_is_expected_to_be_whole(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(tar_bytes(training()))
    with pytest.raises(CheckFailed, match="12 images where 1,281,167 were expected"):
        prepare_imagenet(tmp_path / "train.tar", tmp_path / "out")


@pytest.mark.parametrize(("images", "classes"), [(12, 4), (12, 3)])
def test_a_training_archives_classes_are_counted(
    images: int, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRAIN_IMAGES", images)
    monkeypatch.setattr(module, "TRAIN_CLASSES", classes)
    (tmp_path / "train.tar").write_bytes(tar_bytes(training()))
    if classes == 3:
        assert prepare_imagenet(tmp_path / "train.tar", tmp_path / "out")[0].classes == 3
        return
    with pytest.raises(CheckFailed, match="holds 3 classes where 4 were expected"):
        prepare_imagenet(tmp_path / "train.tar", tmp_path / "out")


@pytest.mark.parametrize("per_class", [4, 5])
def test_labels_that_are_uneven_where_imagenets_are_not_are_noticed(
    per_class: int, downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "VAL_IMAGES", 12)
    monkeypatch.setattr(module, "VAL_PER_CLASS", per_class)
    archive = downloads / "ILSVRC2012_img_val.tar"
    if per_class == 4:
        assert prepare_imagenet(archive, tmp_path / "out")[0].images == 12
        return
    with pytest.raises(CheckFailed, match=r"puts 4 images into n0.*ImageNet has 5 in every class"):
        prepare_imagenet(archive, tmp_path / "out")


def test_an_image_without_a_label_is_named(downloads: Path, tmp_path: Path) -> None:
    (downloads / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes(VAL | {"other.JPEG": b"x"}))
    with pytest.raises(InputError, match=r"other\.JPEG of .* is not in .*val_label\.txt"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")


@pytest.mark.parametrize("name", [f"{NAMES[0]}.png", f"again/{NAMES[0]}.JPEG"])
def test_an_image_that_comes_twice_is_named(name: str, downloads: Path, tmp_path: Path) -> None:
    (downloads / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes(VAL | {name: b"x"}))
    with pytest.raises(InputError, match="comes again"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil.JPEG", "/tmp/evil.JPEG", "a/../../evil.JPEG", "e\nvil.JPEG"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, downloads: Path, tmp_path: Path) -> None:
    (downloads / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes({name: b"x"}))
    with pytest.raises(InputError, match="leads elsewhere"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")
    (tmp_path / "train.tar").write_bytes(tar_bytes({"n1.tar": tar_bytes({name: b"x"})}))
    with pytest.raises(InputError, match="leads elsewhere"):
        prepare_imagenet(tmp_path / "train.tar", tmp_path / "out", expect=1)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("label", [".hidden", "..", "a:b", "-rf"])
def test_a_class_that_cannot_be_a_folder_is_refused(label: str, tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(tar_bytes({f"{label}.tar": tar_bytes({"a.JPEG": b"x"})}))
    with pytest.raises(InputError, match=r"cannot be a folder's name|leads elsewhere"):
        prepare_imagenet(tmp_path / "train.tar", tmp_path / "out", expect=1)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind: bytes, downloads: Path, tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(f"{NAMES[0]}.JPEG")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    (downloads / "ILSVRC2012_img_val.tar").write_bytes(file.getvalue())
    with pytest.raises(InputError, match="link or device"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")


def test_an_archive_among_images_and_images_among_archives_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(tar_bytes(training() | {"stray.JPEG": b"x"}))
    with pytest.raises(InputError, match=r"holds stray\.JPEG among archives"):
        prepare_imagenet(tmp_path / "train.tar", tmp_path / "out", expect=12)


@pytest.mark.parametrize("length", [0, 700, 3000, -11000])
def test_an_archive_that_was_cut_is_refused(length: int, downloads: Path, tmp_path: Path) -> None:
    archive = downloads / "ILSVRC2012_img_val.tar"
    archive.write_bytes(tar_bytes(VAL)[:length])
    with pytest.raises(InputError, match=r"img_val\.tar(/\S+ ends early| is broken| does not end)"):
        prepare_imagenet(archive, tmp_path / "out")


def test_images_of_another_origin_are_found(downloads: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "n1").mkdir(parents=True)
    (tmp_path / "out" / "n1" / "stray.png").write_bytes(b"x")
    with pytest.raises(CheckFailed, match=r"holds 1 images of another origin .* such as n1/stray\.png"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")


def test_a_disk_without_room_is_noticed_before_anything_is_written(
    downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(EnvironmentFault, match="has 1,000 bytes of room"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_named(downloads: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match=r"cannot write .*file: File exists"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "file")


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none does not exist"):
        prepare_imagenet(tmp_path / "none", tmp_path / "out")


def test_nothing_half_written_stays_where_writing_failed(
    downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EnvironmentFault, match=r"No space left on device; .*; make room and run the same again"):
        prepare_imagenet(downloads / "ILSVRC2012_img_val.tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {}
