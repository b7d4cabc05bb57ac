"""Results image by image, read from a file or from a folder of shards, here or in object storage."""

import io
from collections.abc import Iterator
from pathlib import Path

from xception.data.remote import is_remote
from xception.data.remote_store import open_store
from xception.data.store import Store
from xception.errors import InputError
from xception.tasks.batch import fault_of, read_rows_of
from xception.tasks.image_results import ImageResult, find_table_format, read_image_results, rows_in, table_format
from xception.tasks.plan import MANIFEST, PLAN, ShardReport, read_batch_manifest


def is_result_table(place: str) -> bool:
    """Tell whether a place is a file of results or a folder of shards: by its ending, by what lies in it, or, since
    nothing else is read from there, because it is behind a URL."""
    folder = Path(place)
    is_shards = is_remote(place) or (folder / PLAN).is_file() or (folder / MANIFEST).is_file()
    return is_shards or find_table_format(place) is not None


def name_of(place: Path | str) -> str:
    """The last part of a path or URL."""
    return str(place).rstrip("/").rpartition("/")[2]


def read_rows(place: Path | str) -> Iterator[ImageResult]:
    """The rows of a file of results, or of all shards that the manifest of a folder names, one after the other.

    Args:
        place: path or URL.

    Raises:
        UsageError: a file of no known ending.
        InputError: it cannot be read, or a shard is not what the manifest says.
        EnvironmentFault: a storage cannot be used.
    """
    place = str(place)
    if is_remote(place) and find_table_format(place):
        yield from _remote_file(place)
    elif is_remote(place) or Path(place).is_dir():
        store = open_store(place)
        for report in read_batch_manifest(store).shards:
            yield from _rows_of_shard(store, report)
    else:
        yield from read_image_results(Path(place))


def _remote_file(url: str) -> Iterator[ImageResult]:
    folder, _, name = url.rpartition("/")
    store = open_store(folder)
    yield from rows_in(lambda: io.BytesIO(store.read(name)), table_format(Path(name)), f"{store.place}/{name}")


def _rows_of_shard(store: Store, report: ShardReport) -> Iterator[ImageResult]:
    place, content = f"{store.place}/{report.file}", read_rows_of(store, report)
    if found := fault_of(content, report):
        raise InputError(
            f"{place} is not what the manifest says: {found}; remove its report, the .json of the same name, and run "
            "what wrote the folder again"
        )
    yield from rows_in(lambda: io.BytesIO(content or b""), table_format(Path(report.file)), place)
