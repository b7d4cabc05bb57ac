from typing import get_args

import onnx
import pytest

from xception.bundle import Bundle
from xception.data.digits import digits
from xception.data.subset import balanced
from xception.quantize.calibration import Calibration
from xception.quantize.ladder import LADDER, METHODS, Method, Quantizer
from xception.quantize.qdq import scales


def quantizer(bundle: Bundle, images: int = 16) -> Quantizer:
    calibration = Calibration(balanced(digits("train"), images)[0], bundle.model.preprocess)
    return Quantizer(onnx.load(bundle.main_file), calibration)


def test_every_method_has_a_row_and_auto_climbs_all_but_the_naive_one_and_what_needs_training() -> None:
    assert tuple(METHODS) == get_args(Method)
    assert set(METHODS) - set(LADDER) == {"per-tensor", "trained"}


def test_equalising_lowers_the_error_of_blown_up_ranges(blown_up: Bundle) -> None:
    steps = quantizer(blown_up)
    naive, mended = steps.range_error("max"), steps.range_error("equalized")
    assert naive is not None
    assert mended is not None
    assert mended < naive
    assert steps.range_error("nncf") is None


@pytest.mark.parametrize(("method", "count"), [("equalized", 23), ("fallback-2", 21)])
def test_the_worst_layers_stay_in_float(method: Method, count: int, reader: Bundle) -> None:
    steps = quantizer(reader)
    kernels = {row.tensor for row in scales(steps.graph(method)) if row.kind == "weight"}
    if method == "equalized":
        assert len(kernels) == count
    else:
        worst = {f"{layer.name}.weight" for layer in steps.sensitivity[:2]}
        assert not kernels & worst
        assert count - 2 <= len(kernels) <= count
