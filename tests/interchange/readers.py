"""Readers of what the vendors' tools are given, for tests of what was written."""

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xception.interchange.ascend import InfoRow, Summary
from xception.labels import Labels


def read_ascend_input(file: Path, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """A network's input of (C, H, W); any other size of the file is an error of numpy."""
    return np.fromfile(file, "<f4").reshape(shape)


def read_info(file: Path) -> list[InfoRow]:
    rows = [re.fullmatch(r"(\d+) (.+) (\d+) (\d+)", line) for line in file.read_text().splitlines()]
    assert [row and int(row[1]) for row in rows] == list(range(len(rows)))
    return [InfoRow(row[2], int(row[3]), int(row[4])) for row in rows if row]


def read_summary(file: Path) -> Summary:
    values = {pair["key"]: pair["value"] for pair in json.loads(file.read_bytes())["value"]}
    percents = [float(values[f"Top{k} accuracy"].removesuffix("%")) for k in range(1, len(values) - 1)]
    return Summary(
        images=int(values["Number of images"]),
        classes=int(values["Number of classes"]),
        accuracies=tuple(percent / 100 for percent in percents),
    )


def read_class_names(file: Path) -> tuple[str, ...]:
    return tuple(file.read_text(encoding="utf-8").splitlines())


def read_class_info(file: Path) -> Labels:
    table = json.loads(file.read_text(encoding="utf-8").partition("=")[2])
    return Labels(names=tuple(table.values()), ids=tuple(table))


def read_vastai_input(file: Path) -> NDArray[np.uint8]:
    """An image of (3, H, W)."""
    with np.load(file, allow_pickle=False) as arrays:
        pixels: NDArray[np.uint8] = arrays["input_0"]
    assert (pixels.dtype, pixels.ndim, len(pixels)) == (np.uint8, 3, 3)
    return pixels
