"""Images are prepared as the sources' own libraries prepare them: what those made of noise in odd sizes is kept."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from parity.preprocess import GOLDEN, NORMALIZE_TOLERANCE, RAMP_STEP, digest, eight_bit, normalized_ramp
from xception.convert.catalog import CATALOG
from xception.preprocess import Preprocess

CASES: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())["cases"]


def preprocess_of(name: str) -> Preprocess:
    return msgspec.convert(CASES[name]["preprocess"], Preprocess)


def is_equal(name: str, preprocess: Preprocess, size: str) -> bool:
    """Whether the 8-bit pixels of the noise of that size are those of the library."""
    return digest(eight_bit(preprocess, *map(int, size.split("x")))) == CASES[name]["digests"][size]


@pytest.mark.parametrize("name", CASES)
def test_resize_and_crop_equal_the_librarys_bit_for_bit(name: str) -> None:
    sizes = CASES[name]["digests"]
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
    ],
)
def test_another_rounding_would_be_noticed(name: str, field: str, value: dict[str, str], noticed_at: str) -> None:
    right = preprocess_of(name)
    wrong = msgspec.structs.replace(right, **{field: msgspec.structs.replace(getattr(right, field), **value)})
    assert not is_equal(name, wrong, noticed_at)


def test_another_deviation_would_be_noticed() -> None:
    wrong = msgspec.structs.replace(preprocess_of("ppcls_xception41.ppcls_in1k"), std=(0.229, 0.224, 0.2251))
    ramp = CASES["ppcls_xception41.ppcls_in1k"]["ramp"]
    assert np.abs(normalized_ramp(wrong)[:, ::RAMP_STEP] - ramp).max() > NORMALIZE_TOLERANCE
