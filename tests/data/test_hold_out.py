from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xception.data.hold_out import HoldOut, divide
from xception.data.source import Item, Lazy
from xception.errors import InputError, UsageError


def source(counts: Sequence[int], groups: Sequence[str] = ()) -> Lazy:
    """Items of classes with these counts; the key of one is its group, its class and its number."""
    targets = [target for target, count in enumerate(counts) for _ in range(count)]

    def item(index: int) -> Item:
        group = groups[index] if groups else "all"
        return Item(f"{group}/{targets[index]}_{index}", targets[index], bytes)

    names = tuple(f"class {target}" for target in range(len(counts)))
    return Lazy("data", names, range(len(targets)), item)


def held_out(counts: Sequence[int], settings: HoldOut, groups: Sequence[str] = ()) -> Counter[int | None]:
    return Counter(item.target for item in divide(source(counts, groups), settings).held_out)


def keys(part: Lazy) -> set[str]:
    return {item.key for item in part}


def test_every_class_is_held_out_in_proportion_and_small_ones_with_a_minimum() -> None:
    assert held_out([500, 100, 30, 10, 6], HoldOut()) == {0: 50, 1: 10, 2: 5, 3: 2, 4: 2}
    assert held_out([500, 10], HoldOut(share=0.3)) == {0: 150, 1: 3}
    assert held_out([40, 40], HoldOut(min_per_class=0)) == {0: 4, 1: 4}


def test_a_class_always_keeps_an_image_to_train_on() -> None:
    assert held_out([1, 2, 3], HoldOut(share=0.99)) == {1: 1, 2: 2}


@pytest.mark.parametrize("counts", [(24, 24, 24), (6, 6, 6), (300, 30), (20,) * 12])
def test_no_class_of_small_data_is_without_held_out_images(counts: Sequence[int]) -> None:
    assert held_out(counts, HoldOut()).keys() == set(range(len(counts)))


def test_nothing_is_held_out_where_nothing_is_to_be() -> None:
    parts = divide(source([10, 10]), HoldOut(share=0))
    assert (len(parts.training), len(parts.held_out)) == (20, 0)


SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any)


@given(SIZES, st.integers(2, 7))
def test_the_folds_together_hold_every_image_once_but_a_class_of_one_image(counts: list[int], folds: int) -> None:
    whole = source(counts)
    parts = [divide(whole, HoldOut(fold=f"{place}/{folds}")) for place in range(1, folds + 1)]
    out = [key for part in parts for key in keys(part.held_out)]
    lonely = {item.key for item in whole if counts[item.target or 0] == 1}
    assert sorted([*out, *lonely]) == sorted(keys(whole))
    assert all(keys(part.training) == keys(whole) - keys(part.held_out) for part in parts)
    sizes = sorted(len(part.held_out) for part in parts)
    assert sizes[-1] - sizes[0] <= 1 + len(lonely)


@given(SIZES, st.sampled_from([HoldOut(), HoldOut(share=0.4), HoldOut(fold="2/3")]))
def test_the_order_of_the_items_and_other_classes_change_nothing(counts: list[int], settings: HoldOut) -> None:
    whole = source(counts)
    turned = Lazy(whole.name, whole.classes, range(len(whole))[::-1], whole.make)
    assert keys(divide(whole, settings).held_out) == keys(divide(turned, settings).held_out)


PATIENTS = [f"p{index // 4}" for index in range(80)]
"""Twenty patients with four images each; the first ten have images of class 0 only."""


@pytest.mark.parametrize("settings", [HoldOut(share=0.2), *(HoldOut(fold=f"{place}/5") for place in range(1, 6))])
def test_no_group_is_on_both_sides_and_both_sides_have_all_classes(settings: HoldOut) -> None:
    grouped = HoldOut(share=settings.share, fold=settings.fold, group_pattern="^[^/]+")
    training, validation = divide(source([40, 40], PATIENTS), grouped)
    own, theirs = ({key.split("/")[0] for key in keys(part)} for part in (training, validation))
    assert not own & theirs
    assert len(own) + len(theirs) == 20
    assert Counter(item.target for item in validation) == {0: 8, 1: 8}


def test_without_groups_the_same_data_would_have_patients_on_both_sides() -> None:
    training, validation = divide(source([40, 40], PATIENTS), HoldOut(share=0.2))
    assert {key.split("/")[0] for key in keys(training)} & {key.split("/")[0] for key in keys(validation)}


def test_groups_may_be_named_by_a_column() -> None:
    whole = Lazy(
        "data", ("a", "b"), range(80), source([40, 40]).make, column=lambda name: PATIENTS if name == "id" else []
    )
    training, validation = divide(whole, HoldOut(share=0.2, group_column="id"))
    own, theirs = ({PATIENTS[index] for index in part.indices} for part in (training, validation))
    assert not own & theirs
    assert len(theirs) == 4


def test_data_without_columns_say_so() -> None:
    with pytest.raises(InputError, match="no column 'patient': this form of data has none"):
        divide(source([4, 4]), HoldOut(group_column="patient"))


@pytest.mark.parametrize(
    ("pattern", "groups", "message"),
    [
        ("^x+", ["a", "b"] * 4, "finds no group in 'a/0_0'"),
        ("^a", ["a"] * 8, "all 8 images of data are of one group, 'a'"),
        ("^.", ["a", "a", "a", "a", "b", "b", "b", "b"], "all images of 'class [01]' in data would be held out"),
    ],
)
def test_groups_that_cannot_be_divided_are_refused(pattern: str, groups: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        divide(source([4, 4], groups), HoldOut(group_pattern=pattern))


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(InputError, match="5 folds cannot be made of 4 groups"):
        divide(source([8, 8], [f"g{index % 4}" for index in range(16)]), HoldOut(fold="1/5", group_pattern="^g."))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": "0/5"}, r"hold_out\.fold is '0/5'; expected i/k"),
        ({"fold": "6/5"}, "expected i/k"),
        ({"fold": "1/1"}, "expected i/k"),
        ({"fold": "first"}, "expected i/k"),
        ({"fold": "1/5", "share": 0.2}, "share does nothing where"),
        ({"group_pattern": "("}, "is no regular expression"),
        ({"group_pattern": "a", "group_column": "b"}, "both name the groups"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        HoldOut(**settings)


def test_adding_an_image_moves_few_others() -> None:
    before, after = (keys(divide(source([count])).held_out) for count in (100, 101))
    assert len(before - after) <= 1
    assert all(first != second for first, second in pairwise(sorted(after)))
