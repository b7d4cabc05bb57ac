"""Files of the Ascend tools: `val_label.txt`, `.bin` and `.info` for the input, a folder of results, `result.json`.

All of them know an image by its stem: its file name up to the first dot.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from xception.errors import InputError
from xception.interchange.vendor_answers import (
    Outcome,
    Scores,
    Unreadable,
    VendorAnswer,
    from_scores,
    read_lines,
    read_raw,
)
from xception.interchange.vendor_answers import result_files as files_in
from xception.metrics import top_k

ASCEND_LABEL_FILE = "val_label.txt"
SCORES, CLASSES, BINARY = "scores", "classes", "binary"
"""Folders of one result in each of its kinds, see `write_ascend_results`."""

LABEL = re.compile(r"(?P<name>.*[^\s:])(?:\s*:\s*|\s+)(?P<index>\d+)\s*")

_T = TypeVar("_T")


def file_stem(path: str) -> str:
    """The name by which the tools know an image: its file name up to the first dot."""
    return PurePosixPath(path).name.split(".")[0]


def read_ascend_label_file(file: Path) -> dict[str, int]:
    """Class index by image, from `NAME INDEX` or, as MindSpore's post-processing has it, `NAME:INDEX`.

    Raises:
        InputError: a line of another form, or two for one image.
    """
    rows: dict[str, int] = {}
    for number, line in read_lines(file, "label file"):
        match = LABEL.fullmatch(line)
        if match is None:
            raise InputError(f"line {number} of {file} is {line[:80]!r}; expected NAME INDEX or NAME:INDEX")
        if match["name"] in rows:
            raise InputError(f"line {number} of {file} names {match['name']!r} again; expected one line per image")
        rows[match["name"]] = int(match["index"])
    if not rows:
        raise InputError(f"the label file {file} is empty; expected NAME INDEX or NAME:INDEX, one image per line")
    return rows


def write_ascend_label_file(file: Path, rows: Iterable[tuple[str, int]]) -> None:
    """`NAME INDEX`, one image per line.

    Raises:
        InputError: a name with a space, which the tools' scripts would cut there.
    """
    lines = []
    for name, index in rows:
        if any(character.isspace() for character in name):
            raise InputError(f"the image name {name!r} holds a space, at which Ascend's scripts cut it; rename it")
        lines.append(f"{name} {index}\n")
    file.write_text("".join(lines), encoding="utf-8")


def write_ascend_input(file: Path, pixels: NDArray[np.float32]) -> None:
    """A network's input, (C, H, W), as a headless file of little-endian float32."""
    pixels.astype("<f4").tofile(file)


@dataclass(frozen=True, slots=True)
class InfoRow:
    """One line of an `.info` file: where an input lies, and its size in pixels."""

    path: str
    width_px: int
    height_px: int


def write_info(file: Path, rows: Sequence[InfoRow]) -> None:
    """`INDEX PATH WIDTH HEIGHT`, one image per line, index from 0."""
    lines = (f"{index} {row.path} {row.width_px} {row.height_px}\n" for index, row in enumerate(rows))
    file.write_text("".join(lines), encoding="utf-8")


def read_ascend_results(folder: Path, num_classes: int) -> Iterator[Outcome]:
    """The results in a folder: `STEM_N.bin` with raw scores, `STEM_N.txt` with scores or with classes, best first.

    Anything else in the folder comes as unreadable under its own name.

    Raises:
        InputError: no such folder, or nothing in it.
    """
    for file in files_in(folder / SCORES if (folder / SCORES).is_dir() else folder):
        name = file.name.split(".")[0].rpartition("_")[0]
        if name and file.suffix == ".bin":
            yield read_raw(file, name, num_classes)
        elif name and file.suffix == ".txt":
            yield _read_text(file, name, num_classes)
        else:
            yield Unreadable(file.name, "is no STEM_N.bin or STEM_N.txt")


def _read_text(file: Path, name: str, num_classes: int) -> Outcome:
    try:
        lines = [line.split() for _, line in read_lines(file, "result")]
    except InputError as error:
        return Unreadable(name, str(error))
    if len(lines) != 1:
        return Unreadable(name, f"{file.name} has {len(lines)} lines; expected one, with the result of one image")
    return _from_words(name, lines[0], num_classes)


def _from_words(name: str, words: list[str], num_classes: int) -> Outcome:
    """Whole numbers of which no two are alike name classes; anything else is one score per class."""
    if all(word.isdecimal() for word in words) and len(set(map(int, words))) == len(words):
        classes = tuple(map(int, words))
        background = len(classes) == num_classes + 1
        if max(classes) >= num_classes + background:
            return Unreadable(name, f"names class {max(classes)}; expected at most {num_classes - 1}")
        return VendorAnswer(name, classes=classes, background=background)
    try:
        return from_scores(name, np.array([float(word) for word in words], np.float32), num_classes)
    except ValueError as error:
        return Unreadable(name, f"holds what is no number: {error}")


def write_ascend_results(folder: Path, rows: Iterable[tuple[str, Scores]]) -> None:
    """Each image's scores in the three kinds of file that the tools write and their scripts read.

    `scores/STEM_1.txt` has one value per class, `classes/STEM_1.txt` the class indices from the best on, and
    `binary/STEM_1.bin` raw float32.

    Raises:
        InputError: two images of the same stem.
    """
    for name in (SCORES, CLASSES, BINARY):
        (folder / name).mkdir()
    for name, scores in distinct_stems(rows):
        values = np.asarray(scores, "<f4")
        # A whole number keeps its point, which tells scores from class indices.
        (folder / SCORES / f"{name}_1.txt").write_text(" ".join(map(str, values)) + "\n", encoding="utf-8")
        ranked = top_k(values[None], len(values))[0]
        (folder / CLASSES / f"{name}_1.txt").write_text(" ".join(map(str, ranked)) + "\n", encoding="utf-8")
        values.tofile(folder / BINARY / f"{name}_1.bin")


def distinct_stems(rows: Iterable[tuple[str, _T]]) -> Iterator[tuple[str, _T]]:
    """The same rows, of an image's path and anything, under the stems.

    Raises:
        InputError: two images of the same stem, of which one would overwrite the other.
    """
    taken: dict[str, str] = {}
    for path, value in rows:
        name = file_stem(path)
        if name in taken:
            raise InputError(f"{taken[name]} and {path} share the stem {name!r} that names their results; rename one")
        taken[name] = path
        yield name, value


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `result.json`. `accuracies` are cumulative fractions, top-1 first, exact to 0.01 %."""

    images: int
    classes: int
    accuracies: tuple[float, ...]


def summary_bytes(summary: Summary) -> bytes:
    """The content of `result.json`: all values are strings, accuracies in percent with at most two decimals."""
    values = {"Number of images": str(summary.images), "Number of classes": str(summary.classes)}
    # NumPy's rounding, which the scripts use, and which differs from Python's on halves such as 57.445.
    percents = np.round(np.array(summary.accuracies) * 100, 2).tolist()
    values |= {f"Top{k} accuracy": f"{percent}%" for k, percent in enumerate(percents, 1)}
    document = {
        "title": "Overall statistical evaluation",
        "value": [{"key": key, "value": value} for key, value in values.items()],
    }
    return json.dumps(document).encode()
