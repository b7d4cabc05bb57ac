import numpy as np
import pytest
import torch
from torch.nn import functional

from xception.arch.arithmetic import norm_as_affine, same_padding


def test_a_norm_is_one_factor_and_one_shift_per_channel() -> None:
    rng = np.random.default_rng(0)
    weight, bias, mean = (rng.normal(size=5) for _ in range(3))
    variance, values = rng.uniform(0.5, 2, 5), rng.normal(size=(3, 5, 2, 2))
    factor, shift = norm_as_affine(weight, bias, mean, variance, 1e-3)
    rows = [torch.from_numpy(row) for row in (values, mean, variance, weight, bias)]
    expected = functional.batch_norm(*rows, eps=1e-3).numpy()
    np.testing.assert_allclose(values * factor[:, None, None] + shift[:, None, None], expected, atol=1e-12)
    assert factor.dtype == np.float64


@pytest.mark.parametrize(
    ("side", "reach", "stride", "padding"),
    [(7, 3, 2, (1, 1)), (8, 3, 2, (0, 1)), (8, 3, 1, (1, 1)), (5, 1, 1, (0, 0)), (4, 1, 2, (0, 0)), (9, 5, 1, (2, 2))],
)
def test_same_padding_keeps_one_window_per_stride(side: int, reach: int, stride: int, padding: tuple[int, int]) -> None:
    assert same_padding((side, 8), reach, stride)[::2] == padding
    assert (side + sum(padding) - reach) // stride + 1 == -(-side // stride)
