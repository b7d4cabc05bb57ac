"""Images are prepared as the sources' own libraries prepare them: what those made of noise in odd sizes is kept."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from parity.preprocess import (
    FRACTION_TOLERANCE,
    GOLDEN,
    NORMALIZE_TOLERANCE,
    RAMP_STEP,
    digest,
    levels,
    normalized_ramp,
    sampled,
)
from xception.convert.catalog import CATALOG
from xception.preprocess import Preprocess, Squash

CASES: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())["cases"]


def preprocess_of(name: str) -> Preprocess:
    return msgspec.convert(CASES[name]["preprocess"], Preprocess)


def is_equal(name: str, preprocess: Preprocess, size: str) -> bool:
    """Whether the pixels of the noise of that size are those of the library."""
    ours = levels(preprocess, *map(int, size.split("x")))
    if "digests" in CASES[name]:
        return digest(ours) == CASES[name]["digests"][size]
    return np.abs(np.subtract(sampled(ours), CASES[name]["levels"][size])).max() <= FRACTION_TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_resize_and_crop_equal_the_librarys_bit_for_bit_or_within_the_rounding_of_float32(name: str) -> None:
    sizes = CASES[name].get("digests") or CASES[name]["levels"]
    assert len(sizes) >= 20
    assert [size for size in sizes if not is_equal(name, preprocess_of(name), size)] == []


@pytest.mark.parametrize("name", CASES)
def test_normalised_values_equal_the_librarys_within_the_rounding_of_float32(name: str) -> None:
    ours = normalized_ramp(preprocess_of(name))[:, ::RAMP_STEP]
    assert np.abs(ours - CASES[name]["ramp"]).max() <= NORMALIZE_TOLERANCE


@pytest.mark.parametrize("name", CATALOG)
def test_every_published_preprocessing_was_compared(name: str) -> None:
    assert CATALOG[name].preprocess in [preprocess_of(case) for case in CASES]


@pytest.mark.parametrize(
    ("name", "field", "value", "noticed_at"),
    [
        ("timm_xception65.ra3_in1k", "crop", {"offset": "floor"}, "318x317"),
        ("crop beyond the image, torchvision", "crop", {"offset": "floor"}, "1x1"),
        ("crop beyond the image, MindSpore", "crop", {"offset": "round"}, "1x1"),
        ("long side rounded at another size", "resize", {"long_side": "truncate"}, "61x97"),
        ("keras_xception.kerashub", "antialias", True, "500x375"),
        ("keras_xception.kerashub", "resize", Squash(width_px=299, height_px=299), "500x375"),
        ("keras_xception.kerashub", "fractions", False, "500x375"),
        ("timm_xception41.zeromodels_tf_in1k", "interpolation", "bilinear", "500x375"),
        ("timm_xception41.zeromodels_tf_in1k", "fractions", False, "500x375"),
    ],
)
def test_another_rule_would_be_noticed(name: str, field: str, value: object, noticed_at: str) -> None:
    right = preprocess_of(name)
    changed = msgspec.structs.replace(getattr(right, field), **value) if isinstance(value, dict) else value
    wrong = msgspec.structs.replace(right, **{field: changed})
    assert not is_equal(name, wrong, noticed_at)


def test_another_deviation_would_be_noticed() -> None:
    wrong = msgspec.structs.replace(preprocess_of("ppcls_xception41.ppcls_in1k"), std=(0.229, 0.224, 0.2251))
    ramp = CASES["ppcls_xception41.ppcls_in1k"]["ramp"]
    assert np.abs(normalized_ramp(wrong)[:, ::RAMP_STEP] - ramp).max() > NORMALIZE_TOLERANCE
