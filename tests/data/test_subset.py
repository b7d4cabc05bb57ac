from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support.samples import encoded, labelled, picture
from xception.data.augment import epoch_order
from xception.data.source import Item, Items
from xception.data.subset import balanced, check_disjoint, share
from xception.errors import InputError, UsageError


def targets_only(targets: list[int]) -> Items:
    return Items("n", ("a", "b", "c"), tuple(Item(str(i), target, bytes) for i, target in enumerate(targets)))


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(0, 45), st.integers(0, 5))
def test_both_parts_together_are_the_source_in_its_order(targets: list[int], count: int, seed: int) -> None:
    source = targets_only(targets)
    chosen, others = balanced(source, count, seed)
    assert len(chosen) == min(count, len(source))
    assert sorted([*chosen, *others], key=lambda item: int(item.key)) == list(source)
    for part in (chosen, others):
        assert [int(item.key) for item in part] == sorted(int(item.key) for item in part)


def test_classes_are_taken_evenly_as_far_as_they_go() -> None:
    chosen, _ = balanced(targets_only([0] * 30 + [1] * 10 + [2] * 2), 14)
    assert Counter(item.target for item in chosen) == {0: 6, 1: 6, 2: 2}


def test_the_choice_depends_on_the_seed_alone() -> None:
    source = targets_only([0, 1, 2] * 30)
    assert balanced(source, 9)[0] == balanced(source, 9)[0]
    assert balanced(source, 9)[0] != balanced(source, 9, seed=1)[0]


@given(st.integers(0, 60), st.integers(1, 9))
def test_processes_share_an_epoch_without_repeating_or_missing_a_sample(count: int, world: int) -> None:
    order = epoch_order(count, seed=3, epoch=1)
    shares = [share(order, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(shares)) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(("rank", "world"), [(-1, 2), (2, 2), (0, 0)])
def test_a_rank_outside_its_world_is_refused(rank: int, world: int) -> None:
    with pytest.raises(UsageError, match=f"rank {rank} of {world} processes"):
        share(np.arange(4), rank, world)


def test_sets_without_a_common_image_pass() -> None:
    check_disjoint(labelled(6), list(labelled(12))[6:])


def test_a_shared_image_is_found_whatever_it_is_called() -> None:
    copy = Item("copy", 0, lambda: encoded(picture(seed=2)))
    with pytest.raises(InputError, match="1 images, such as copy, are in both"):
        check_disjoint(labelled(6), [copy])


def test_shared_pixels_without_a_file_are_found() -> None:
    first, second = (Item(key, 0, lambda: Image.fromarray(np.eye(8, dtype=np.uint8))) for key in "ab")
    with pytest.raises(InputError, match="such as b"):
        check_disjoint([first], [second])


def test_images_that_cannot_be_read_are_left_to_those_who_use_them() -> None:
    def missing() -> bytes:
        raise FileNotFoundError

    check_disjoint([Item("a", 0, missing)], [Item("b", 0, missing)])
