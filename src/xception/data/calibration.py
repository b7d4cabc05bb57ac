"""A small set of images, balanced over the classes and without images of the data that models are tested on."""

import hashlib
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec

from xception.data.decode import loaded_image, open_image
from xception.data.look_alikes import Fingerprint, LookAlikes, image_fingerprint
from xception.data.source import Item, Source
from xception.data.subset import class_turns, content_digest
from xception.errors import DecodeError, InputError, UsageError
from xception.extras import is_installed
from xception.machine import cores
from xception.outputs import ensure_free, json_document, staged_folder
from xception.waits import each

CALIBRATION_FILE = "calibration.json"
CALIBRATION_VERSION = 1

FORMAT_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tiff", "JPEG2000": ".jp2"}
"""File suffixes by Pillow's name of a format; any other format's own name is its suffix."""


class DrawnImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image of the set, and the source's item that it is."""

    path: str
    key: str
    sha256: str


class CalibrationSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document next to the images; from it the set can be drawn again and checked."""

    format_version: int = CALIBRATION_VERSION
    source: str
    not_in: tuple[str, ...]
    """Names of the data sets that were kept apart."""
    seed: int
    classes: int
    passed_over: int
    """Images that could not be used: unreadable, in a set that was kept apart, or drawn already under another name."""
    look_alikes: bool = False
    """True if images that look like one in a set that was kept apart were passed over too; without imagehash only
    identical ones are."""
    images: tuple[DrawnImage, ...]


def write_sample(
    source: Source, out: Path, count: int, *, not_in: Iterable[Source] = (), seed: int = 0
) -> CalibrationSet:
    """Write `count` images as one folder per class: one of each class, then another of each, as far as they go.

    Apart from images that have to be passed over, the choice depends on nothing but the seed and the source. Images are
    told apart by their content, not by their names, and where imagehash is installed also by their looks, as
    `xception data check` does it. The files are copies, but pictures without a file become PNG.

    Raises:
        UsageError: less than one image.
        InputError: `out` is taken, the source has too few images, or a class whose name cannot be a folder's.
        EnvironmentFault: `out` cannot be written.
    """
    if count < 1:
        raise UsageError(f"{count} images were asked for; expected at least 1")
    ensure_free(out)
    apart = tuple(not_in)
    sieve = UnseenImages([item for other in apart for item in other])
    chosen = list(each(islice(class_turns(source, seed, sieve), count), "choosing images", count))
    if len(chosen) < count:
        raise InputError(
            f"{source.name} has {len(chosen)} images that can be used where {count} were asked for "
            f"({sieve.passed_over} are unreadable, duplicates, or in the sets of --not-in); ask for fewer"
        )
    with staged_folder(out, partial(ensure_free, out)) as folder:
        places = each(sorted(chosen), "writing images", len(chosen))
        drawn = tuple(_write(source[index], source.classes, folder) for index in places)
        document = CalibrationSet(
            source=source.name,
            not_in=tuple(other.name for other in apart),
            seed=seed,
            classes=len({image.path.partition("/")[0] for image in drawn}),
            passed_over=sieve.passed_over,
            look_alikes=sieve.sees_look_alikes,
            images=drawn,
        )
        (folder / CALIBRATION_FILE).write_bytes(json_document(document))
    return document


class UnseenImages:
    """Let an item pass that can be decoded, whose content was not seen before, and that looks like none of those that
    are kept apart."""

    def __init__(self, apart: Sequence[Item]) -> None:
        self.sees_look_alikes = bool(apart) and is_installed("imagehash")
        with ThreadPoolExecutor(cores()) as pool:
            facts = list(each(pool.map(self._facts, apart), "looking at the images to keep apart", len(apart)))
        self._known = {identity for identity, _ in facts}
        self._apart = LookAlikes([found for _, found in facts if found is not None])
        self.passed_over = 0

    def __call__(self, item: Item) -> bool:
        identity, looks = self._facts(item)
        passes = identity not in self._known and _is_readable(item) and (looks is None or looks not in self._apart)
        self._known.add(identity)
        self.passed_over += not passes
        return passes

    def _facts(self, item: Item) -> tuple[bytes, Fingerprint | None]:
        """The digest of an image's content, and its fingerprint where it has one and may be compared."""
        looks = None
        if self.sees_look_alikes:
            with suppress(DecodeError, OSError):
                looks = image_fingerprint(loaded_image(item.load()))
        return content_digest(item), looks


def _is_readable(item: Item) -> bool:
    try:
        loaded_image(item.load())
    except (DecodeError, OSError):
        return False
    return True


def _write(item: Item, classes: tuple[str, ...], folder: Path) -> DrawnImage:
    index = item.class_index
    if index is None:
        raise InputError(f"{item.key} has no label; expected a labelled data set")
    label = classes[index]
    if Path(label).name != label or label.startswith("."):
        raise InputError(f"the class {label!r} cannot be a folder's name; rename it in the data's labels")
    data, suffix = _encoded(item)
    sha256 = hashlib.sha256(data).hexdigest()
    path = f"{label}/{sha256[:16]}{suffix}"
    (folder / label).mkdir(exist_ok=True)
    (folder / path).write_bytes(data)
    return DrawnImage(path=path, key=item.key, sha256=sha256)


def _encoded(item: Item) -> tuple[bytes, str]:
    """Content and suffix of an item's file."""
    loaded = item.load()
    if isinstance(loaded, bytes):
        with open_image(loaded) as image:
            name = image.format or ""
        return loaded, FORMAT_SUFFIXES.get(name, f".{name.lower()}")
    file = io.BytesIO()
    loaded.save(file, "PNG")
    return file.getvalue(), ".png"
