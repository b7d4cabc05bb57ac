"""Files of MindSpore's inference on Ascend 310: a label file, and one raw result per image."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from xception.interchange.ascend import distinct_stems, file_stem
from xception.interchange.vendor_answers import Outcome, Scores, Unreadable, read_raw
from xception.interchange.vendor_answers import result_files as files_in

MINDSPORE_LABEL_FILE = "label.txt"
RESULTS = "result_Files"
RESULT_SUFFIX = "_0.bin"
"""Ending of a file with the network's first output, behind the image's stem."""


def write_mindspore_label_file(file: Path, rows: Iterable[tuple[str, int]]) -> None:
    """`STEM:INDEX`, one image per line; `ascend.read_ascend_label_file` reads it."""
    file.write_text("".join(f"{file_stem(name)}:{index}\n" for name, index in rows), encoding="utf-8")


def read_mindspore_results(folder: Path, num_classes: int) -> Iterator[Outcome]:
    """The results in a folder, `STEM_0.bin`; anything else comes as unreadable under its own name.

    Raises:
        InputError: no such folder, or nothing in it.
    """
    for file in files_in(folder / RESULTS if (folder / RESULTS).is_dir() else folder, MINDSPORE_LABEL_FILE):
        if file.name.endswith(RESULT_SUFFIX):
            yield read_raw(file, file.name.removesuffix(RESULT_SUFFIX), num_classes)
        else:
            yield Unreadable(file.name, f"is no STEM{RESULT_SUFFIX}")


def write_mindspore_results(folder: Path, rows: Iterable[tuple[str, Scores]]) -> None:
    """`result_Files/STEM_0.bin`: raw float32, (1, K).

    Raises:
        InputError: two images of the same stem.
    """
    (folder / RESULTS).mkdir()
    for name, scores in distinct_stems(rows):
        np.asarray(scores, "<f4").tofile(folder / RESULTS / (name + RESULT_SUFFIX))


def accuracy_line(loss: float | None, top1: float | None, top5: float | None) -> str:
    """The line that the zoo's evaluation prints: fractions by their names there."""
    return f"result: { ({'Loss': loss, 'Top_1_Acc': top1, 'Top_5_Acc': top5}) }\n"
