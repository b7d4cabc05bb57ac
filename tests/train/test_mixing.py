from math import log

import numpy as np
import pytest
import torch

from xception.data.augment import batch_generator
from xception.train.mixing import ERASED_SIZES, cutmix, draw_erased, draw_mix, erase, mix, mixup, random_box
from xception.train.settings import MixSettings

COUNT, CLASSES, PX = 6, 4, 16
PIXELS = torch.arange(COUNT * 3 * PX * PX, dtype=torch.float32).reshape(COUNT, 3, PX, PX) + 1
TARGETS = torch.tensor([0, 1, 2, 3, 0, 1])
PARTNER = torch.tensor([2, 0, 1, 5, 4, 3])


def mixed(step: int = 0, **settings: float) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = draw_mix(COUNT, (PX, PX), MixSettings(**settings), batch_generator(0, step))
    return mix(PIXELS, TARGETS, CLASSES, drawn)


def test_mixup_is_the_weighted_sum_of_two_images() -> None:
    made = mixup(PIXELS, PARTNER, 0.3)
    for index in range(COUNT):
        expected = 0.3 * PIXELS[index].numpy() + 0.7 * PIXELS[int(PARTNER[index])].numpy()
        np.testing.assert_allclose(made[index].numpy(), expected, rtol=1e-6)


def test_cutmix_takes_the_box_from_the_other_image_and_counts_its_pixels() -> None:
    made = cutmix(PIXELS, PARTNER, (10, 2, 16, 7))
    expected = PIXELS.numpy().copy()
    for index in range(COUNT):
        for y in range(2, 7):
            for x in range(10, 16):
                expected[index, :, y, x] = PIXELS.numpy()[int(PARTNER[index]), :, y, x]
    assert np.array_equal(made.numpy(), expected)


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}])
@pytest.mark.parametrize("step", range(4))
def test_a_mixed_batch_is_two_images_and_their_classes_in_one_proportion(settings: dict[str, float], step: int) -> None:
    pixels, soft = mixed(step, **settings)
    assert (pixels.shape, soft.shape) == (PIXELS.shape, (COUNT, CLASSES))
    torch.testing.assert_close(soft.sum(1), torch.ones(COUNT))
    rng = batch_generator(0, step)
    share = rng.beta(*[next(iter(settings.values()))] * 2)
    partner = rng.permutation(COUNT)
    if "cutmix" in settings:
        left, top, right, bottom = box = random_box(PX, PX, 1 - share, rng)
        expected, share = cutmix(PIXELS, torch.from_numpy(partner), box), 1 - (right - left) * (bottom - top) / PX**2
    else:
        expected = mixup(PIXELS, torch.from_numpy(partner), share)
    assert torch.equal(pixels, expected)
    for index in range(COUNT):
        row = np.zeros(CLASSES)
        row[int(TARGETS[index])] += share
        row[int(TARGETS[int(partner[index])])] += 1 - share
        np.testing.assert_allclose(soft[index].numpy(), row, atol=1e-6)


def test_without_mixing_the_batch_is_untouched() -> None:
    pixels, targets = mixed()
    assert pixels is PIXELS
    assert targets is TARGETS


def test_a_mixed_batch_is_a_function_of_its_step() -> None:
    first, second, other = (mixed(step, mixup=0.4)[0] for step in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_with_both_kinds_batches_take_either() -> None:
    batches = [mixed(step, mixup=0.5, cutmix=1.0, cutmix_share=0.3)[0] for step in range(200)]
    # Pixels are whole numbers, which only mixup blends to others.
    cut = sum(bool((batch == batch.round()).all()) for batch in batches)
    assert 40 < cut < 80


def test_boxes_have_the_share_that_was_drawn_unless_the_border_cuts_them() -> None:
    rng = batch_generator(0, 0)
    boxes = np.array([random_box(100, 100, 0.25, rng) for _ in range(500)])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 100**2
    assert areas.max() == 0.25
    assert np.mean(areas == 0.25) == pytest.approx(0.25, abs=0.06)
    assert areas.min() >= 0.06


def test_shares_follow_the_beta_distribution() -> None:
    shares = [float(mixed(step, mixup=0.2)[1].amax(1).min()) for step in range(400)]
    # Beta(0.2, 0.2) lies near 0 and 1: most mixtures are nearly one of the two images.
    assert np.mean(np.array(shares) > 0.9) > 0.5
    assert min(shares) < 0.6


class Largest:
    """Stands in for a random generator, draws the largest number, and keeps the bounds."""

    def __init__(self) -> None:
        self.bounds: list[tuple[float, float]] = []

    def uniform(self, least: float, largest: float) -> float:
        self.bounds.append((least, largest))
        return largest


@pytest.mark.parametrize(
    ("rule", "bounds", "size"),
    [
        # timm 1.0, RandomErasing: min_area 0.02, max_area 1/3, logarithm of height over width from 0.3 to 1 / 0.3.
        ("timm", [(0.02, 1 / 3), (log(0.3), log(1 / 0.3))], (67, 20)),
        # MindSpore 2, get_erase_params, with MindCV's re_scale and re_ratio: width over height, evenly.
        ("mindspore", [(0.02, 0.33), (0.3, 3.3)], (20, 66)),
    ],
)
def test_erased_rectangles_have_the_sizes_of_their_sources(
    rule: str, bounds: list[tuple[float, float]], size: tuple[int, int]
) -> None:
    drawn = Largest()
    assert ERASED_SIZES[rule](4000, drawn) == size
    assert drawn.bounds == bounds


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_the_given_share_of_images_loses_a_rectangle_of_the_published_sizes(probability: float) -> None:
    pixels = torch.ones(400, 3, 40, 40)
    made = erase(pixels, draw_erased(400, (40, 40), probability, batch_generator(0, 0)))
    gone = (made == 0).all(1).numpy()
    hit = gone.any((1, 2))
    assert hit.mean() == pytest.approx(probability, abs=0.06)
    for mask in gone[hit]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns)
        assert len(rows) == rows[-1] - rows[0] + 1
        assert len(columns) == columns[-1] - columns[0] + 1
        assert 0.015 < mask.mean() < 0.36
        assert 0.2 < len(rows) / len(columns) < 4.5
    assert pixels.min() == 1
