"""Data sources: sequences of items that are read only when they are needed."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Protocol, runtime_checkable

from PIL import Image

from xception.arguments import require_type
from xception.data.inventory import EMPTY, Inventory
from xception.data.read_ahead import ReadAhead, is_far
from xception.data.remote import Unreachable
from xception.errors import EnvironmentFault, InputError, UsageError

Target = int | tuple[int, ...]
"""The class index of an image; in multi-label data the indices of all its classes, ascending and maybe none."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image. `key` is its name within the source, and `target` is the index of its class, or None without a label.

    `load` returns the encoded file, or the image if there is no file; it may raise OSError.
    """

    key: str
    target: Target | None
    load: Callable[[], bytes | Image.Image]

    @property
    def class_index(self) -> int | None:
        """The target, where data with one class per image are expected.

        Raises:
            InputError: the data are multi-label.
        """
        if isinstance(self.target, tuple):
            raise InputError(
                f"{self.key} has a set of {len(self.target)} classes, as in multi-label data; expected data with "
                "exactly one class per image here"
            )
        return self.target


def indices_of(target: Target | None) -> tuple[int, ...]:
    """The class indices of an image, whatever kind its data are of; none without a label."""
    if target is None:
        return ()
    return target if isinstance(target, tuple) else (target,)


@runtime_checkable
class Source(Protocol):
    """A data set, or one split of it: its items in a fixed order, and its class names."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Item: ...

    def __iter__(self) -> Iterator[Item]: ...


def data_fingerprint(source: Source) -> str:
    """SHA-256 over the classes and over every item's key and classes, in order; the same wherever the data lie, and
    for one class per image the same as for a set of one."""
    digest = sha256("\n".join(source.classes).encode())
    for index in range(len(source)):
        item = source[index]
        known = item.target is not None
        digest.update(f"\n{item.key}\t{' '.join(map(str, indices_of(item.target))) if known else None}".encode())
    return digest.hexdigest()


def require_source(source: object) -> None:
    """Refuse anything but a source.

    Raises:
        UsageError: it is something else.
    """
    require_type(
        source, Source, "the data", "xception.open_source(...), xception.image_files(...) or xception.in_memory(...)"
    )


def in_order(items: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Items that will be loaded in the order in which `items` makes them: of those behind a URL, loading one begins to
    fetch the next ones."""
    ahead = ReadAhead(item.load for item in items())
    for place, item in enumerate(items()):
        yield Item(item.key, item.target, partial(ahead.load, place, item.load)) if is_far(item.load) else item


def part_in_order(source: Source, indices: Iterable[int]) -> Iterator[Item]:
    """Some items of a source, to be loaded in this order; see `in_order`. `indices` can be gone through again."""
    return in_order(lambda: (source[index] for index in indices))


def insisting(item: Item) -> Item:
    """The same item, whose server has to answer: a server in trouble says nothing about the image, and waiting
    longer would give another result. Loading it raises an EnvironmentFault then."""

    def load() -> bytes | Image.Image:
        try:
            return item.load()
        except Unreachable as error:
            raise EnvironmentFault(str(error)) from error

    return Item(item.key, item.target, load)


def is_multi_label(source: Source) -> bool:
    """Tell whether the images of a source may have several classes each, as its first labelled one says."""
    # By index, since iterating moves a progress bar.
    targets = (source[index].target for index in range(len(source)))
    return isinstance(next((target for target in targets if target is not None), None), tuple)


def require_single_label(source: Source, what: str) -> None:
    """Refuse multi-label data for `what`, which begins a sentence and compares one class per image.

    Raises:
        UsageError: the data are multi-label.
    """
    if is_multi_label(source):
        raise UsageError(
            f"{what} judges one class per image, and the images of {source.name} may have several; expected data with "
            "one class per image, or xception evaluate, which judges each class by itself"
        )


class _Described:
    """A source that tells its name and sizes when it is printed."""

    def __repr__(self: Source) -> str:
        return f"{type(self).__name__}({self.name!r}: {len(self)} images, {len(self.classes)} classes)"


@dataclass(frozen=True, repr=False)
class Items(_Described):
    """A source whose items are all known."""

    name: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    inventory: Inventory = EMPTY

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int, /) -> Item:
        return self.items[index]

    def __iter__(self) -> Iterator[Item]:
        return in_order(lambda: iter(self.items))


def _no_column(name: str) -> Sequence[Hashable]:
    raise InputError(
        f"there is no column {name!r}: this form of data has none; expected a list file or parquet files with it, or "
        "class folders with a metadata.csv"
    )


@dataclass(frozen=True, repr=False)
class Lazy(_Described):
    """A source that makes each item on demand, so that a million of them take no memory.

    `indices` are what `make` takes, in the order of the source.
    """

    name: str
    classes: tuple[str, ...]
    indices: Sequence[int]
    make: Callable[[int], Item]
    inventory: Inventory = EMPTY
    column: Callable[[str], Sequence[Hashable]] = _no_column
    """A column of further facts by its name: what it has for each index that `make` takes, in their order."""
    whole: "Lazy | None" = None
    """The undivided data that this is a part of."""
    fetch: Callable[[Sequence[int]], None] | None = None
    """Tells the system which items, by what `make` takes, are read next, where it can fetch them all at once."""
    bytes_of: Callable[[int], int] | None = None
    """The size of an encoded image, by what `make` takes, where the listing knows it."""

    def fetch_ahead(self, places: Iterable[int]) -> None:
        """Let the system fetch the items at these places, which are read next; it need not."""
        if self.fetch:
            self.fetch([self.indices[place] for place in places])

    def size_of(self, place: int) -> int | None:
        """The bytes of the encoded image at a place, where the listing knows them."""
        return self.bytes_of(self.indices[place]) if self.bytes_of else None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Item:
        return self.make(self.indices[index])

    def __iter__(self) -> Iterator[Item]:
        return in_order(lambda: map(self.make, self.indices))
