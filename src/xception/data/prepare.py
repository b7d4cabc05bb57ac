"""ImageNet's downloads as one folder per class: files of an earlier run are kept, and the result is counted."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from xception import inputs
from xception.data.files import LocalFiles, is_image, sentence
from xception.data.ground_truth import Truth, find_truth, image_stem, read_truth
from xception.data.tars import entries
from xception.errors import CheckFailed, EnvironmentFault, InputError, UsageError
from xception.labels import index_classes
from xception.outputs import alone_in, sync_files, write_file

ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}
"""Archives among the downloads, by the folder that each becomes."""

TRAIN_IMAGES = 1_281_167
TRAIN_CLASSES = 1000
VAL_IMAGES = 50_000
VAL_PER_CLASS = 50

SYNCED_TOGETHER = 1000
"""Files that are brought to the disk at once: one by one, a million of them would take hours."""

CLASS_NAME = re.compile(r"[\w#][\w#.+ -]*")
"""Class names that may become a folder's name."""


class PreparedFolder(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a folder with sorted images: `images = written + kept`."""

    folder: str
    classes: int
    images: int
    written: int
    kept: int
    """Files that an earlier run had written."""


class DownloadedImage(NamedTuple):
    """One image of a download, to be read when it is written to its place."""

    label: str
    name: str
    read: Callable[[], bytes]


OnImage = Callable[[int], None]
"""Receives the number of images that are in their place."""


def prepare_imagenet(
    source: Path,
    out: Path,
    *,
    truth: str | None = None,
    expect: int | None = None,
    on_image: OnImage = lambda _: None,
) -> tuple[PreparedFolder, ...]:
    """Sort the images of ImageNet's downloads into one folder per class. A run that was interrupted continues.

    Args:
        source: the training archive, the validation archive, a folder with both as they were downloaded, which become
            `out/train` and `out/val`, or a folder of unsorted images.
        out: where the class folders are to lie.
        truth: place of the classes of unsorted images, see `read_truth`; by default the one that lies next to them.
        expect: how many images there are; by default as many as the labels list, or as ImageNet has for training.
        on_image: for a progress display.

    Raises:
        InputError: archives or labels that cannot be read, are hostile or do not fit each other.
        EnvironmentFault: `out` cannot be written, or has no room.
        CheckFailed: the images are not as many as expected, or `out` holds others.
    """
    found = {part: source / name for part, name in ARCHIVES.items() if (source / name).is_file()}
    if not found:
        return (_prepare(source, out, truth, expect, on_image),)
    if expect is not None and len(found) > 1:
        raise UsageError(f"--expect is for one archive, but {source} holds {len(found)}; prepare them one by one")
    return tuple(_prepare(path, out / part, truth, expect, on_image) for part, path in found.items())


def _prepare(source: Path, out: Path, truth_place: str | None, expect: int | None, on_image: OnImage) -> PreparedFolder:
    if not source.exists():
        raise InputError(
            f"{source} does not exist; expected an archive of ImageNet, or a folder with images or archives"
        )
    _check_room(source, out)
    truth = None if _is_training(source) else _truth(source, truth_place)
    with alone_in(out, "sorting images into"):
        return _sort(source, out, truth, expect, on_image)


def _sort(source: Path, out: Path, truth: Truth | None, expect: int | None, on_image: OnImage) -> PreparedFolder:
    images = _training_images(source) if truth is None else _labelled_images(source, truth)
    places: set[str] = set()
    written: list[Path] = []
    synced = 0
    for image in images:
        place = f"{image.label}/{image.name}"
        if place in places:
            raise InputError(f"{source} holds {place} twice; expected one image of each name")
        places.add(place)
        target = out / image.label / image.name
        if _store(image, target, source):
            written.append(target)
        if len(written) - synced == SYNCED_TOGETHER:
            sync_files(written[synced:])
            synced = len(written)
        on_image(len(places))
    sync_files(written[synced:])
    counts = Counter(place.partition("/")[0] for place in places)
    _check_counts(counts, source, truth, expect)
    _check_folder(out, places)
    return PreparedFolder(
        folder=str(out), classes=len(counts), images=len(places), written=len(written), kept=len(places) - len(written)
    )


def _truth(source: Path, place: str | None) -> Truth:
    if place is not None:
        return read_truth(place)
    folders = (source, source.parent) if source.is_dir() else (source.parent,)
    truth = next((found for folder in folders if (found := find_truth(LocalFiles(folder)))), None)
    if truth is None:
        raise InputError(
            f"no labels lie next to {source}; pass --truth with val_label.txt or with ILSVRC2012_devkit_t12.tar.gz"
        )
    return truth


def _is_training(source: Path) -> bool:
    """Tell whether an archive is one of archives, one per class."""
    if source.is_dir():
        return False
    with _readable(source), inputs.open_file(source) as file:
        return next((entry.name.endswith(".tar") for entry in entries(file, str(source))), False)


def _training_images(source: Path) -> Iterator[DownloadedImage]:
    with _readable(source), inputs.open_file(source) as file:
        for archive in entries(file, str(source)):
            name = _plain(archive.name, source)
            label = name.removesuffix(".tar")
            if label == name:
                raise InputError(f"{source} holds {name} among archives; expected one archive per class")
            for entry in entries(archive.open(), f"{source}/{name}"):
                yield DownloadedImage(_label(label, source), _plain(entry.name, source), entry.read)


def _labelled_images(source: Path, truth: Truth) -> Iterator[DownloadedImage]:
    classes = truth.classes or index_classes(max(truth.targets.values()) + 1)
    targets = dict(truth.targets)
    for name, read in _folder_images(source) if source.is_dir() else _archived_images(source):
        target = targets.pop(image_stem(name), None)
        if target is None:
            again = "comes again" if image_stem(name) in truth.targets else f"is not in {truth.place}"
            raise InputError(f"{name} of {source} {again}; expected each image once, with the labels of these images")
        yield DownloadedImage(_label(classes[target], source), name, read)


def _archived_images(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with _readable(source), inputs.open_file(source) as file:
        for entry in entries(file, str(source)):
            yield _plain(entry.name, source), entry.read


def _folder_images(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name in sorted(filter(is_image, LocalFiles(source).entries())):
        path = source / name
        yield name, partial(inputs.read_bytes, path, inputs.IMAGE_LIMIT)


def _plain(name: str, source: Path) -> str:
    """The last part of a member's name, whose other parts must not lead out of a folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name or not path.name.isprintable():
        raise InputError(f"{source} holds a file called {name!r}, which leads elsewhere; use the original archive")
    return path.name


def _label(label: str, source: Path) -> str:
    if not CLASS_NAME.fullmatch(label):
        raise InputError(f"the class {label!r} of {source} cannot be a folder's name; expected one such as n01440764")
    return label


def _store(image: DownloadedImage, target: Path, source: Path) -> bool:
    """Write one image to its place; False if it is there already, to the last byte.

    Equal sizes would not do: after a power failure a file may have its size and hold zeros.
    """
    with _readable(source):
        data = image.read()
    if _holds(target, data):
        return False
    write_file(target, data, sync=False, then="run the same again")
    return True


def _holds(target: Path, data: bytes) -> bool:
    try:
        return target.stat().st_size == len(data) and inputs.read_bytes(target, inputs.IMAGE_LIMIT) == data
    except OSError:
        return False


def _check_room(source: Path, out: Path) -> None:
    """Refuse, before anything is written, images for which the disk has no room."""
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    missing = _size(source) - (_size(out) if out.exists() else 0)
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise EnvironmentFault(
            f"{out} has {free:,} bytes of room, but the images of {source} need {missing:,}; choose a larger place"
        )


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())
    return path.stat().st_size


