"""Tar shards in the WebDataset layout: the files of a sample share a key, `KEY.jpg` and `KEY.cls` or `KEY.json`."""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from hashlib import sha256
from itertools import chain, groupby, product
from math import prod
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from xception.data.classes import LABEL_COLUMNS, NO_LABEL, SET_COLUMNS, Stated, StatedClasses, Targets
from xception.data.files import IMAGE_SUFFIXES, Files, LocalFiles, Stored
from xception.data.inventory import Inventory, left_out
from xception.data.locations import base_name, locate
from xception.data.read_ahead import is_far
from xception.data.source import Item, Lazy
from xception.data.splits import Split, split_part
from xception.data.tars import TarEntry, entries
from xception.errors import InputError
from xception.inputs import decode_text, parse_json
from xception.waits import each

SHARD_SUFFIX = ".tar"
COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

CLASS_SUFFIX = ".cls"
RECORD_SUFFIX = ".json"
"""Suffix of a JSON object with facts on the sample, of which one of `LABEL_COLUMNS` is its class."""

MAX_FILES = 1_000_000
"""Files that the ranges of one name may stand for together."""

SHARDS_AT_ONCE = 8
"""Shards behind URLs that are looked through at a time, each by way of one buffer."""

MAX_DIGITS = 18
"""Digits of a range's numbers."""

MAX_CLASS_BYTES = 64
"""Longest file that is read as a class."""

MAX_RECORD_BYTES = 1 << 20
"""Longest file that is read as a record."""


class Member(NamedTuple):
    """A file in a shard: its suffix with the dot, its first byte, its length, and the class or classes that it
    states, if any."""

    suffix: str
    start: int
    length: int
    label: Stated | None


class ShardSample(NamedTuple):
    """A sample's key within its shard, where its image lies there, and its class."""

    key: str
    start: int
    length: int
    label: Stated | None


def shards(data: str, split: Split | None) -> Lazy:
    """All samples of shards such as `train-{000..009}.tar`, in order of shard and place.

    An item's key is `SHARD/KEY`. `KEY.cls` holds the class as text, an index or a name; without it, `KEY.json` does in
    one of `LABEL_COLUMNS`. Names of indices come from `labels.txt` next to the shards; without it the indices are the
    model's own. With a split, train and validation are parts of the shards.

    Raises:
        OSError: a shard cannot be read.
        InputError: one is broken or compressed, or a sample lacks its image or its class, or has two.
    """
    if data.endswith(COMPRESSED_SUFFIXES):
        raise compressed(data)
    return split_part(index_shards(map(locate, expand_braces(data)), base_name(data)), split)


def compressed(place: str) -> InputError:
    """The error of a compressed shard."""
    return InputError(f"{place} is compressed, so that no image in it can be read by itself; decompress it first")


def index_shards(located: Iterable[tuple[Files, str]], name: str, *, labelled: bool = True) -> Lazy:
    """The source of shards, each read once from end to end to find its samples; see `shards`.

    If it need not be `labelled`, samples may lack their class.
    """
    located = list(located)
    keys: list[str] = []
    shard_of, starts, lengths, stated = array("i"), array("q"), array("q"), StatedClasses()
    copies = CopiedShards()
    others: list[str] = []
    for number, (found, hidden) in enumerate(
        each(_read_through(located, labelled=labelled), "reading through shards", len(located))
    ):
        files, shard = located[number]
        stem = shard.removesuffix(SHARD_SUFFIX)
        others += hidden
        for sample in found:
            copies.add(number, sample)
            keys.append(f"{stem}/{sample.key}")
            shard_of.append(number)
            starts.append(sample.start)
            lengths.append(sample.length)
            stated.add(sample.label, f"{sample.key} in {files.place}/{shard}")
    if not keys:
        raise InputError(f"{name} holds no samples; expected images with their classes, KEY.jpg next to KEY.cls")
    targets, classes = stated.finish([located[0][0]])

    def read(shard: int, sample: ShardSample) -> bytes:
        files, name = located[shard]
        return files.span(name, sample.start, sample.length)

    inventory = Inventory(left_out=left_out(others), repeated=copies.repeated(read))
    places = SamplePlaces(located, keys, shard_of, starts, lengths, targets)
    return Lazy(
        name,
        classes,
        range(len(keys)),
        places.item,
        inventory,
        fetch=places.fetch_ahead,
        bytes_of=lengths.__getitem__,
    )


