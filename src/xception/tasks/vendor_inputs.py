"""A data set as the input files of a vendor's tools."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from xception.data.decode import loaded_image
from xception.data.source import Item, Source
from xception.errors import DecodeError, InputError
from xception.interchange import ascend, vastai
from xception.interchange.ascend import InfoRow
from xception.labels import Labels
from xception.outputs import ensure_free, staged_folder
from xception.pipeline.lane import Failure, Ready, prepared
from xception.preprocess import Orientation, Preprocess
from xception.tasks.vendor_results import Written, write_failures

InputVendor = Literal["ascend", "vastai"]

INPUTS, INFO_FILE = "inputs", "inputs.info"


def write_inputs(vendor: InputVendor, out: Path, source: Source, preprocess: Preprocess, labels: Labels) -> Written:
    """Write every image as the vendor's tool takes it; those that cannot be read are named in a file next to them.

    For Ascend, `inputs/STEM.bin` holds the network's input, raw float32 (C, H, W), `inputs.info` a line for each, and
    `val_label.txt` the classes, where the model knows them. For VastAI, `CLASS/STEM.npz` holds the decoded image,
    uint8 (3, H, W) of its own size, and `datalist.txt` the absolute paths.

    Args:
        vendor: whose tool it is.
        out: folder of the result, which is absent or empty.
        source: the images, with labels or without.
        preprocess: the model's; of it, VastAI's files follow only the orientation, since the chip does the rest.
        labels: the model's classes.

    Raises:
        InputError: `out` holds something, or two images have one name there; nothing is left behind.
    """
    check = partial(ensure_free, out)
    check()
    names = _names(vendor, source)
    with staged_folder(out, check) as folder:
        write = _write_ascend if vendor == "ascend" else _write_vastai
        failures = write(folder, out.absolute(), source, names, preprocess)
        if vendor == "ascend":
            _write_labels(folder, source, names, labels)
        write_failures(folder, failures)
    return Written(len(names) - len(failures), tuple(failures))


def _names(vendor: InputVendor, source: Source) -> list[str]:
    """The name of each image's file, without its ending; VastAI's have their class's folder in front.

    Raises:
        InputError: two images have the same.
    """
    taken: dict[str, str] = {}
    for index in range(len(source)):
        item = source[index]
        name = ascend.file_stem(item.key) if vendor == "ascend" else _in_folder(source, item)
        if name in taken:
            raise InputError(f"{taken[name]} and {item.key} would both be called {name!r}; rename one of them")
        taken[name] = item.key
    return list(taken)


def _in_folder(source: Source, item: Item) -> str:
    path = PurePosixPath(item.key)
    index = item.class_index
    folder = path.parent.name if index is None else source.classes[index]
    if "/" in folder or folder in (".", ".."):
        raise InputError(f"the class {folder!r} cannot be a folder's name; rename it in the data's labels")
    return f"{folder}/{path.stem}" if folder else path.stem


def _write_ascend(folder: Path, _: Path, source: Source, names: list[str], preprocess: Preprocess) -> list[Failure]:
    (folder / INPUTS).mkdir()
    failures: list[Failure] = []

    def rows() -> Iterator[InfoRow]:
        for name, entry in zip(names, prepared(source, preprocess), strict=True):
            if isinstance(entry, Ready):
                ascend.write_ascend_input(folder / INPUTS / f"{name}.bin", entry.pixels)
                yield InfoRow(f"{INPUTS}/{name}.bin", entry.pixels.shape[2], entry.pixels.shape[1])
            else:
                failures.append(entry)

    ascend.write_info(folder / INFO_FILE, list(rows()))
    return failures


def _write_labels(folder: Path, source: Source, names: list[str], labels: Labels) -> None:
    """The classes of all images, failed ones too, so that they are counted when the results are scored."""
    try:
        targets = labels.targets(source.classes)
    except InputError:
        return
    items = (source[index] for index in range(len(source)))
    rows = [
        (f"{name}{PurePosixPath(item.key).suffix or '.JPEG'}", targets[index])
        for name, item in zip(names, items, strict=True)
        if (index := item.class_index) is not None
    ]
    if rows:
        ascend.write_ascend_label_file(folder / ascend.ASCEND_LABEL_FILE, rows)


def _write_vastai(folder: Path, place: Path, source: Source, names: list[str], preprocess: Preprocess) -> list[Failure]:
    failures: list[Failure] = []
    paths: list[str] = []
    for name, item in zip(names, source, strict=True):
        try:
            pixels = _decoded(item, preprocess.orientation)
        except (DecodeError, OSError) as error:
            failures.append(Failure(item.key, str(error)))
            continue
        file = folder / f"{name}.npz"
        file.parent.mkdir(exist_ok=True)
        vastai.write_vastai_input(file, pixels)
        paths.append(str(place / f"{name}.npz"))
    vastai.write_datalist(folder / vastai.DATALIST, paths)
    return failures


def _decoded(item: Item, orientation: Orientation) -> np.ndarray:
    image = loaded_image(item.load(), orientation=orientation).convert("RGB")
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
