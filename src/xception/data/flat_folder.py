"""Images directly in one folder, as ImageNet's validation images come, with their classes in another file."""

from array import array
from collections.abc import Iterable
from functools import partial

from xception.data.classes import DEVKIT, LABEL_FILES, class_names
from xception.data.files import Files, is_image
from xception.data.folder import folder_item
from xception.data.ground_truth import GROUND_TRUTH, SYNSETS, TRUTH_FILE, find_truth, image_stem
from xception.data.inventory import Inventory, left_out
from xception.data.source import Lazy
from xception.errors import InputError
from xception.labels import index_classes

LABELLING = frozenset({TRUTH_FILE, f"{DEVKIT}.tar.gz", *LABEL_FILES})
"""Files next to the images that tell their classes."""


def flat_folder(files: Files, name: str, around: Iterable[Files]) -> Lazy:
    """Images in one folder, with `val_label.txt` or ImageNet's development kit in it or `around` it.

    The labels say which images there are, in their order: one that is not in the folder fails where it is read.

    Raises:
        OSError: something cannot be read.
        InputError: no labels, unusable ones, or images that these do not mention.
    """
    places = (files, *around)
    truth = next((found for files in places if (found := find_truth(files))), None)
    if truth is None:
        raise InputError(
            f"{files.place} holds images and no class folders; expected one folder per class, or their classes in "
            f"{TRUTH_FILE}, or in {GROUND_TRUTH} and {SYNSETS}, there or in the folder above"
        )
    entries = files.entries()
    images = _by_stem(filter(is_image, entries), files.place)
    unknown = sorted(images.keys() - truth.targets.keys())
    if unknown:
        raise InputError(
            f"{len(unknown)} images of {files.place}, such as {images[unknown[0]]}, are not in {truth.place}; "
            "add them, or name the label file instead of the folder to use only what it holds"
        )
    keys = [images.get(stem, stem) for stem in truth.targets]
    targets = array("i", truth.targets.values())
    count = max(targets) + 1

    classes = truth.classes or class_names(places, count) or index_classes(count)
    others = (entry for entry in entries if not (is_image(entry) or entry.endswith("/") or entry in LABELLING))
    make = partial(folder_item, files, keys, targets)
    return Lazy(name, classes, range(len(keys)), make, Inventory(left_out=left_out(others)))


def _by_stem(names: Iterable[str], place: str) -> dict[str, str]:
    images = sorted(names)
    by_stem = {image_stem(name): name for name in images}
    if len(by_stem) < len(images):
        raise InputError(f"{place} holds images that differ only in what follows the first dot; rename or remove them")
    return by_stem
