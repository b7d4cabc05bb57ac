"""Images that look alike: two perceptual hashes and two thumbnails per image, and groups of those that agree."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xception.extras import require

Fingerprint = NDArray[np.uint8]
"""320 bytes: imagehash's phash and dhash, 16x16 grays, 4x4 colours."""

HASH_BYTES = 16
GRAYS = 16 * 16
PRINT_BYTES = HASH_BYTES + GRAYS + 4 * 4 * 3

MAX_DIFFERENT_BITS = 22
"""Bits of the 128 in which two images that look alike may differ. Those beyond that agree in grays as well are mostly
different scenes of one layout, such as aeroplanes over a meadow."""

MIN_CORRELATION = 0.95
"""Correlation of the grays of two images that look alike.

200 photographs agree with themselves, stored as poor JPEGs of a third of the size or 15 % brighter, to 0.965 and more,
and with 3 % of their border cut off to 0.963 in 19 of 20 cases; no two different ones to more than 0.863. All 51 pairs
that agree to this much among 20,000 images of CIFAR-10 show one scene.
"""

MAX_COLOR_DIFFERENCE = 32
"""Mean difference of the colours of two images that look alike, of 255; the grays say nothing of them."""

MIN_PX = 16
MIN_CONTRAST = 8
"""A smaller image, or one whose grays span less, has no shapes to compare."""

MAX_PAIRS_AT_ONCE = 1 << 21
"""Pairs that are compared at once, in some 100 MB."""


def image_fingerprint(image: Image.Image) -> Fingerprint | None:
    """A summary of an 8-bit image that stays alike whatever its size and compression; None where it shows no shapes.

    Raises:
        MissingExtra: imagehash is not installed.
    """
    if min(image.size) < MIN_PX:
        return None
    imagehash = require("imagehash", "data")
    gray, color = image.convert("L"), image.convert("RGB")
    grays = np.asarray(gray.resize((16, 16), Image.Resampling.BOX))
    if int(grays.max()) - int(grays.min()) < MIN_CONTRAST:
        return None
    bits = [np.packbits(hashed(gray).hash) for hashed in (imagehash.phash, imagehash.dhash)]
    colors = np.asarray(color.resize((4, 4), Image.Resampling.BOX))
    return np.concatenate([*bits, grays.ravel(), colors.ravel()])


def look_alikes(prints: NDArray[np.uint8]) -> list[list[int]]:
    """Groups of two and more that look alike, each in ascending order, of (N, 320) fingerprints.

    Only images with a common byte among the sixteen of their hashes are compared, which any two have that differ in
    less than sixteen bits. The time grows as N squared over sixteen, the memory not at all.
    """
    distinct, inverse = np.unique(prints, axis=0, return_inverse=True)
    parents = np.arange(len(distinct))
    for first, second in _alike_pairs(distinct):
        parents[_root(parents, first)] = _root(parents, second)
    groups: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(inverse.ravel()):
        groups[_root(parents, int(row))].append(index)
    return sorted(group for group in groups.values() if len(group) > 1)


class LookAlikes:
    """Fingerprints of a data set, among which that of another image is looked for."""

    def __init__(self, prints: Sequence[Fingerprint]) -> None:
        self._prints = np.stack(prints) if prints else np.empty((0, PRINT_BYTES), np.uint8)
        self._words = np.ascontiguousarray(self._prints[:, :HASH_BYTES]).view(np.uint64)

    def __contains__(self, other: Fingerprint) -> bool:
        words = other[:HASH_BYTES].view(np.uint64)
        bits = np.bitwise_count(self._words ^ words).sum(axis=1)
        close = self._prints[bits <= MAX_DIFFERENT_BITS]
        return bool(len(close)) and bool(_alike(close, np.broadcast_to(other, close.shape)).any())


def _root(parents: NDArray[np.intp], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = int(parents[index])
    return index


def _alike_pairs(prints: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    words = np.ascontiguousarray(prints[:, :HASH_BYTES]).view(np.uint64)
    for column in range(HASH_BYTES):
        for members in _same_byte(prints[:, column]):
            for block in np.array_split(members, len(members) ** 2 // MAX_PAIRS_AT_ONCE + 1):
                first, second = _close_pairs(words, block, members)
                alike = _alike(prints[first], prints[second])
                yield from zip(first[alike].tolist(), second[alike].tolist(), strict=True)


def _same_byte(values: NDArray[np.uint8]) -> Iterator[NDArray[np.intp]]:
    """The indices of each value that several have."""
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(np.bincount(values, minlength=256))[:-1]
    return (members for members in np.split(order, ends) if len(members) > 1)


def _close_pairs(
    words: NDArray[np.uint64], block: NDArray[np.intp], members: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of one of the block and a member behind it whose hashes are close."""
    bits = sum(np.bitwise_count(words[block, None, half] ^ words[None, members, half]) for half in (0, 1))
    rows, columns = np.nonzero((bits <= MAX_DIFFERENT_BITS) & (block[:, None] < members))
    return block[rows], members[columns]


def _alike(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell for each two fingerprints whether they agree in grays and colours: twice (M, 320) to (M,)."""
    mine, yours = (_standardized(prints[:, HASH_BYTES : HASH_BYTES + GRAYS]) for prints in (first, second))
    colors = first[:, HASH_BYTES + GRAYS :].astype(np.int16) - second[:, HASH_BYTES + GRAYS :]
    agree = ((mine * yours).sum(axis=1) >= MIN_CORRELATION) & (np.abs(colors).mean(axis=1) <= MAX_COLOR_DIFFERENCE)
    return np.asarray(agree, np.bool_)


def _standardized(grays: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean 0 and length 1, so that a product is a correlation."""
    centred = grays - grays.mean(axis=1, keepdims=True, dtype=np.float32)
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True), np.float32)
