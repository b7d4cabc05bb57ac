from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from tests.support.samples import picture
from xception.data.augment import Augment, batch_generator
from xception.preprocess import Preprocess
from xception.train.batch_augment import Batch, BatchAugment, Draws, normalize
from xception.train.randaugment import (
    IMAGE_OPERATIONS,
    IMAGENET_POLICY,
    apply_operations,
    draw_autoaugment,
    draw_operations,
    draw_randaugment,
)
from xception.train.settings import MixSettings

RANDOM = Augment(policy="randaugment")
AUTO = Augment(policy="autoaugment")
TARGETS = torch.zeros(6, dtype=torch.long)
IMAGE = picture(40, 30).resize((40, 30), Image.Resampling.BILINEAR, (4, 3, 36, 27))


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1) / 255


def affine(*coefficients: float) -> Image.Image:
    return IMAGE.transform(IMAGE.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


PILLOW: dict[str, Callable[[float], Image.Image]] = {
    "autocontrast": lambda level: ImageOps.autocontrast(IMAGE),
    "brightness": lambda level: ImageEnhance.Brightness(IMAGE).enhance(1 + 0.9 * level),
    "color": lambda level: ImageEnhance.Color(IMAGE).enhance(1 + 0.9 * level),
    "contrast": lambda level: ImageEnhance.Contrast(IMAGE).enhance(1 + 0.9 * level),
    "equalize": lambda level: ImageOps.equalize(IMAGE),
    "invert": lambda level: ImageOps.invert(IMAGE),
    "posterize": lambda level: ImageOps.posterize(IMAGE, 8 - round(4 * abs(level))),
    "rotate": lambda level: IMAGE.rotate(-30 * level, Image.Resampling.BILINEAR),
    "sharpness": lambda level: ImageEnhance.Sharpness(IMAGE).enhance(1 + 0.9 * level),
    "shear_x": lambda level: affine(1, -0.3 * level, 0.3 * level * 15, 0, 1, 0),
    "shear_y": lambda level: affine(1, 0, 0, -0.3 * level, 1, 0.3 * level * 20),
    "solarize": lambda level: ImageOps.solarize(IMAGE, round(255 * (1 - abs(level)))),
    "translate_x": lambda level: affine(1, 0, -0.45 * level * 40, 0, 1, 0),
    "translate_y": lambda level: affine(1, 0, 0, 0, 1, -0.45 * level * 30),
}


@pytest.mark.parametrize("name", IMAGE_OPERATIONS)
@pytest.mark.parametrize("level", [0.5, -0.8])
def test_an_operation_is_pillows_apart_from_rounding(name: str, level: float) -> None:
    made = apply_operations(tensor(IMAGE)[None], {name: (torch.tensor([0]), torch.tensor([level]))})[0]
    difference = (made - tensor(PILLOW[name](level))).abs() * 255
    # Pillow rounds to whole numbers between its steps, and blends the border of a turned image otherwise.
    assert difference.quantile(0.9) <= 1.6
    assert (made - tensor(IMAGE)).abs().max() * 255 > 2.5


def test_every_image_gets_its_own_operation_at_its_own_level() -> None:
    images = torch.stack([tensor(IMAGE)] * 4)
    operations = {
        "rotate": (torch.tensor([0, 3]), torch.tensor([0.5, -1.0])),
        "invert": (torch.tensor([2]), torch.tensor([1.0])),
    }
    made = apply_operations(images, operations)
    for name, (places, levels) in operations.items():
        for place, level in zip(places, levels, strict=True):
            alone = apply_operations(images[:1], {name: (torch.tensor([0]), level[None])})[0]
            torch.testing.assert_close(made[place], alone)
    assert torch.equal(made[1], images[1])
    assert torch.equal(images[0], tensor(IMAGE))


def test_randaugment_draws_all_operations_alike_around_its_magnitude() -> None:
    settings = Augment(policy="randaugment", operations=3, magnitude=6, magnitude_std=0.5)
    rounds = draw_randaugment(2000, settings, batch_generator(0, 0))
    assert len(rounds) == 3
    for names, levels in rounds:
        assert set(names) == set(IMAGE_OPERATIONS)
        counts = np.unique(names, return_counts=True)[1]
        assert counts.min() > 0.7 * 2000 / len(IMAGE_OPERATIONS)
        assert np.abs(levels).mean() == pytest.approx(0.6, abs=0.01)
        assert np.abs(levels).std() == pytest.approx(0.05, abs=0.01)
        assert (levels < 0).mean() == pytest.approx(0.5, abs=0.05)


def test_autoaugment_draws_pairs_of_its_policy_with_their_probabilities() -> None:
    first, second = draw_autoaugment(20_000, AUTO, batch_generator(0, 0))
    for (names, _), half in ((first, 0), (second, 1)):
        for operation in set(IMAGE_OPERATIONS) & {pair[half][0] for pair in IMAGENET_POLICY}:
            expected = np.mean([pair[half][1] * (pair[half][0] == operation) for pair in IMAGENET_POLICY])
            assert np.mean(names == operation) == pytest.approx(expected, abs=0.01)
    assert set(np.unique(np.abs(first[1][first[0] == "rotate"]) * 9).round(6)) == {3, 8, 9}


def test_the_policy_is_the_published_one() -> None:
    from kornia.augmentation.auto.autoaugment.autoaugment import imagenet_policy

    def plain(name: str) -> str:
        return name.replace("auto_contrast", "autocontrast")

    assert len(IMAGENET_POLICY) == len(imagenet_policy)
    for ours, theirs in zip(IMAGENET_POLICY, imagenet_policy, strict=True):
        for (name, probability, level), (their_name, their_probability, their_level) in zip(ours, theirs, strict=True):
            assert (name, probability) == (plain(their_name), their_probability)
            assert their_level in (None, level)


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("divisor", [255.0, 1.0])
@pytest.mark.parametrize("settings", [RANDOM, AUTO])
def test_normalised_pixels_stay_so_and_a_step_decides_them(settings: Augment, color: str, divisor: float) -> None:
    channels = 1 if color == "gray" else 3
    preprocess = Preprocess(
        color=color,
        divisor=divisor,
        mean=tuple([0.4, 0.5, 0.6][channel] * 255 / divisor for channel in range(channels)),
        std=(0.2 * 255 / divisor,) * channels,
    )
    levels = torch.from_numpy(np.stack([preprocess.resized(picture(seed=seed)) for seed in range(6)]))
    changes = BatchAugment(
        augment=settings, mix=MixSettings(), preprocess=preprocess, num_classes=2, steps_per_epoch=1, seed=0
    )
    first, second, other = (changes(Batch(levels, TARGETS, changes.draw(levels, step)))[0] for step in (1, 1, 2))
    assert (first.shape, first.dtype) == (levels.shape, torch.float32)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.min() >= (0 - 0.6) / 0.2 - 1e-4
    assert first.max() <= (1 - 0.4) / 0.2 + 1e-4
    still = {"brightness": (torch.arange(6), torch.zeros(6))}
    untouched = changes(Batch(levels, TARGETS, Draws(operations=(still,))))[0]
    torch.testing.assert_close(untouched, normalize(levels, preprocess), rtol=0, atol=1e-5)


def test_without_a_policy_nothing_is_drawn() -> None:
    assert draw_operations(2, Augment(), batch_generator(0, 0)) == ()


def test_equalising_many_images_is_equalising_each() -> None:
    pictures = [picture(seed=seed).resize((40, 30)) for seed in range(3)]
    flat = Image.new("RGB", (40, 30), (7, 7, 7))
    images = torch.stack([tensor(image) for image in (*pictures, flat)])
    made = apply_operations(images, {"equalize": (torch.arange(4), torch.zeros(4))})
    for image, found in zip((*pictures, flat), made, strict=True):
        assert torch.equal((found * 255).round(), (tensor(ImageOps.equalize(image)) * 255).round())
