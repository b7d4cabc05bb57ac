from typing import get_args

import numpy as np
import pytest
from sklearn.datasets import load_digits

from xception.data.digits import digits
from xception.data.splits import Split

SPLITS = get_args(Split)


def test_the_splits_share_nothing_and_miss_nothing() -> None:
    keys = [item.key for split in SPLITS for item in digits(split)]
    assert len(keys) == len(set(keys)) == 1797


@pytest.mark.parametrize(("split", "share"), [("train", 0.6), ("validation", 0.2), ("test", 0.2)])
def test_every_class_has_its_share_in_every_split(split: Split, share: float) -> None:
    source = digits(split)
    assert source.classes == tuple("0123456789")
    assert source.name == f"digits:{split}"
    counts = np.bincount([int(item.target or 0) for item in source], minlength=10)
    totals = np.bincount(load_digits().target)
    assert np.abs(counts - share * totals).max() <= 1


def test_images_and_labels_are_scikit_learns() -> None:
    bunch = load_digits()
    for item in digits("test"):
        image = item.load()
        assert not isinstance(image, bytes)
        assert item.target == bunch.target[int(item.key)]
        assert np.array_equal(np.asarray(image), np.round(bunch.images[int(item.key)] * 255 / 16))


def test_a_split_is_the_same_every_time() -> None:
    assert [item.key for item in digits("train")] == [item.key for item in digits("train")]
    assert [item.key for item in digits("test")][:5] == ["0055", "0063", "0067", "0071", "0073"]
