"""Parts of a data set: class-balanced samples, shares of processes, and a check that two parts share no image."""

import hashlib
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
from PIL import Image

from xception.data.source import Item, Items, Lazy, Source, Target
from xception.errors import DecodeError, InputError, UsageError


def balanced(source: Source, count: int, seed: int = 0) -> tuple[Items, Lazy]:
    """`count` items, as evenly over the classes as they allow, and all the others; both in source order."""
    chosen = set(islice(class_turns(source, seed), count))
    first = Items(source.name, source.classes, tuple(source[index] for index in sorted(chosen)))
    others = array("q", (index for index in range(len(source)) if index not in chosen))
    return first, Lazy(source.name, source.classes, others, source.__getitem__)


def class_turns(source: Source, seed: int, accept: Callable[[Item], bool] = lambda _: True) -> Iterator[int]:
    """Indices of accepted items: one of each class, then another of each, in an order that the seed decides."""
    by_class: dict[Target | None, list[int]] = defaultdict(list)
    for index in np.random.Generator(np.random.PCG64(seed)).permutation(len(source)):
        by_class[source[int(index)].target].append(int(index))
    queues = deque(iter(by_class[key]) for key in sorted(by_class, key=str))
    while queues:
        queue = queues.popleft()
        index = next((index for index in queue if accept(source[index])), None)
        if index is not None:
            yield index
            queues.append(queue)


def share(order: np.ndarray, rank: int, world: int) -> np.ndarray:
    """The part of an epoch's order that process `rank` of `world` reads: all processes together read each sample once.

    The shares differ by at most one sample where `world` does not divide their number.

    Raises:
        UsageError: a rank that such a world does not have.
    """
    if not 0 <= rank < world:
        raise UsageError(f"rank {rank} of {world} processes does not exist; expected one from 0 to {world - 1}")
    return order[rank::world]


def check_disjoint(first: Iterable[Item], second: Iterable[Item]) -> None:
    """Refuse two sets that share an image, whatever it is called.

    Raises:
        InputError: with the number of shared images and one of them.
    """
    known = {content_digest(item) for item in first}
    shared = [item.key for item in second if content_digest(item) in known]
    if shared:
        raise InputError(
            f"{len(shared)} images, such as {shared[0]}, are in both the calibration and the validation data; "
            "expected two sets without a common image"
        )


def content_digest(item: Item) -> bytes:
    """The SHA-256 of an image's file, or of its pixels where there is none; the same whatever the image is called."""
    try:
        loaded = item.load()
    except (DecodeError, OSError):
        return item.key.encode()  # unreadable: reported where it is used
    return loaded_digest(loaded)


def loaded_digest(loaded: bytes | Image.Image) -> bytes:
    """The SHA-256 of an image's file, or of its size and pixels where there is none."""
    data = loaded if isinstance(loaded, bytes) else repr(loaded.size).encode() + loaded.tobytes()
    return hashlib.sha256(data).digest()
