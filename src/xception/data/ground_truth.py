"""The classes of images that lie in one folder: from a label file, or from ImageNet's development kit."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple, cast

from xception.data.classes import DEVKIT, imagenet_classes, read_text
from xception.data.files import Files, sentence
from xception.data.list_file import classes_of_rows
from xception.data.list_rows import parse_rows
from xception.data.locations import locate, open_files
from xception.data.matlab import read_structures
from xception.data.tars import Bounded
from xception.errors import InputError
from xception.inputs import decode_text

TRUTH_FILE = "val_label.txt"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
SYNSETS = "meta.mat"

DEVKIT_FOLDERS = (f"{DEVKIT}/data/", "devkit/data/", "data/", "")
"""Folders in which the kit's two files may lie, seen from a folder that may hold labels."""

GZIP_START = b"\x1f\x8b"

MAX_DEVKIT_BYTES = 256 << 20
"""Largest size of the unpacked kit; the real one has 3 MB."""

MAX_DEVKIT_FILE_BYTES = 64 << 20
"""Largest size of the kit's files; the real ones are smaller than one megabyte."""


class Truth(NamedTuple):
    """The class of every image, as an index into `classes`, which is empty where the labels give no names."""

    targets: dict[str, int]
    """Class indices by stem, in the order of the labels."""
    classes: tuple[str, ...]
    place: str


def image_stem(name: str) -> str:
    """The part of a name that identifies an image whatever its suffix: up to the first dot."""
    return PurePosixPath(name).name.partition(".")[0]


def find_truth(files: Files) -> Truth | None:
    """The labels in a folder: `val_label.txt`, or the kit as a folder or an archive; None where there are none.

    Raises:
        OSError: they cannot be read.
        InputError: they are of another form.
    """
    text = read_text(files, TRUTH_FILE)
    if text is not None:
        return listed_truth(text, f"{files.place}/{TRUTH_FILE}")
    for folder in DEVKIT_FOLDERS:
        text = read_text(files, folder + GROUND_TRUTH)
        if text is not None:
            return devkit_truth(text, files.read(folder + SYNSETS), f"{files.place}/{folder}{GROUND_TRUTH}")
    if f"{DEVKIT}.tar.gz" in files.entries():
        return archived_truth(files, f"{DEVKIT}.tar.gz")
    return None


def read_truth(place: str) -> Truth:
    """The labels that a user names: a label file, the kit's folder or its archive.

    Raises:
        InputError: there are none, or of another form.
    """
    try:
        if Path(place).is_dir():
            truth = find_truth(open_files(place))
        else:
            files, name = locate(place)
            is_archive = name.endswith((".tar", ".tar.gz", ".tgz"))
            truth = archived_truth(files, name) if is_archive else listed_truth(decode_text(files.read(name)), place)
    except OSError as error:
        raise InputError(f"no labels: {sentence(error, place)}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the labels {place} are not UTF-8 text: {error}; {_expected()}") from error
    if truth is None:
        raise InputError(f"{place} holds no labels; {_expected()}")
    return truth


def listed_truth(text: str, place: str) -> Truth:
    """Labels from lines with a name and a class index; ImageNet's own images have the WordNet ids as class names.

    Raises:
        InputError: a line of another form, or an image that comes twice.
    """
    rows = parse_rows(text, place)
    if any(row.is_set for row in rows):
        raise InputError(
            f"{place} states several classes for an image; expected one per image in the label file of a folder, or as "
            "data the list itself, which may state several"
        )
    indices, classes = classes_of_rows(rows)
    targets = {image_stem(row.path): index for row, index in zip(rows, indices, strict=True) if isinstance(index, int)}
    if len(targets) < len(rows):
        raise InputError(f"{place} lists {len(rows) - len(targets)} images twice; expected one line per image")
    names = classes if rows[0].target < 0 else imagenet_classes(targets, targets.values())
    return Truth(targets, names, place)


def devkit_truth(text: str, synsets: bytes, place: str) -> Truth:
    """Labels from the kit: line n is the ILSVRC id of image n; the rank of that synset's WordNet id is the class.

    Raises:
        InputError: a line that is no such id, or synsets that cannot be read.
    """
    wordnet = dict(_leaves(synsets, place))
    classes = tuple(sorted(wordnet.values()))
    rank = {identifier: index for index, identifier in enumerate(classes)}
    targets = {}
    for number, line in enumerate(text.split(), 1):
        if line not in wordnet:
            raise InputError(
                f"line {number} of {place} is {line[:20]!r}; expected the number of a synset without children"
            )
        targets[f"ILSVRC2012_val_{number:08d}"] = rank[wordnet[line]]
    if not targets:
        raise InputError(f"{place} is empty; expected one class number per line")
    return Truth(targets, classes, place)


def archived_truth(files: Files, name: str) -> Truth:
    """Labels from the archive in which the kit is distributed, which is read in place.

    Raises:
        OSError: the archive cannot be read.
        InputError: it is broken, or another one.
    """
    place = f"{files.place}/{name}"
    wanted: dict[str, bytes] = {}
    try:
        with files.open(name) as file, tarfile.open(fileobj=_unzipped(file), mode="r:") as archive:
            for entry in archive:
                base = PurePosixPath(entry.name).name
                if base in (GROUND_TRUTH, SYNSETS) and entry.isreg() and entry.size <= MAX_DEVKIT_FILE_BYTES:
                    content = archive.extractfile(entry)
                    wanted[base] = content.read() if content else b""
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, RecursionError, ValueError) as error:
        raise InputError(f"{place} is no tar archive, or broken: {error}; fetch it again") from error
    if len(wanted) < 2:
        raise InputError(f"{place} does not hold {GROUND_TRUTH} and {SYNSETS}; expected {DEVKIT}.tar.gz")
    return devkit_truth(wanted[GROUND_TRUTH].decode("ascii", "replace"), wanted[SYNSETS], place)


def _unzipped(file: BinaryIO) -> IO[bytes]:
    """The content of a tar file, compressed or not, up to a limit."""
    is_zipped = file.read(len(GZIP_START)) == GZIP_START
    file.seek(0)
    content = cast(IO[bytes], gzip.GzipFile(fileobj=file) if is_zipped else file)
    return cast(IO[bytes], Bounded(content, MAX_DEVKIT_BYTES))


def _leaves(synsets: bytes, place: str) -> Iterator[tuple[str, str]]:
    """The ILSVRC id and WordNet id of every synset without children: these are the classes, others their parents."""
    try:
        for row in read_structures(synsets, "synsets"):
            number, identifier = row.get("ILSVRC2012_ID"), row.get("WNID")
            if not isinstance(number, int | float) or not isinstance(identifier, str) or "num_children" not in row:
                raise InputError("a synset lacks its number, its WordNet id or its children")
            if row["num_children"] == 0:
                yield f"{number:.0f}", identifier
    except InputError as error:
        raise InputError(f"{SYNSETS} of {place} cannot be read: {error}; expected that of {DEVKIT}") from error


def _expected() -> str:
    return f"expected {TRUTH_FILE} with a name and a class index per line, or {DEVKIT} as a folder or .tar.gz"
