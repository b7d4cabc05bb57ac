import msgspec
import numpy as np
import pytest

from tests.support.samples import labelled
from tests.train.samples import small_recipe
from xception.data.augment import Augment
from xception.train.assembly import make_batches
from xception.train.first_batch import first_images
from xception.train.settings import MixSettings


def test_the_first_images_are_those_of_the_first_step_as_it_augments_them() -> None:
    recipe = msgspec.structs.replace(small_recipe(), augment=Augment(rotate_degrees=20, flip=True))
    source = labelled(12)
    seen = first_images(recipe, source, count=4)
    batches = make_batches(recipe, source)
    pixels, targets = batches.augment(batches(0))
    assert [image.key for image in seen] == batches.keys(0)
    assert [image.classes for image in seen] == [source.classes[target] for target in targets]
    assert np.array_equal(np.stack([image.pixels for image in seen]), pixels.numpy())


@pytest.mark.parametrize("count", [4, 12])
def test_blended_images_have_the_classes_of_both_with_shares_that_sum_to_one(count: int) -> None:
    recipe = msgspec.structs.replace(small_recipe(), mix=MixSettings(mixup=1.0))
    seen = first_images(recipe, labelled(12), count=count)
    assert len(seen) == count
    for image in seen:
        shares = [int(part.split("%")[0]) for part in image.classes.split(" + ")]
        assert sum(shares) == pytest.approx(100, abs=1)
        assert shares == sorted(shares, reverse=True)
