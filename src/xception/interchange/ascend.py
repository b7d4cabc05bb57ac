"""Files of the Ascend tools: `val_label.txt`, `.bin` and `.info` for the input, a folder of results, `result.json`.

All of them know an image by its stem: its file name up to the first dot.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

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

TextMeaning = Literal["scores", "classes"]
"""Meaning of the numbers in a text: a score per class, or class indices from the best on."""

SAY_MEANING = "say which with --text scores or --text classes"

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


def read_ascend_results(folder: Path, num_classes: int, text: TextMeaning | None = None) -> Iterator[Outcome]:
    """The results in a folder: `STEM_N.bin` with raw scores, `STEM_N.txt` with scores or with classes, best first.

    Anything else in the folder comes as unreadable under its own name.

    Args:
        folder: the tool's output, or what `write_ascend_results` wrote, of which the scores are read.
        num_classes: classes of the model.
        text: meaning of the numbers in all texts. By default scores, and a folder is refused in which a text can only
            be classes, or in which every text may be either.

    Raises:
        InputError: no such folder, nothing in it, or texts whose meaning is not clear.
    """
    texts = _Texts(folder, num_classes, text)
    for file in files_in(folder / SCORES if (folder / SCORES).is_dir() else folder, ASCEND_LABEL_FILE):
        name = file.name.split(".")[0].rpartition("_")[0]
        if name and file.suffix == ".bin":
            yield read_raw(file, name, num_classes)
        elif name and file.suffix == ".txt":
            yield texts.read(file, name)
        else:
            yield Unreadable(file.name, "is no STEM_N.bin or STEM_N.txt")
    texts.check()


class _Texts:
    """The text results of a folder, all read with one meaning."""

    def __init__(self, folder: Path, num_classes: int, meaning: TextMeaning | None) -> None:
        self._folder, self._num_classes, self._meaning = folder, num_classes, meaning
        self._either: tuple[Path, VendorAnswer, VendorAnswer] | None = None
        self._are_scores_sure = False

    def read(self, file: Path, name: str) -> Outcome:
        """The result in a file.

        Raises:
            InputError: its numbers can only be classes, which was not stated.
        """
        try:
            lines = [line.split() for _, line in read_lines(file, "result")]
        except InputError as error:
            return Unreadable(name, str(error))
        if len(lines) != 1:
            return Unreadable(name, f"{file.name} has {len(lines)} lines; expected one, with the result of one image")
        if self._meaning == "classes":
            return _as_classes(name, lines[0], self._num_classes)
        scores = _as_scores(name, lines[0], self._num_classes)
        if self._meaning is None:
            self._watch(file, scores, _as_classes(name, lines[0], self._num_classes))
        return scores

    def _watch(self, file: Path, scores: Outcome, classes: Outcome) -> None:
        if isinstance(classes, Unreadable):
            self._are_scores_sure |= isinstance(scores, VendorAnswer)
        elif isinstance(scores, VendorAnswer):
            self._either = self._either or (file, scores, classes)
        else:
            raise InputError(
                f"{file} holds class indices, best first, or {scores.reason.removeprefix('holds ')}; "
                f"all texts in {self._folder} are to mean the same: {SAY_MEANING}"
            )

    def check(self) -> None:
        """Refuse a folder in which every text may be scores or classes.

        Raises:
            InputError: it is one.
        """
        if self._either and not self._are_scores_sure:
            file, scores, classes = self._either
            raise InputError(
                f"every text in {self._folder} may hold scores or class indices; of {file.name} the best class is "
                f"{scores.best} if they are scores, and {classes.best} if they are indices: {SAY_MEANING}"
            )


def _as_scores(name: str, words: list[str], num_classes: int) -> Outcome:
    try:
        return from_scores(name, np.array([float(word) for word in words], np.float32), num_classes)
    except ValueError as error:
        return Unreadable(name, f"holds what is no number: {error}")


def _as_classes(name: str, words: list[str], num_classes: int) -> Outcome:
    """Different whole numbers; as many as the model has classes and one more count the background class too."""
    if not all(word.isascii() and word.isdecimal() for word in words) or len(set(map(int, words))) < len(words):
        return Unreadable(name, "holds other things than class indices, each at most once")
    classes = tuple(map(int, words))
    background = len(classes) == num_classes + 1
    if max(classes) >= num_classes + background:
        return Unreadable(name, f"names class {max(classes)}; expected at most {num_classes - 1}")
    return VendorAnswer(name, classes=classes, background=background)


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
        # A whole number keeps its point, which class indices never have.
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