def _check_counts(counts: Mapping[str, int], source: Path, truth: Truth | None, expect: int | None) -> None:
    total = sum(counts.values())
    expected = expect if expect is not None else len(truth.targets) if truth else TRAIN_IMAGES
    if total != expected:
        raise CheckFailed(
            f"{source} holds {total:,} images where {expected:,} were expected; fetch it again, "
            f"or pass --expect {total} if it is a part of ImageNet"
        )
    uneven = [label for label, count in counts.items() if count != VAL_PER_CLASS]
    if truth and total == VAL_IMAGES and uneven:
        raise CheckFailed(
            f"{truth.place} puts {counts[uneven[0]]} images into {uneven[0]}; ImageNet has {VAL_PER_CLASS} in every "
            "class: get the labels again"
        )
    if truth is None and total == TRAIN_IMAGES and len(counts) != TRAIN_CLASSES:
        raise CheckFailed(f"{source} holds {len(counts)} classes where {TRAIN_CLASSES} were expected; fetch it again")


def _check_folder(out: Path, places: set[str]) -> None:
    """Refuse a folder that holds other images than were put there."""
    found = set(filter(is_image, LocalFiles(out).names()))
    strange, gone = sorted(found - places), sorted(places - found)
    if strange or gone:
        raise CheckFailed(
            f"{out} holds {len(strange)} images of another origin and lacks {len(gone)}, such as "
            f"{(strange or gone)[0]}; prepare into a folder of its own"
        )


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(sentence(error, str(source))) from error
