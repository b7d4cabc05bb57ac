from math import sqrt

import pytest
import torch
from torch import nn

from xception.arch.spec import Initialization
from xception.models.initialize import INIT_RULES, initialize

# Standard deviations of (3x3 stem 16 -> 32, depthwise 64, pointwise 64 -> 128, linear 200 -> 100) as the
# sources' rules give them; a uniform distribution within b has b / sqrt(3).
EXPECTED: dict[Initialization, tuple[float, float, float, float]] = {
    "torch": (1 / sqrt(3 * 144), 1 / sqrt(3 * 9), 1 / sqrt(3 * 64), 1 / sqrt(3 * 200)),
    "kaiming_fan_out": (sqrt(2 / 288), sqrt(2 / 576), sqrt(2 / 128), 1 / sqrt(3 * 200)),
    "keras": (sqrt(2 / (144 + 288)), sqrt(2 / (9 * 64 + 9)), sqrt(2 / 192), sqrt(2 / 300)),
    "mindcv": (sqrt(2 / (144 + 288)), sqrt(2 / (9 + 9 * 64)), sqrt(2 / 192), 0.01),
    "mindspore_zoo": (sqrt(2 / (144 + 288)), sqrt(2 / (9 + 9 * 64)), sqrt(2 / 192), 1 / sqrt(3 * 200)),
    "paddle": (sqrt(2 / 144), sqrt(2 / 576), sqrt(2 / 64), 1 / sqrt(3 * 200)),
    "paddle_deeplab": (sqrt(2 / 144), sqrt(2 / 576), sqrt(2 / 64), sqrt(2 / 300)),
}


def layers() -> list[nn.Module]:
    return [
        nn.Conv2d(16, 32, 3, bias=False),
        nn.Conv2d(64, 64, 3, groups=64, bias=False),
        nn.Conv2d(64, 128, 1, bias=False),
        nn.Linear(200, 100),
    ]


def test_every_rule_is_checked_here() -> None:
    assert set(EXPECTED) == set(INIT_RULES)


@pytest.mark.parametrize("rule", EXPECTED)
def test_weights_spread_as_the_source_draws_them(rule: Initialization) -> None:
    torch.manual_seed(0)
    for layer, expected in zip(layers(), EXPECTED[rule], strict=True):
        initialize(layer, rule)
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.12)
        assert abs(layer.weight.mean().item()) < 0.2 * expected


@pytest.mark.parametrize("rule", ["keras", "mindcv", "paddle", "paddle_deeplab"])
def test_the_classifiers_bias_starts_at_zero_where_the_source_says_so(rule: Initialization) -> None:
    layer = nn.Linear(200, 100)
    initialize(layer, rule)
    assert not layer.bias.any()


@pytest.mark.parametrize("rule", ["torch", "kaiming_fan_out", "mindspore_zoo"])
def test_the_classifiers_bias_stays_torchs_elsewhere(rule: Initialization) -> None:
    layer = nn.Linear(200, 100)
    initialize(layer, rule)
    assert layer.bias.any()
