"""Results image by image, read from a file or from a finished folder of shards."""

from collections.abc import Iterator
from pathlib import Path

from xception.data.store import LocalStore
from xception.errors import InputError
from xception.tasks.batch import fault_of
from xception.tasks.image_results import ImageResult, read_image_results
from xception.tasks.plan import MANIFEST, read_batch_manifest


def is_sharded_result(place: Path) -> bool:
    """Tell whether a place is a finished folder of shards."""
    return (place / MANIFEST).is_file()


def read_rows(place: Path) -> Iterator[ImageResult]:
    """The rows of a file of results, or of all shards that the manifest of a folder names, one after the other.

    Raises:
        UsageError: a file of no known ending.
        InputError: it cannot be read, or a shard is not what the manifest says.
    """
    if not place.is_dir():
        yield from read_image_results(place)
        return
    store = LocalStore(place)
    for report in read_batch_manifest(store).shards:
        if found := fault_of(store, report):
            raise InputError(
                f"{place / report.file} is not what the manifest says: {found}; remove its report, the .json of the "
                "same name, and run what wrote the folder again"
            )
        yield from read_image_results(place / report.file)
