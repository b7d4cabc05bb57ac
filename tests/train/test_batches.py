import dataclasses

import msgspec
import numpy as np
import pytest
import torch

from tests.support.samples import CLASSES, labelled
from tests.train.samples import with_unreachable
from xception.data.augment import Augment
from xception.data.source import Item, Items, Lazy
from xception.errors import EnvironmentFault, InputError
from xception.preprocess import Preprocess, Squash
from xception.train.assembly import make_batches
from xception.train.batches import Batches
from xception.train.loader import prepared_batches
from xception.train.recipe import Recipe
from xception.train.settings import DataSettings, ModelSettings, ProgressiveStage

COUNT = 11


def recipe(seed: int = 0) -> Recipe:
    return Recipe(
        model=ModelSettings(variant="mini_xception"),
        data=DataSettings(source="digits"),
        preprocess=Preprocess(resize=Squash(width_px=8, height_px=8)),
        augment=Augment(rotate_degrees=10, flip=True),
        epochs=2,
        batch_size=4,
        seed=seed,
    )


def batches(source: Items | None = None, seed: int = 0) -> Batches:
    return make_batches(recipe(seed), source or labelled(COUNT))


def test_an_epoch_holds_every_image_once_and_its_last_batch_what_is_left() -> None:
    made = batches()
    assert made.per_epoch == 3
    for epoch in range(2):
        targets = [made(step)[1] for step in range(3 * epoch, 3 * epoch + 3)]
        assert [len(batch) for batch in targets] == [4, 4, 3]
        expected = sorted(index % len(CLASSES) for index in range(COUNT))
        assert sorted(torch.cat(targets).tolist()) == expected


def test_a_batch_is_a_function_of_its_step() -> None:
    first, second = batches()(4), batches()(4)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], batches(seed=1)(4)[0])


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("start", [0, 2, 5])
def test_neither_the_start_nor_the_workers_change_a_batch(start: int, workers: int) -> None:
    made = list(prepared_batches(batches(), start, 6, workers))
    assert len(made) == 6 - start
    for step, batch in enumerate(made, start):
        expected = batches()(step)
        assert torch.equal(batch.levels, expected.levels)
        assert torch.equal(batch.targets, expected.targets)


def test_epochs_see_other_orders_and_other_pictures() -> None:
    made = batches()
    assert not torch.equal(made(0)[0], made(3)[0])


