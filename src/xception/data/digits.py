"""The 1,797 real handwritten digits that ship with scikit-learn (Alpaydin & Kaynak 1998), 8 x 8 px gray.

Split once and for all, class by class in stored order, so that every program sees the same held-out images.
"""

from functools import partial

import numpy as np
from PIL import Image

from xception.data.source import Item, Items
from xception.data.splits import Split
from xception.extras import require

SHARES: dict[Split, tuple[int, int]] = {"train": (0, 6), "validation": (6, 8), "test": (8, 10)}
"""First tenth of each class that belongs to a split, and the one behind its last."""

WHITE = 16
"""The brightest stored value."""


def digits(split: Split) -> Items:
    """The images of one split.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    bunch = require("sklearn.datasets", "train").load_digits()
    images = (bunch.images * 255 / WHITE).round().astype(np.uint8)
    indices = sorted(index for digit in range(10) for index in _share(np.flatnonzero(bunch.target == digit), split))
    items = tuple(_item(index, images[index], int(bunch.target[index])) for index in indices)
    return Items(f"digits:{split}", tuple(map(str, range(10))), items)


def _share(indices: np.ndarray, split: Split) -> list[int]:
    """A fixed shuffle of one class, cut in tenths: the stored order follows the writers."""
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(indices)
    first, last = (len(indices) * tenth // 10 for tenth in SHARES[split])
    return [int(index) for index in shuffled[first:last]]


def _item(index: int, pixels: np.ndarray, target: int) -> Item:
    return Item(f"{index:04d}", target, partial(Image.fromarray, pixels))
