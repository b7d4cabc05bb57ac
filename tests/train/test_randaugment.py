from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from tests.support.samples import picture
from xception.data.augment import Augment, batch_generator
from xception.preprocess import Preprocess
from xception.train.randaugment import (
    IMAGE_OPERATIONS,
    IMAGENET_POLICY,
    apply_operations,
    augment,
    draw_autoaugment,
    draw_randaugment,
)

RANDOM = Augment(policy="randaugment")
AUTO = Augment(policy="autoaugment")
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
    made = apply_operations(tensor(IMAGE)[None], np.array([name]), np.array([level]))[0]
    difference = (made - tensor(PILLOW[name](level))).abs() * 255
    # Pillow rounds to whole numbers between its steps, and blends the border of a turned image otherwise.
    assert difference.quantile(0.9) <= 1.6
    assert (made - tensor(IMAGE)).abs().max() * 255 > 2.5


def test_every_image_gets_its_own_operation_at_its_own_level() -> None:
    images = torch.stack([tensor(IMAGE)] * 4)
    names, levels = np.array(["rotate", "", "invert", "rotate"]), np.array([0.5, 1, 1, -1])
    made = apply_operations(images, names, levels)
    for index in range(4):
        alone = apply_operations(images[:1], names[index : index + 1], levels[index : index + 1])[0]
        torch.testing.assert_close(made[index], alone)
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
    for names, half in ((first.names, 0), (second.names, 1)):
        for operation in set(IMAGE_OPERATIONS) & {pair[half][0] for pair in IMAGENET_POLICY}:
            expected = np.mean([pair[half][1] * (pair[half][0] == operation) for pair in IMAGENET_POLICY])
            assert np.mean(names == operation) == pytest.approx(expected, abs=0.01)
    assert set(np.unique(np.abs(first.levels[first.names == "rotate"]) * 9).round(6)) == {3, 8, 9}


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
    pixels = torch.from_numpy(np.stack([preprocess(picture(seed=seed)) for seed in range(6)]))
    first, second, other = (augment(pixels, preprocess, settings, batch_generator(0, step)) for step in (1, 1, 2))
    assert (first.shape, first.dtype) == (pixels.shape, torch.float32)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.min() >= (0 - 0.6) / 0.2 - 1e-4
    assert first.max() <= (1 - 0.4) / 0.2 + 1e-4
    untouched = augment(pixels, preprocess, Augment(policy="randaugment", magnitude=0), NoOperation())
    torch.testing.assert_close(untouched, pixels, rtol=0, atol=1e-5)


class NoOperation:
    """A generator whose draws choose brightness at magnitude 0, which changes nothing."""

    def integers(self, high: int, size: int) -> np.ndarray:
        return np.full(size, tuple(IMAGE_OPERATIONS).index("brightness"))

    def normal(self, mean: float, spread: float, size: int) -> np.ndarray:
        return np.zeros(size)

    def uniform(self, size: int) -> np.ndarray:
        return np.zeros(size)


def test_without_a_policy_the_batch_is_untouched() -> None:
    pixels = torch.zeros(2, 3, 4, 4)
    assert augment(pixels, Preprocess(), Augment(), batch_generator(0, 0)) is pixels