def test_images_travel_in_8_bits_and_become_channels_last_and_float() -> None:
    made = batches()
    batch = made(0)
    assert (batch.levels.shape, batch.levels.dtype) == ((4, 3, 8, 8), torch.uint8)
    pixels, targets = made.augment(batch)
    assert pixels.shape == (4, 3, 8, 8)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert (pixels.dtype, targets.dtype) == (torch.float32, torch.int64)
    assert np.isfinite(pixels.numpy()).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_stops_the_training_by_name(workers: int) -> None:
    with pytest.raises(
        InputError, match=r"training image 002 cannot be used: .*; repair it and --resume, or begin a new run with"
    ):
        list(prepared_batches(batches(labelled(COUNT, broken=(2,))), 0, 3, workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_server_that_does_not_answer_ends_the_run_and_says_nothing_of_its_image(workers: int) -> None:
    with pytest.raises(EnvironmentFault, match="training image 002 cannot be fetched: 503; --resume continues"):
        list(prepared_batches(batches(with_unreachable(COUNT, 2)), 0, 3, workers))


@pytest.mark.parametrize("world", [2, 3, 4])
def test_the_shares_of_all_processes_hold_every_image_of_a_step_once(world: int) -> None:
    source = labelled(COUNT)
    shares = [make_batches(recipe(), source, rank=rank, world=world) for rank in range(world)]
    for step in range(6):
        whole = shares[0].indices(step)
        weights = [share.weight(step) for share in shares]
        targets = [share(step)[1] for share, weight in zip(shares, weights, strict=True) if weight]
        assert sorted(torch.cat(targets).tolist()) == sorted(source[int(index)].target for index in whole)
        assert sum(weights) == pytest.approx(world)
        assert [len(share(step)[1]) >= 1 for share in shares] == [True] * world


def test_the_images_of_a_step_have_names() -> None:
    made = batches()
    assert sorted(key for step in range(3) for key in made.keys(step)) == [f"{index:03d}" for index in range(COUNT)]


def test_batches_are_cropped_at_random_where_the_recipe_says_so() -> None:
    cropping = msgspec.structs.replace(recipe(), augment=Augment(crop_scale=(0.1, 0.5)))
    plain = msgspec.structs.replace(recipe(), augment=Augment())
    cropped, whole = (make_batches(one, labelled(COUNT))(0)[0] for one in (cropping, plain))
    assert cropped.shape == whole.shape
    assert not torch.equal(cropped, whole)


def test_images_grow_stage_by_stage_as_the_recipe_says() -> None:
    stages = ProgressiveStage(until=1, size=0.6), ProgressiveStage(until=3, size=0.7)
    made = make_batches(msgspec.structs.replace(recipe(), progressive=stages), labelled(COUNT))
    assert [made(step)[0].shape[2] for step in (0, 2, 3, 8, 9)] == [5, 5, 6, 6, 8]
    assert torch.equal(made(9)[0], batches()(9)[0])


def test_balanced_batches_show_rare_classes_as_often_as_frequent_ones() -> None:
    plain = labelled(COUNT)
    source = Items(
        plain.name,
        plain.classes[:2],
        tuple(dataclasses.replace(item, target=int(index == 0)) for index, item in enumerate(plain.items)),
    )
    made = make_batches(msgspec.structs.replace(recipe(), sampling="balanced"), source)
    targets = torch.cat([made(step)[1] for step in range(3)])
    assert sorted(torch.bincount(targets).tolist()) == [5, 6]
    assert made.class_counts.tolist() == [10, 1]
    pixels = torch.cat([made(step)[0] for step in range(3)])[targets == 1]
    assert not torch.equal(pixels[0], pixels[1])
    assert {key for step in range(3) for key in made.keys(step)} <= {item.key for item in source}


def test_images_without_a_label_cannot_be_trained_on() -> None:
    plain = labelled(COUNT)
    unknown = [dataclasses.replace(item, target=None) for item in plain.items[:2]]
    source = Items(plain.name, plain.classes, (*unknown, *plain.items[2:]))
    with pytest.raises(InputError, match="2 of the 11 training images, such as 000, have no label"):
        _ = make_batches(recipe(), source).class_counts


@pytest.mark.parametrize(
    ("images", "size", "drop_last", "sizes"),
    [
        (9, 4, False, [4, 5]),
        (9, 4, True, [4, 4]),
        (10, 4, False, [4, 4, 2]),
        (10, 4, True, [4, 4]),
        (3, 4, True, [3]),
        (1, 4, False, [1]),
        (3, 1, False, [1, 1, 1]),
        (2, 1, True, [1, 1]),
    ],
)
def test_a_single_image_that_is_left_joins_the_step_before_or_is_dropped(
    images: int, size: int, drop_last: bool, sizes: list[int]
) -> None:
    settings = msgspec.structs.replace(recipe(), batch_size=size, drop_last=drop_last)
    made = make_batches(settings, labelled(images))
    for epoch in (0, 1):
        shown = [made.indices(epoch * made.per_epoch + step) for step in range(made.per_epoch)]
        assert [len(step) for step in shown] == sizes
        assert len(set(np.concatenate(shown).tolist())) == sum(sizes)


def test_the_images_of_a_batch_are_fetched_together_before_the_first_is_read() -> None:
    plain, seen = labelled(COUNT), []

    def make(index: int) -> Item:
        return dataclasses.replace(plain[index], load=lambda: seen.append("read") or plain[index].load())

    source = Lazy(plain.name, plain.classes, range(COUNT), make, fetch=seen.append)
    made = make_batches(recipe(), source)
    made(1)
    assert seen == [made.indices(1).tolist(), *["read"] * 4]
