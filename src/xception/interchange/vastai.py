"""Files of the VastAI tools: class names, `.npz` inputs with a datalist, `.npz` outputs, `result.txt`.

An image's class is the name of the folder that it lies in.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from xception import inputs
from xception.errors import InputError
from xception.interchange.vendor_answers import Outcome, Scores, Unreadable, VendorAnswer, from_scores, read_lines
from xception.interchange.vendor_answers import result_files as files_in
from xception.labels import Labels
from xception.metrics import Activation, probabilities, top_k

CLASS_NAMES, CLASS_INFO = "imagenet.txt", "imagenet_info.py"
DATALIST, OUTPUT, RESULT_FILE = "datalist.txt", "output", "result.txt"

TOP_CLASSES = 5
"""Lines of one image in `result.txt`; the scorer counts on it."""

RESULT_LINE = re.compile(r"(?P<path>.+): Relay top-(?P<place>\d+) id: (?P<index>\d+), prob: \S+, class name: .*")

MAX_OUTPUT_BYTES = 16 << 20
"""Unpacked bytes of the answers for one image: a million classes of 8 bytes each, twice."""

BROKEN_NPZ = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions of NumPy and zipfile on a file that is not what it claims to be."""


def write_class_names(file: Path, labels: Labels) -> None:
    """`imagenet.txt`: one class name per line, in the order of the classes."""
    file.write_text("".join(f"{name}\n" for name in labels.names), encoding="utf-8")


def write_class_info(file: Path, labels: Labels) -> None:
    """`imagenet_info.py`, the scorer's table from folder name to class name."""
    table = dict(zip(labels.ids or labels.names, labels.names, strict=True))
    file.write_text(f"imagenet_info = {json.dumps(table, ensure_ascii=False)}\n", encoding="utf-8")


def write_vastai_input(file: Path, pixels: NDArray[np.uint8]) -> None:
    """A decoded image, (3, H, W) RGB, as array `input_0`; the chip resizes and normalises it."""
    np.savez(file, input_0=pixels)


def write_datalist(file: Path, paths: Iterable[str]) -> None:
    """One absolute path per line, in the order in which the tool is to take them."""
    file.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")


def read_datalist(file: Path) -> list[str]:
    """The inverse of `write_datalist`.

    Raises:
        InputError: it cannot be read, or holds nothing.
    """
    paths = [line.strip() for _, line in read_lines(file, "datalist")]
    if not paths:
        raise InputError(f"the datalist {file} is empty; expected one path per line")
    return paths


def read_vastai_results(results: Path, num_classes: int, datalist: Path | None = None) -> Iterator[Outcome]:
    """A `result.txt`, or a folder that holds one, or a folder of `.npz` outputs next to a datalist.

    Raises:
        InputError: none of these, or outputs that cannot be matched with the datalist.
    """
    if datalist is None and (results / RESULT_FILE).is_file():
        results = results / RESULT_FILE
    if results.is_file():
        return _read_result_txt(results, num_classes)
    if datalist is None:
        raise InputError(
            f"{results} holds no {RESULT_FILE}; outputs in .npz files are matched with their images by the datalist "
            "that the tool was given: pass --datalist FILE"
        )
    return _read_outputs(results, read_datalist(datalist), num_classes)


def image_paths(results: Path, datalist: Path | None = None) -> list[str]:
    """The images that results are of, by their paths, each once.

    Raises:
        InputError: none are named.
    """
    if datalist:
        return list(dict.fromkeys(read_datalist(datalist)))
    file = results if results.is_file() else results / RESULT_FILE
    matches = (RESULT_LINE.fullmatch(line) for _, line in read_lines(file, "result"))
    paths = list(dict.fromkeys(match["path"] for match in matches if match))
    if not paths:
        raise InputError(
            f"{file} holds no line of the form PATH: Relay top-K id: ...; expected {TOP_CLASSES} per image"
        )
    return paths


def _read_result_txt(file: Path, num_classes: int) -> Iterator[Outcome]:
    group: list[re.Match[str]] = []
    for number, line in read_lines(file, "result"):
        match = RESULT_LINE.fullmatch(line)
        if match is None:
            yield Unreadable(f"line {number} of {file.name}", f"is {line[:80]!r}; expected PATH: Relay top-K id: ...")
            continue
        if group and (match["path"] != group[0]["path"] or match["place"] == "0"):
            yield _from_lines(group, num_classes)
            group = []
        group.append(match)
    if group:
        yield _from_lines(group, num_classes)