def _read_through(
    located: Sequence[tuple[Files, str]], *, labelled: bool
) -> Iterator[tuple[list[ShardSample], list[str]]]:
    """The samples of each shard, and the names of its hidden files. Of shards behind URLs, several are read at once."""

    def read(place: tuple[Files, str]) -> tuple[list[ShardSample], list[str]]:
        others: list[str] = []
        return list(samples(*place, others, labelled=labelled)), others

    if not any(is_far(Stored(files, name)) for files, name in located):
        yield from map(read, located)
        return
    with ThreadPoolExecutor(SHARDS_AT_ONCE) as threads:
        for first in range(0, len(located), SHARDS_AT_ONCE):
            yield from threads.map(read, located[first : first + SHARDS_AT_ONCE])


class SamplePlaces(NamedTuple):
    """The samples of shards, by their number."""

    located: Sequence[tuple[Files, str]]
    keys: Sequence[str]
    shard_of: "array[int]"
    """Number of each sample's shard among those that are `located`."""
    starts: "array[int]"
    """First byte of each image in its shard."""
    lengths: "array[int]"
    targets: Targets

    def item(self, index: int) -> Item:
        """The sample with this number."""
        files, shard = self.located[self.shard_of[index]]
        target = None if self.targets[index] == NO_LABEL else self.targets[index]
        return Item(self.keys[index], target, Stored(files, shard, self.starts[index], self.lengths[index]))

    def fetch_ahead(self, indices: Sequence[int]) -> None:
        """Let the system fetch the samples with these numbers, shard by shard and from front to back."""
        for number, own in groupby(sorted(indices), self.shard_of.__getitem__):
            files, shard = self.located[number]
            if isinstance(files, LocalFiles):
                files.fetch_ahead(shard, [(self.starts[index], self.lengths[index]) for index in own])


class CopiedShards:
    """A count of samples in shards that are copies of others, under whatever name.

    Equal shards have samples of the same keys and classes, as long and in the same places, and the same first image.
    """

    def __init__(self) -> None:
        self._digests: dict[int, Any] = {}
        self._firsts: dict[int, ShardSample] = {}
        self._counts: Counter[int] = Counter()

    def add(self, shard: int, sample: ShardSample) -> None:
        """Count a sample of the shard with this number."""
        self._firsts.setdefault(shard, sample)
        self._digests.setdefault(shard, sha256()).update(repr(sample).encode("utf-8", "surrogateescape"))
        self._counts[shard] += 1

    def repeated(self, read: Callable[[int, ShardSample], bytes]) -> int:
        """Samples of shards that are copies; `read` gives the image of a shard's sample.

        Raises:
            OSError: it cannot be read.
        """
        alike: dict[bytes, list[int]] = {}
        for shard, digest in self._digests.items():
            alike.setdefault(digest.digest(), []).append(shard)
        total = 0
        for shards_alike in alike.values():
            images: set[bytes] = set()
            for shard in shards_alike if len(shards_alike) > 1 else ():
                image = read(shard, self._firsts[shard])
                total += self._counts[shard] if image in images else 0
                images.add(image)
        return total


def expand_braces(pattern: str) -> list[str]:
    """Expand `a-{08..10}.tar` to its three names; leading zeros are kept.

    Raises:
        InputError: a range that runs backwards or is far too long.
    """
    parts = re.split(r"\{([0-9]+)\.\.([0-9]+)\}", pattern)
    ends = list(zip(parts[1::3], parts[2::3], strict=True))
    count = prod(_length(first, last, pattern) for first, last in ends)
    if count > MAX_FILES:
        raise InputError(f"{pattern} names {count:,} files; expected {MAX_FILES:,} at most")
    ranges = [[f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)] for first, last in ends]
    return ["".join(chain(*zip(parts[::3], (*numbers, ""), strict=True))) for numbers in product(*ranges)]


