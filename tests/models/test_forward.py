"""torch's network computes what the specification says, by a second implementation that shares no code with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from parity import seeded
from parity.ours import logits, relative_difference, seeded_tensors
from tests.support.numpy_forward import forward
from xception.arch.spec import Norm
from xception.arch.variants import VARIANTS, architecture
from xception.models.network import build

TOLERANCE = 1e-12
"""Relative, in float64: the order of the additions is all that differs."""


def difference(variant: str, px: int, output_stride: int | None = None, epsilon_factor: float = 1.0) -> float:
    spec = architecture(variant, width=0.1, num_classes=11, output_stride=output_stride)
    values = seeded_tensors(spec)
    pixels = seeded.pixels(px, spec.in_channels)
    other = replace(spec, norm=Norm(epsilon=spec.norm.epsilon * epsilon_factor, momentum=spec.norm.momentum))
    return relative_difference(logits(build(spec, values), pixels, torch.float64), forward(other, values, pixels))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("px", [79, 86])
def test_torch_agrees_with_plain_numpy_at_odd_and_even_sizes(variant: str, px: int) -> None:
    assert difference(variant, px) <= TOLERANCE


@pytest.mark.parametrize("variant", ["timm_xception41", "timm_xception41p", "timm_xception71", "gluon_xception65"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_torch_agrees_with_plain_numpy_on_finer_maps(variant: str, output_stride: int) -> None:
    assert difference(variant, 80, output_stride) <= TOLERANCE


@pytest.mark.parametrize("variant", ["keras_xception", "timm_xception41", "timm_xception41p", "mini_xception"])
def test_an_epsilon_that_is_off_by_a_millionth_shows(variant: str) -> None:
    assert difference(variant, 79, epsilon_factor=1 + 1e-6) > TOLERANCE


def test_images_need_not_be_square() -> None:
    spec = architecture("keras_xception", width=0.1, num_classes=11)
    values = seeded_tensors(spec)
    pixels = np.ascontiguousarray(seeded.pixels(96)[:, :, :, :79])
    ours = logits(build(spec, values), pixels, torch.float64)
    assert relative_difference(ours, forward(spec, values, pixels)) <= TOLERANCE