def _from_lines(lines: Sequence[re.Match[str]], num_classes: int) -> Outcome:
    path = lines[0]["path"]
    places = [int(line["place"]) for line in lines]
    if places != list(range(TOP_CLASSES)):
        return Unreadable(
            path, f"has lines for the places {places}; expected 0 to {TOP_CLASSES - 1}, each once and in order"
        )
    classes = tuple(int(line["index"]) for line in lines)
    if max(classes) >= num_classes or len(set(classes)) < TOP_CLASSES:
        return Unreadable(
            path, f"has the classes {list(classes)}; expected {TOP_CLASSES} different ones below {num_classes}"
        )
    return VendorAnswer(path, classes=classes)


def _read_outputs(folder: Path, inputs: Sequence[str], num_classes: int) -> Iterator[Outcome]:
    files = files_in(folder)
    pairs = zip(inputs, files, strict=True) if len(files) == len(inputs) else _by_name(folder, files, inputs)
    for path, file in pairs:
        yield _read_output(file, path, num_classes)


def _by_name(folder: Path, files: Sequence[Path], inputs: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Outputs that bear their inputs' names, where some are missing.

    Only for a datalist in the order of its names, for which order and name cannot contradict each other.
    """
    stems = [PurePosixPath(path).stem for path in inputs]
    by_stem = dict(zip(stems, inputs, strict=True))
    if stems != sorted(by_stem) or not {file.stem for file in files} <= by_stem.keys():
        raise InputError(
            f"{folder} holds {len(files)} outputs for the {len(inputs)} images of the datalist, and their names do not "
            "tell which is whose; expected one output per image, in the order of the datalist: run the tool again"
        )
    return ((by_stem[file.stem], file) for file in files)


def _read_output(file: Path, path: str, num_classes: int) -> Outcome:
    try:
        with inputs.open_file(file) as stream, np.load(stream, allow_pickle=False) as arrays:
            if arrays.zip.getinfo("output_0.npy").file_size > MAX_OUTPUT_BYTES:
                return Unreadable(path, f"{file.name} holds an array of more than {MAX_OUTPUT_BYTES:,} bytes")
            values = arrays["output_0"]
    except BROKEN_NPZ as error:
        return Unreadable(path, f"{file.name} holds no readable array 'output_0': {error}")
    if values.dtype.kind not in "fiu":
        return Unreadable(path, f"{file.name} holds {values.dtype}; expected numbers")
    return from_scores(path, values if values.dtype.kind == "f" else values.astype(np.float64), num_classes)


def write_vastai_results(
    folder: Path, rows: Iterable[tuple[str, Scores]], labels: Labels, activation: Activation = "softmax"
) -> None:
    """Write the scripts' files: `result.txt`, and `output/` with an `.npz` per image and `datalist.txt`.

    Scores are logits: `result.txt` has their probabilities, the outputs have them as they are. Paths are absolute.

    Raises:
        InputError: fewer than five classes, or a colon or slash where the scripts would cut.
    """
    _check_names(labels)
    (folder / OUTPUT).mkdir()
    write_class_names(folder / CLASS_NAMES, labels)
    write_class_info(folder / CLASS_INFO, labels)
    with (folder / RESULT_FILE).open("w", encoding="utf-8") as result, (folder / DATALIST).open("w") as datalist:
        for index, (path, scores) in enumerate(rows):
            _check_path(path)
            np.savez(folder / OUTPUT / f"output_{index:08d}.npz", output_0=scores)
            result.writelines(_lines(path, scores, labels, activation))
            datalist.write(f"{path}\n")


def _lines(path: str, scores: Scores, labels: Labels, activation: Activation) -> Iterator[str]:
    shown = probabilities(scores[None], activation)[0]
    for place, index in enumerate(top_k(scores[None], TOP_CLASSES)[0]):
        yield (f"{path}: Relay top-{place} id: {index}, prob: {shown[index]:.8f}, class name: {labels.names[index]}\n")


def _check_names(labels: Labels) -> None:
    if len(labels) < TOP_CLASSES:
        raise InputError(f"VastAI's result.txt names {TOP_CLASSES} classes per image; the model has {len(labels)}")
    unfit = [name for name in labels.names if ":" in name or "/" in name]
    if unfit:
        raise InputError(f"the class name {unfit[0]!r} holds a colon or a slash, at which VastAI's scorer cuts it")


def _check_path(path: str) -> None:
    if ":" in path or "\n" in path or not PurePosixPath(path).is_absolute():
        raise InputError(f"{path!r} cannot stand in VastAI's files; expected an absolute path without a colon")
