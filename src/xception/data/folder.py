"""Image folders: one folder per class, or any files and folders without labels."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from xception import inputs
from xception.data.files import IMAGE_SUFFIXES, Files, Stored, is_image, sentence
from xception.data.inventory import Inventory, announce, left_out
from xception.data.locations import is_folder, locate, open_files
from xception.data.memory import ONE_IMAGE, ImageLike, TorchTensor, as_item
from xception.data.metadata import metadata_columns
from xception.data.remote import is_remote
from xception.data.shards import COMPRESSED_SUFFIXES, compressed
from xception.data.source import Item, Items, Lazy
from xception.errors import InputError
from xception.screen import as_text, without_credentials
from xception.waits import each_listed


def image_folder(files: Files, name: str) -> Lazy:
    """Images in all depths of one folder per class, sorted by class and path; an item's key is its path.

    Raises:
        OSError: the folder cannot be read.
        InputError: no classes, no images, or folders that are parts of a data set rather than classes.
    """
    classes = tuple(sorted(name[:-1] for name in files.entries() if name.endswith("/") and name[0] != "."))
    if not classes:
        packed = next((entry for entry in sorted(files.entries()) if entry.endswith(COMPRESSED_SUFFIXES)), None)
        if packed:
            raise compressed(f"{files.place}/{packed}")
        raise InputError(f"{files.place} holds no class folders; expected one folder per class with images in it")
    places = {label: target for target, label in enumerate(classes)}
    keys: list[str] = []
    targets = array("i")
    others: list[str] = []
    for key in each_listed(files.names(), files.place):
        label, below, _ = key.partition("/")
        if below and label in places and is_image(key):
            keys.append(key)
            targets.append(places[label])
        elif below or is_image(key):  # a file around the class folders describes them
            others.append(key)
    if not keys:
        raise InputError(f"{files.place} holds no images in its {len(classes)} class folders; {_known()}")
    _refuse_parts(keys, files.place)

    inventory = Inventory(left_out=left_out(others))
    names = tuple(map(as_text, classes))
    make = partial(folder_item, files, keys, targets)
    return Lazy(name, names, range(len(keys)), make, inventory, metadata_columns(files, keys))


def folder_item(files: Files, keys: Sequence[str], targets: Sequence[int | None], index: int) -> Item:
    """The file of a folder with this number, by the names and classes of all; a function of data that can be sent."""
    return Item(as_text(keys[index]), targets[index], Stored(files, keys[index]))


def _refuse_parts(keys: Iterable[str], place: str) -> None:
    """Refuse folders that look like parts of a data set, each with the same folders of classes.

    Raises:
        InputError: no folder holds an image directly, and at least two folders, more than half of each folder's, are in
            all of them.
    """
    found: dict[str, set[str]] = {}
    for key in keys:
        label, inner, *deeper = key.split("/", 2)
        if not deeper:
            return
        found.setdefault(label, set()).add(inner)
    shared = set.intersection(*found.values())
    if len(shared) > 1 and all(2 * len(shared) > len(inner) for inner in found.values()):
        raise InputError(
            f"{place} holds no images in {', '.join(sorted(found))}, only the same folders in each of them, such as "
            f"{', '.join(sorted(shared)[:3])}; these seem to be parts of a data set and not its classes: name one of "
            f"them, such as {place}/{min(found)}"
        )


def image_files(places: str | Path | Sequence[str | Path]) -> Items:
    """Unlabelled images: files, and all images in folders and archives; an item's key is its path as given.

    Raises:
        InputError: a path that does not exist or cannot be read, or no images at all.
    """
    places = [places] if isinstance(places, str | Path) else places
    others: list[str] = []
    try:
        items = tuple(item for place in map(str, places) for item in _expand(place, others))
    except OSError as error:
        raise InputError(sentence(error, "a folder of images")) from error
    if not items:
        raise InputError(f"no images in {', '.join(without_credentials(str(place)) for place in places)}; {_known()}")
    inventory = Inventory(left_out=left_out(others))
    announce("files", inventory)
    return Items("files", (), items, inventory)


def as_items(images: ImageLike | Iterable[ImageLike]) -> Iterable[Item]:
    """Images without labels in any form that a program may have them.

    Args:
        images: a file, folder, archive or URL of images by its path; an image, as `ImageLike` says; or several of
            these, such as a source, a list of paths, an array (N, H, W, 3), or a torch tensor (N, C, H, W).

    Raises:
        InputError: a path that does not exist, or something that is no image.
    """
    if isinstance(images, str | PathLike) and fspath(images):
        return image_files(fspath(images))
    if isinstance(images, ONE_IMAGE) or not isinstance(images, Iterable):
        return [as_item(images)]  # type: ignore[arg-type]
    if isinstance(images, np.ndarray | TorchTensor):
        return [as_item(images)] if images.ndim < 4 else map(as_item, images)  # type: ignore[arg-type]
    # A data frame is no mapping, and gives the names of its columns all the same.
    if isinstance(images, Mapping) or getattr(images, "ndim", 1) != 1:
        raise InputError(f"{type(images).__name__} is no list of images; expected a list, such as one of its columns")
    return (item for image in images for item in _items_at(image))  # type: ignore[arg-type]


def _items_at(image: ImageLike) -> Iterable[Item]:
    """The one image, or all images of a folder or an archive that is given among others."""
    place = fspath(image) if isinstance(image, str | PathLike) else ""
    if place and is_remote(place):
        files, name = locate(place)
        return [Item(without_credentials(place), None, Stored(files, name))]
    return image_files(place) if place and is_folder(place) else [as_item(image)]


def _expand(place: str, others: list[str]) -> Iterator[Item]:
    """The images at a place; the files there that are none go to `others`."""
    folder = place.rstrip("/")
    if _is_folder(place):
        files = open_files(place)
        names, shown = list(each_listed(files.names(), files.place)), without_credentials(as_text(folder))
        others.extend(name for name in names if not is_image(name))
        images = filter(is_image, names)
        return (Item(f"{shown}/{as_text(name)}", None, Stored(files, name)) for name in images)
    if not is_remote(place) and not Path(place).exists():
        if "*" in place:
            raise InputError(
                f"{place} is no file, since the shell left its * as it is; name the folder, or leave out the quotes"
            )
        raise InputError(f"{place} does not exist; {inputs.expected_for(place)} an image or a folder of images")
    files, name = locate(place)
    return iter([Item(without_credentials(as_text(place)), None, Stored(files, name))])


def _is_folder(place: str) -> bool:
    return is_folder(place) and not (is_remote(place) and is_image(place.partition("?")[0]))


def _known() -> str:
    return f"known: {', '.join(sorted(IMAGE_SUFFIXES))}"
