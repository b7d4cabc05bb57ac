"""The seeded numbers are the same everywhere and for ever, or every golden would have to be made anew."""

import numpy as np
import pytest

from parity import seeded

SHAPE = (64, 32, 3, 3)


def test_the_first_numbers_never_change() -> None:
    assert seeded.tensor("conv1.weight", (3,), "kernel", 27).tolist() == pytest.approx(PINNED_KERNEL, abs=1e-9)
    assert seeded.pixels(97).ravel()[:3].tolist() == pytest.approx(PINNED_PIXELS, abs=1e-9)


PINNED_KERNEL = [0.009543663822114468, -0.15536759793758392, -0.23028464615345]
PINNED_PIXELS = [0.4873025715351105, 0.09790083765983582, 0.27498260140419006]


def test_another_name_gives_other_numbers() -> None:
    one, other = (seeded.tensor(name, SHAPE, "kernel", 288) for name in ("conv1.weight", "conv2.weight"))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("scale", 0.6, 1.4), ("offset", -0.2, 0.2), ("mean", -0.2, 0.2), ("variance", 0.5, 1.5), ("kernel", -0.5, 0.5)],
)
def test_every_kind_fills_its_range(kind: seeded.Kind, low: float, high: float) -> None:
    values = seeded.tensor("a", SHAPE, kind, fan_in=12)
    assert values.dtype == np.float32
    assert values.min() == pytest.approx(low, abs=1e-3)
    assert values.max() == pytest.approx(high, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("bn1.weight", (8,), "scale"),
        ("fc.weight", (8, 8), "kernel"),
        ("conv2d_6/bias", (7,), "offset"),
        ("_conv1._bn._variance", (8,), "variance"),
        ("block1_conv1_bn/moving_mean", (8,), "mean"),
    ],
)
def test_a_tensor_s_kind_follows_from_its_name(name: str, shape: tuple[int, ...], kind: seeded.Kind) -> None:
    assert seeded.kind_of(name, shape) == kind