def _length(first: str, last: str, pattern: str) -> int:
    if max(len(first), len(last)) > MAX_DIGITS:
        raise InputError(f"a range of {pattern[:80]} has numbers of more than {MAX_DIGITS} digits; expected fewer")
    if int(last) < int(first):
        raise InputError(f"the range {{{first}..{last}}} of {pattern} runs backwards; expected the lower number first")
    return int(last) - int(first) + 1


def samples(files: Files, shard: str, others: list[str], *, labelled: bool = True) -> Iterator[ShardSample]:
    """The samples of one shard; files of one sample follow one another, as in WebDataset.

    The names of hidden files go to `others`.

    Raises:
        OSError: it cannot be read.
        InputError: see `shards`.
    """
    place = f"{files.place}/{shard}"
    seen: set[str] = set()
    for key, members in _grouped(_members(files, shard, place, others)):
        if key in seen:
            raise InputError(
                f"the key {key} comes again in {place}; expected the files of a sample one after the other"
            )
        seen.add(key)
        yield _sample(key, members, place, labelled=labelled)


def _grouped(named: Iterable[tuple[str, Member]]) -> Iterator[tuple[str, list[Member]]]:
    last, group = None, []
    for key, member in named:
        if key != last and last is not None:
            yield last, group
            group = []
        last = key
        group.append(member)
    if last is not None:
        yield last, group


def _members(files: Files, shard: str, place: str, others: list[str]) -> Iterator[tuple[str, Member]]:
    """Each file with its key: its name up to the first dot. Hidden files and files without a suffix are left out."""
    with files.open(shard) as file:
        for entry in entries(file, place):
            folder, slash, name = entry.name.rpartition("/")
            stem, dot, suffix = name.partition(".")
            if stem and dot:
                suffix = f".{suffix.lower()}"
                yield (
                    f"{_prefix(folder + slash)}{stem}",
                    Member(suffix, entry.start, entry.length, _stated(entry, suffix)),
                )
            else:
                others.append(entry.name)


@lru_cache
def _prefix(folder: str) -> str:
    """The folder in front of a name, spelt in one way."""
    path = PurePosixPath(folder)
    return str(path.joinpath("-"))[:-1]


def _stated(entry: TarEntry, suffix: str) -> Stated | None:
    """The class that a file of a sample states, or its classes."""
    if suffix == CLASS_SUFFIX:
        return _class_text(entry.read()) if entry.length <= MAX_CLASS_BYTES else "\n a long text"
    return _recorded(entry.read()) if suffix == RECORD_SUFFIX and entry.length <= MAX_RECORD_BYTES else None


def _class_text(content: bytes) -> str:
    try:
        return decode_text(content).strip()
    except UnicodeDecodeError:
        return "\n no UTF-8 text"


def _recorded(text: bytes) -> Stated | None:
    try:
        record = parse_json(text, dict[str, object])
    except msgspec.MsgspecError:
        return None
    found = (record[name] for name in (*LABEL_COLUMNS, *SET_COLUMNS) if name in record)
    return next((stated for value in found if (stated := _as_stated(value)) is not None), None)


def _as_stated(value: object) -> Stated | None:
    """A value of a record as a class, or a list of them as a set; None of anything else."""
    if isinstance(value, list) and all(map(_is_class_value, value)):
        return tuple(str(each).strip() for each in value)
    return str(value).strip() if _is_class_value(value) else None


def _is_class_value(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _sample(key: str, members: list[Member], place: str, *, labelled: bool) -> ShardSample:
    """The one image and the one class of a sample, which may be missing where it need not be `labelled`."""
    suffixes = [member.suffix for member in members]
    images = [member for member in members if member.suffix in IMAGE_SUFFIXES]
    classes = [member.label for member in members if member.suffix == CLASS_SUFFIX]
    classes = classes or [member.label for member in members if member.label is not None]
    classes = classes or ([] if labelled else [None])
    if len(images) != 1 or len(classes) != 1 or len(set(suffixes)) < len(suffixes):
        raise InputError(
            f"the sample {key} in {place} consists of {', '.join(suffixes)}; expected one image, and its class in "
            f"{key}{CLASS_SUFFIX}, or as {LABEL_COLUMNS[0]!r} in {key}{RECORD_SUFFIX}"
        )
    return ShardSample(key, images[0].start, images[0].length, classes[0])
