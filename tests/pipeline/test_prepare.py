import re

import msgspec
import numpy as np
import pytest

from tests.support.samples import encoded, picture
from xception.data.pixels import pixels
from xception.errors import DecodeError
from xception.pipeline.prepare import Preparation, prepare_image
from xception.preprocess import Preprocess, Squash

IGNORED = Preparation(preprocess=Preprocess(resize=Squash(width_px=16, height_px=12)), mode="exact")
NOTED, REFUSED = [msgspec.structs.replace(IGNORED, damage=damage) for damage in ("noted", "refused")]


def damaged_file() -> bytes:
    file = bytearray(encoded(picture(90, 70), "JPEG"))
    file[-200:-2] = bytes(198)
    return bytes(file)


def test_damage_is_treated_as_asked() -> None:
    levels, warning = prepare_image(damaged_file(), NOTED)
    assert warning
    assert np.array_equal(levels, pixels(damaged_file(), IGNORED.preprocess, "exact"))
    assert prepare_image(damaged_file(), IGNORED).warning is None
    with pytest.raises(DecodeError, match=re.escape(warning)):
        prepare_image(damaged_file(), REFUSED)


@pytest.mark.parametrize("way", [NOTED, REFUSED])
def test_what_is_sound_or_no_file_has_no_damage(way: Preparation) -> None:
    assert prepare_image(encoded(picture(90, 70), "JPEG"), way).warning is None
    assert prepare_image(picture(), way).warning is None
