import numpy as np
import pytest

from xception.convert.stated import Normalization
from xception.preprocess import Preprocess


def test_two_steps_of_arithmetic_are_one() -> None:
    found = Normalization(factor=(1 / 127.5,)).then((1.0,), (-1.0,)).then((2.0, 3.0, 4.0), (0.5,))
    assert found.factor == pytest.approx((2 / 127.5, 3 / 127.5, 4 / 127.5))
    assert found.shift == pytest.approx((-1.5, -2.5, -3.5))


def test_arithmetic_becomes_the_normalisation_of_a_preprocessing() -> None:
    found = Normalization(factor=(0.02, 0.01, 0.005), shift=(-1.0, 0.0, 3.0)).applied(Preprocess())
    images = np.arange(0, 256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, axis=1)
    expected = images * np.array([0.02, 0.01, 0.005])[:, None, None] + np.array([-1.0, 0.0, 3.0])[:, None, None]
    np.testing.assert_allclose(found.normalize(images), expected, rtol=1e-5, atol=1e-6)
    assert found.resize == Preprocess().resize
