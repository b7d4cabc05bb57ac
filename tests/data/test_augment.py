import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageChops

from tests.support.samples import encoded, picture
from xception.data.augment import Augment, _generator, _random_box, balanced_order, batch_generator, epoch_order
from xception.data.decode import decode
from xception.errors import UsageError
from xception.preprocess import Preprocess, Squash

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


def test_translation_alone_shifts_by_whole_pixels_of_at_most_its_share() -> None:
    image = Image.new("L", (50, 50))
    image.paste(255, (24, 24, 26, 26))
    lefts = []
    for index in range(200):
        shifted = Augment(translate=0.2)(image, 0, 0, index)
        left, top, right, bottom = shifted.getbbox() or (0, 0, 0, 0)
        assert (right - left, bottom - top) == (2, 2)
        assert shifted.crop((left, top, right, bottom)).getextrema() == (255, 255)
        lefts.append(left - 24)
    assert {min(lefts), max(lefts)} == {-10, 10}


def test_translation_of_turned_images_is_as_fine_as_their_angles() -> None:
    image = Image.new("L", (50, 50))
    image.paste(255, (24, 24, 26, 26))
    shifted = [np.asarray(Augment(translate=0.2, rotate_degrees=1e-9)(image, 0, 0, index)) for index in range(10)]
    assert all(((values > 0) & (values < 255)).any() for values in shifted)


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


NETWORK_INPUT = Preprocess(resize=Squash(width_px=24, height_px=16), interpolation="bilinear")


def boxes(augment: Augment, size: tuple[int, int], count: int) -> np.ndarray:
    assert augment.crop_scale
    rows = [
        _random_box(size, augment.crop_scale, augment.crop_ratio, _generator(0, 0, index, stream=1))
        for index in range(count)
    ]
    return np.array(rows)


def test_a_random_crops_scale_and_ratio_are_distributed_as_published() -> None:
    made = boxes(Augment(crop_scale=(0.08, 1.0)), (500, 375), 4000)
    width, height = made[:, 2] - made[:, 0], made[:, 3] - made[:, 1]
    share, ratio = width * height / (500 * 375), width / height
    assert (made[:, :2] >= 0).all()
    assert (made[:, 2] <= 500).all()
    assert (made[:, 3] <= 375).all()
    assert share.min() > 0.078
    assert ratio.min() > 0.74
    assert ratio.max() < 1.35
    # Small boxes fit at every aspect ratio, so that there both laws show unchanged: the share is uniform, the
    # ratio's logarithm is uniform and thus symmetric.
    small = share < 0.5
    assert share[small].mean() == pytest.approx((0.08 + 0.5) / 2, abs=0.01)
    assert np.log(ratio[small]).mean() == pytest.approx(0, abs=0.01)
    assert np.log(ratio[small]).std() == pytest.approx(2 * np.log(4 / 3) / np.sqrt(12), abs=0.01)
    # Between the borders a box lies anywhere alike.
    assert (made[small, 0] / (500 - width[small])).mean() == pytest.approx(0.5, abs=0.02)


def seen(augment: Augment, loaded: bytes | Image.Image, preprocess: Preprocess, *key: int) -> np.ndarray:
    """The pixels that the network is to see of a sample."""
    levels, is_mirrored = augment.levels(loaded, preprocess, *key)
    return preprocess.normalize(levels[..., ::-1] if is_mirrored else levels)


def test_an_image_that_no_drawn_box_fits_is_cropped_in_its_middle() -> None:
    augment = Augment(crop_scale=(0.9, 1.0))
    assert set(map(tuple, boxes(augment, (400, 40), 20))) == {(173, 0, 226, 40)}
    assert set(map(tuple, boxes(augment, (40, 400), 20))) == {(0, 173, 40, 226)}


def test_a_random_crop_is_that_part_of_the_image_resized_once() -> None:
    image, augment = picture(90, 70), Augment(crop_scale=(0.2, 0.5))
    pixels = seen(augment, image, NETWORK_INPUT, 3, 4, 5)
    box = _random_box(image.size, (0.2, 0.5), augment.crop_ratio, _generator(3, 4, 5, stream=1))
    expected = np.asarray(image.resize((24, 16), Image.Resampling.BILINEAR, box)).transpose(2, 0, 1)
    assert np.array_equal(pixels, NETWORK_INPUT.normalize(expected))


def test_opencvs_resize_serves_crops_too() -> None:
    image = picture(90, 70)
    preprocess = msgspec.structs.replace(NETWORK_INPUT, antialias=False)
    expected = preprocess(image.crop((10, 20, 60, 50)))
    region = preprocess.region(image, (10, 20, 60, 50))
    assert np.array_equal(preprocess.normalize(preprocess.pixels(region)), expected)


