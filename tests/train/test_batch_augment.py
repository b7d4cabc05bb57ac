import numpy as np
import pytest
import torch

from tests.support.samples import picture
from xception.data.augment import Augment
from xception.preprocess import Preprocess, Squash
from xception.train.batch_augment import Batch, BatchAugment, Draws, normalize
from xception.train.settings import MixSettings

PREPROCESS = Preprocess(
    resize=Squash(width_px=12, height_px=10), mean=(0.4914, 0.4822, 0.4465), std=(0.247, 0.2435, 0.26)
)
LEVELS = torch.from_numpy(np.stack([PREPROCESS.resized(picture(seed=seed)) for seed in range(4)]))
TARGETS = torch.arange(4)


def changes(augment: Augment | None = None, mix: MixSettings | None = None) -> BatchAugment:
    return BatchAugment(
        augment=augment or Augment(),
        mix=mix or MixSettings(),
        preprocess=PREPROCESS,
        num_classes=4,
        steps_per_epoch=1,
        seed=0,
    )


@pytest.mark.parametrize("fractions", [False, True])
def test_a_batch_is_normalised_to_the_very_bits_of_evaluation(fractions: bool) -> None:
    levels = LEVELS + 0.3 if fractions else LEVELS
    made = normalize(levels, PREPROCESS)
    assert np.array_equal(made.numpy(), PREPROCESS.normalize(levels.numpy()))
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_only_the_images_that_were_drawn_are_mirrored() -> None:
    mirrored = torch.tensor([True, False, False, True])
    pixels, targets = changes()(Batch(LEVELS, TARGETS, Draws(mirrored)))
    plain = normalize(LEVELS, PREPROCESS)
    for index, is_mirrored in enumerate(mirrored):
        assert torch.equal(pixels[index], plain[index].flip(-1) if is_mirrored else plain[index])
    assert targets is TARGETS


def test_what_is_drawn_is_a_function_of_seed_and_step() -> None:
    made = changes(Augment(policy="randaugment", erase=1.0), MixSettings(cutmix=1.0))
    first, second, other = (made(Batch(LEVELS, TARGETS, made.draw(LEVELS, step))) for step in (1, 1, 2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_a_change_keeps_the_batch_as_it_came() -> None:
    before = LEVELS.clone()
    made = changes(Augment(policy="autoaugment", erase=1.0), MixSettings(mixup=1.0))
    made(Batch(LEVELS, TARGETS, made.draw(LEVELS, 0, torch.ones(4, dtype=torch.bool))))
    assert torch.equal(LEVELS, before)
