"""A small set of images, balanced over the classes, that shares none with the sets that a model is judged on."""

import hashlib
import io
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import msgspec
from PIL import Image

from xception.data.decode import decode
from xception.data.source import Item, Source
from xception.data.subset import content, turns
from xception.errors import DecodeError, InputError, UsageError
from xception.outputs import ensure_free, json_document, staged_folder

CALIBRATION_FILE = "calibration.json"
FORMAT_VERSION = 1

SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tiff", "JPEG2000": ".jp2"}
"""By Pillow's name of a format; others are called as their format."""


class Drawn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image of the set, and which item of the source it was."""

    path: str
    key: str
    sha256: str


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document beside the images; from it the set can be drawn again and checked."""

    format_version: int = FORMAT_VERSION
    source: str
    not_in: tuple[str, ...]
    """The sets that were kept apart."""
    seed: int
    classes: int
    passed_over: int
    """Images that could not be used: unreadable, in a set that was kept apart, or drawn already under another name."""
    images: tuple[Drawn, ...]


def draw(source: Source, out: Path, count: int, *, not_in: Iterable[Source] = (), seed: int = 0) -> Calibration:
    """Write `count` images as a folder a class: one of each class, then another of each, as far as they go.

    Which ones depends on the seed and the source alone, besides what has to be passed over. Images are told apart by
    their content, not by their names. The files are copies, but pictures without a file become PNG.

    Raises:
        UsageError: less than one image.
        InputError: `out` is taken, the source has too few images, or a class whose name cannot be a folder's.
        EnvironmentFault: `out` cannot be written.
    """
    if count < 1:
        raise UsageError(f"{count} images were asked for; expected at least 1")
    ensure_free(out)
    apart = tuple(not_in)
    sieve = Sieve(content(item) for other in apart for item in other)
    chosen = list(islice(turns(source, seed, sieve), count))
    if len(chosen) < count:
        raise InputError(
            f"{source.name} has {len(chosen)} images that can be used where {count} were asked for "
            f"({sieve.passed_over} are unreadable, double, or in the sets to be kept apart); ask for fewer"
        )
    with staged_folder(out) as folder:
        drawn = tuple(_write(source[index], source.classes, folder) for index in sorted(chosen))
        document = Calibration(
            source=source.name,
            not_in=tuple(other.name for other in apart),
            seed=seed,
            classes=len({image.path.partition("/")[0] for image in drawn}),
            passed_over=sieve.passed_over,
            images=drawn,
        )
        (folder / CALIBRATION_FILE).write_bytes(json_document(document))
    return document


class Sieve:
    """Lets an item pass that can be decoded and whose content was not seen before."""

    def __init__(self, known: Iterable[bytes]) -> None:
        self._known = set(known)
        self.passed_over = 0

    def __call__(self, item: Item) -> bool:
        identity = content(item)
        passes = identity not in self._known and _is_readable(item)
        self._known.add(identity)
        self.passed_over += not passes
        return passes


def _is_readable(item: Item) -> bool:
    try:
        loaded = item.load()
        if isinstance(loaded, bytes):
            decode(loaded)
    except (DecodeError, OSError):
        return False
    return True


def _write(item: Item, classes: tuple[str, ...], folder: Path) -> Drawn:
    if item.target is None:
        raise InputError(f"{item.key} has no label; expected a labelled data set")
    label = classes[item.target]
    if Path(label).name != label or label.startswith("."):
        raise InputError(f"the class {label!r} cannot be a folder's name; rename it in the data's labels")
    data, suffix = _encoded(item)
    sha256 = hashlib.sha256(data).hexdigest()
    path = f"{label}/{sha256[:16]}{suffix}"
    (folder / label).mkdir(exist_ok=True)
    (folder / path).write_bytes(data)
    return Drawn(path=path, key=item.key, sha256=sha256)


def _encoded(item: Item) -> tuple[bytes, str]:
    """The file and its suffix."""
    loaded = item.load()
    if isinstance(loaded, bytes):
        with Image.open(io.BytesIO(loaded)) as image:
            name = image.format or ""
        return loaded, SUFFIXES.get(name, f".{name.lower()}")
    file = io.BytesIO()
    loaded.save(file, "PNG")
    return file.getvalue(), ".png"
