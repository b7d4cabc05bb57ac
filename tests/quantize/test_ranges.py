import numpy as np
import pytest

from xception.errors import CheckFailed
from xception.quantize.ranges import BINS_PER_SIDE, RANGES, Histogram, divergence, squared_error, symmetric


def histogram(values: np.ndarray, parts: int = 1) -> Histogram:
    result = Histogram()
    for part in np.array_split(values.astype(np.float32), parts):
        result.add(part)
    return result


NORMAL = np.random.Generator(np.random.PCG64(0)).normal(0, 1, 200_000)
WITH_OUTLIER = np.append(NORMAL, 50.0)


def test_every_value_is_counted_however_the_values_grow() -> None:
    growing = np.array([0.0, 0.0, 0.1, -0.3, 2.0, -17.0])
    whole, parts = histogram(growing), histogram(growing, parts=6)
    assert whole.counts.sum() == parts.counts.sum() == 6
    assert (parts.low, parts.high) == pytest.approx((-17, 2))
    assert parts.limit >= 17
    assert parts.counts[:BINS_PER_SIDE].sum() == 2


def test_a_tensor_of_zeros_has_the_range_of_zero() -> None:
    zeros = histogram(np.zeros(10))
    assert {choose(zeros) for choose in RANGES.values()} == {(0.0, 0.0)}
    assert squared_error(zeros, (0.0, 0.0)) == 0


def test_every_range_holds_zero_even_where_no_value_is_near_it() -> None:
    assert RANGES["max"](histogram(np.array([3.0, 5.0]))) == (0.0, 5.0)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(CheckFailed, match="not a finite number"):
        histogram(np.array([1.0, np.nan]))


def test_a_percentile_leaves_out_what_lies_beyond_it() -> None:
    low, high = RANGES["percentile-99.9"](histogram(WITH_OUTLIER))
    expected = np.quantile(np.abs(WITH_OUTLIER), 0.999)
    assert high == pytest.approx(expected, rel=0.02)
    assert low == pytest.approx(-expected, rel=0.02)
    assert RANGES["max"](histogram(WITH_OUTLIER))[1] == 50


def test_the_searches_clip_an_outlier_and_keep_what_has_none() -> None:
    for method in ("mse", "entropy"):
        assert RANGES[method](histogram(WITH_OUTLIER))[1] < 45
    uniform = histogram(np.linspace(0, 1, 100_000))
    assert RANGES["mse"](uniform)[1] > 0.98


def test_the_chosen_range_has_the_least_error_of_all_methods() -> None:
    seen = histogram(WITH_OUTLIER)
    errors = {method: squared_error(seen, choose(seen)) for method, choose in RANGES.items()}
    assert min(errors, key=lambda method: errors[method]) == "mse"
    assert errors["mse"] < errors["max"]


def test_the_error_is_that_of_quantizing_the_values_themselves() -> None:
    low, high = -2.0, 3.0
    scale = (high - low) / 255
    zero = round(-low / scale)
    restored = ((np.rint(NORMAL / scale) + zero).clip(0, 255) - zero) * scale
    assert squared_error(histogram(NORMAL), (low, high)) == pytest.approx(((NORMAL - restored) ** 2).mean(), rel=0.02)


def test_divergence_grows_with_what_is_clipped() -> None:
    seen = histogram(NORMAL)
    assert divergence(seen, (-4, 4)) < divergence(seen, (-1, 1)) < divergence(seen, (-0.1, 0.1))


def test_a_symmetric_range_holds_the_given_one() -> None:
    assert [symmetric(bounds) for bounds in ((-1.0, 3.0), (-3.0, 1.0), (0.0, 3.0))] == [(-3.0, 3.0)] * 3