@given(seed=SEED, epoch=st.integers(0, 2**31 - 1), index=st.integers(0, 2**32 - 2))
def test_a_crop_with_all_else_is_a_function_of_seed_epoch_and_index(seed: int, epoch: int, index: int) -> None:
    augment = Augment(crop_scale=(0.1, 1.0), flip=True, jitter=0.4, rotate_degrees=5)
    first, second = (seen(augment, picture(), NETWORK_INPUT, seed, epoch, index) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == (3, 16, 24)


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_seed_epoch_and_index_each_change_the_crop(other: tuple[int, int, int]) -> None:
    augment = Augment(crop_scale=(0.1, 1.0))
    changed = seen(augment, picture(), NETWORK_INPUT, *other)
    assert not np.array_equal(seen(augment, picture(), NETWORK_INPUT, 0, 0, 0), changed)


def test_without_a_crop_the_preprocessing_is_that_of_evaluation() -> None:
    assert np.array_equal(seen(Augment(), picture(), NETWORK_INPUT, 0, 0, 0), NETWORK_INPUT(picture()))


def test_a_crop_for_a_network_of_any_size_is_refused() -> None:
    with pytest.raises(UsageError, match="a random crop needs an input of one size"):
        seen(Augment(crop_scale=(0.1, 1.0)), picture(), Preprocess(), 0, 0, 0)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK"])
def test_jitter_changes_brightness_by_at_most_its_share(mode: str) -> None:
    image = Image.new("RGB", (8, 8), (100, 100, 100)).convert(mode)
    grey = np.asarray(image.convert("L")).mean()
    means = [np.asarray(Augment(jitter=0.4)(image, 0, 0, i).convert("L")).mean() / grey for i in range(100)]
    assert 0.58 <= min(means) < 0.7
    assert 1.3 < max(means) <= 1.42


def test_jitter_changes_contrast_and_saturation_too() -> None:
    image = picture()
    saturations = [np.asarray(Augment(jitter=0.4)(image, 0, 0, i).convert("HSV"))[..., 1].mean() for i in range(30)]
    deviations = [np.asarray(Augment(jitter=0.4)(image, 0, 0, i).convert("L")).std() for i in range(30)]
    assert np.std(saturations) > 5
    assert np.std(deviations) > 5


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array), SEED, st.integers(0, 100))
def test_a_balanced_order_shows_all_classes_equally_often(targets: np.ndarray, seed: int, epoch: int) -> None:
    order = balanced_order(targets, seed, epoch)
    assert len(order) == len(targets) == len(set(order))
    shown = np.bincount(targets[order % len(targets)])
    present = shown[np.unique(targets)]
    assert present.max() - present.min() <= 1
    assert np.array_equal(order, balanced_order(targets, seed, epoch))


def test_a_balanced_order_repeats_the_rare_and_draws_a_part_of_the_frequent() -> None:
    targets = np.array([0] * 90 + [1] * 10)
    first, second = (balanced_order(targets, 0, epoch) for epoch in (0, 1))
    assert sorted(first[targets[first % 100] == 1] // 100) == [turn for turn in range(5) for _ in range(10)]
    assert set(first % 100) != set(second % 100)
    assert len(set((first % 100)[targets[first % 100] == 0])) == 50


def test_what_a_batch_draws_depends_on_seed_step_and_process() -> None:
    drawn = [batch_generator(*key).integers(2**60) for key in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (0, 0, 0))]
    assert drawn[0] == drawn[-1]
    assert len(set(drawn)) == 4
    assert drawn[0] != _generator(0, 0, 0).integers(2**60)


def test_samples_draw_as_ever() -> None:
    """Recipes that were trained with stay what they were."""
    assert _generator(7, 3, 12).uniform(-1, 1, 2) == pytest.approx([0.6553894306175307, -0.7225057616125805], abs=0)
    assert [int(index) for index in epoch_order(6, 7, 3)] == [1, 2, 0, 4, 5, 3]


@pytest.mark.parametrize(
    "settings",
    [
        {"crop_scale": [0.5, 0.1]},
        {"crop_scale": [0, 1]},
        {"crop_scale": [0.1, 1.5]},
        {"crop_scale": [0.1, 1], "crop_ratio": [2, 1]},
    ],
)
def test_crops_without_meaning_are_refused(settings: dict[str, list[float]]) -> None:
    with pytest.raises(UsageError, match=r"augment\.crop_.* expected two numbers above 0, the smaller one first"):
        msgspec.convert(settings, Augment)


def smooth(width: int, height: int) -> Image.Image:
    """A picture without fine detail, so that every good way of making it smaller gives nearly the same."""
    return picture(4, 4).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_crop_of_a_photo_is_decoded_no_finer_than_needed_and_shows_the_same(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = encoded(smooth(640, 480), "JPEG", quality=95, exif=exif)
    augment = Augment(crop_scale=(0.5, 1.0))
    for index in range(6):
        fine = seen(augment, decode(file), NETWORK_INPUT, 0, 0, index)
        coarse = seen(augment, file, NETWORK_INPUT, 0, 0, index)
        assert not np.array_equal(fine, coarse)
        assert np.abs(fine - coarse).max() < 0.1


def test_files_that_cannot_be_decoded_coarsely_give_the_very_pixels() -> None:
    augment = Augment(crop_scale=(0.5, 1.0))
    for kind in ("PNG", "TIFF", "WEBP"):
        file = encoded(smooth(200, 160), kind)
        fine = seen(augment, decode(file), NETWORK_INPUT, 0, 0, 1)
        assert np.array_equal(seen(augment, file, NETWORK_INPUT, 0, 0, 1), fine)


def test_a_small_crop_of_a_photo_is_decoded_in_full() -> None:
    file = encoded(picture(40, 30), "JPEG", quality=95)
    augment = Augment(crop_scale=(0.3, 0.4))
    fine = seen(augment, decode(file), NETWORK_INPUT, 0, 0, 1)
    assert np.array_equal(seen(augment, file, NETWORK_INPUT, 0, 0, 1), fine)
