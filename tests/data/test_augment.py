import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from tests.samples import picture
from xception.data.augment import Augment, epoch_order

FULL = Augment(rotate_degrees=20, translate=0.1, zoom=0.2, flip=True)
SEED = st.integers(-(2**70), 2**70)


@given(seed=SEED, epoch=st.integers(0, 2**31 - 1), index=st.integers(0, 2**32 - 2))
def test_a_sample_is_a_function_of_seed_epoch_and_index(seed: int, epoch: int, index: int) -> None:
    image = picture(16, 12)
    first, second = FULL(image, seed, epoch, index), FULL(image, seed, epoch, index)
    assert first.tobytes() == second.tobytes()
    assert (first.size, first.mode) == (image.size, image.mode)


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_seed_epoch_and_index_each_change_the_sample(other: tuple[int, int, int]) -> None:
    assert FULL(picture(), 0, 0, 0).tobytes() != FULL(picture(), *other).tobytes()


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 - 1])
def test_neighbouring_samples_differ_under_every_seed(seed: int) -> None:
    samples = {FULL(picture(), seed, 70_000, index).tobytes() for index in range(20)}
    assert len(samples) == 20


def test_nothing_asked_is_nothing_done() -> None:
    assert Augment()(picture(), 1, 2, 3).tobytes() == picture().tobytes()


def test_flipping_mirrors_half_of_the_samples_and_changes_nothing_else() -> None:
    image = picture()
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    results = [Augment(flip=True)(image, 0, 0, index).tobytes() for index in range(400)]
    assert set(results) == {image.tobytes(), mirrored}
    assert results.count(mirrored) == pytest.approx(200, abs=40)


def test_rotation_turns_about_the_centre() -> None:
    image = Image.new("L", (41, 41))
    image.putpixel((20, 20), 255)
    turned = Augment(rotate_degrees=180)(image, 0, 0, 7)
    assert turned.getpixel((20, 20)) == pytest.approx(255, abs=60)


def test_translation_shifts_by_at_most_its_share() -> None:
    image = Image.new("L", (50, 50))
    image.paste(255, (24, 24, 26, 26))
    lefts = []
    for index in range(200):
        box = Augment(translate=0.2)(image, 0, 0, index).getbbox()
        assert box
        assert 24 - 11 <= box[0] <= 24 + 11
        lefts.append(box[0])
    assert min(lefts) <= 16
    assert max(lefts) >= 31


def test_zoom_changes_the_size_of_things_by_at_most_its_share() -> None:
    image = Image.new("L", (80, 80))
    image.paste(255, (20, 20, 60, 60))
    areas = [np.asarray(Augment(zoom=0.25)(image, 0, 0, index)).mean() / 255 * 6400 for index in range(100)]
    assert 30**2 * 0.95 <= min(areas) < 33**2
    assert 47**2 < max(areas) <= 50**2 * 1.05


def test_a_stronger_setting_changes_more() -> None:
    def change(augment: Augment) -> float:
        results = [augment(picture(), 0, 0, index) for index in range(20)]
        return float(np.mean([np.asarray(ImageChops.difference(result, picture())).mean() for result in results]))

    assert change(Augment(rotate_degrees=2)) < change(Augment(rotate_degrees=20))


@given(st.integers(0, 300), SEED, st.integers(0, 100))
def test_an_epochs_order_is_a_permutation_and_always_the_same(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert sorted(order) == list(range(count))
    assert np.array_equal(order, epoch_order(count, seed, epoch))


def test_epochs_and_seeds_have_different_orders() -> None:
    orders = [tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9


@pytest.mark.parametrize("settings", [{"rotate_degrees": -1}, {"translate": -0.1}, {"zoom": 1.0}, {"rotate": 5}])
def test_settings_without_meaning_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, Augment)
