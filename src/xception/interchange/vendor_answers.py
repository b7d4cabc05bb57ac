"""A vendor's result for one image, from any kind of file."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xception import inputs
from xception.errors import InputError
from xception.metrics import rank_of_target, top_k

Scores = NDArray[np.floating[Any]]
"""Logits or probabilities of one image, (K,)."""


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """The scores of one image, (K,), or where a file names only the likeliest classes, these: best first.

    `path` is as much of the image's path as the file tells. With `background`, class 0 is none of the
    model's and all of those are counted one higher, as some tools do with ImageNet (1,001 classes).
    """

    path: str
    scores: Scores | None = None
    classes: tuple[int, ...] = ()
    background: bool = False

    @property
    def best(self) -> int:
        """The likeliest class."""
        return self.classes[0] if self.scores is None else int(top_k(self.scores[None], 1)[0, 0])

    @property
    def depth(self) -> int:
        """The number of places, from the best on, that are known."""
        return len(self.classes) if self.scores is None else len(self.scores)

    def rank(self, target: int) -> int:
        """The number of classes before the model's class `target`; `depth` where that is not among the known places."""
        own = target + self.background
        if self.scores is None:
            return self.classes.index(own) if own in self.classes else self.depth
        return int(rank_of_target(self.scores[None], np.array([own]))[0])


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A result that cannot be used, and why."""

    path: str
    reason: str


Outcome = VendorAnswer | Unreadable


def from_scores(path: str, values: Scores, num_classes: int) -> Outcome:
    """An answer from one value per class, with or without one more for the background in front."""
    if values.size not in (num_classes, num_classes + 1):
        return Unreadable(
            path, f"holds {values.size} values; expected {num_classes}, or one more with a background class"
        )
    return VendorAnswer(path, scores=values.reshape(-1), background=values.size > num_classes)


def read_raw(file: Path, path: str, num_classes: int) -> Outcome:
    """An answer from a headless file of little-endian float32, one value per class."""
    sizes = (4 * num_classes, 4 * num_classes + 4)
    try:
        size = file.stat().st_size
        if size in sizes:
            content = inputs.read_bytes(file, inputs.RESULTS_LIMIT)
            return from_scores(path, np.frombuffer(content, "<f4"), num_classes)
    except OSError as error:
        return Unreadable(path, f"{file.name} cannot be read: {error.strerror}")
    return Unreadable(
        path,
        f"{file.name} has {size:,} bytes; expected {sizes[0]:,} ({num_classes} float32 values), "
        f"or {sizes[1]:,} with a background class",
    )


FAILURES = "failures.jsonl"
"""File next to written results: the images that have none, each on a line with its path and the reason."""


def result_files(folder: Path, *others: str) -> list[Path]:
    """The files of a folder, sorted by name, without those of these names and without `FAILURES`.

    Raises:
        InputError: no such folder, or nothing in it.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in (FAILURES, *others))
    except OSError as error:
        raise InputError(f"cannot read the results in {folder}: {error.strerror}; expected a folder") from error
    if not files:
        raise InputError(f"{folder} holds no files; expected one result per image")
    return files


def read_lines(file: Path, what: str) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file that are not blank, with their numbers from 1.

    Raises:
        InputError: it cannot be read.
    """
    try:
        # Editors of some systems put a byte order mark in front, which is no part of the first name.
        with io.TextIOWrapper(inputs.open_file(file), "utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the {what} {file}: {error}; expected UTF-8 text") from error
