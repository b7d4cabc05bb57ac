import numpy as np
import pytest

from tests.samples import encoded, picture
from xception.data.decode import decode
from xception.data.pixels import pixels
from xception.preprocess import CenterCrop, Preprocess, ShorterSide

PREPROCESS = Preprocess(resize=ShorterSide(px=36), crop=CenterCrop(width_px=32, height_px=30))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_the_reference_is_the_published_resize_and_crop(file_format: str) -> None:
    file = encoded(picture(90, 70), file_format)
    assert np.array_equal(pixels(file, PREPROCESS, "reference"), PREPROCESS.resized(decode(file)))
    assert np.array_equal(pixels(decode(file), PREPROCESS, "reference"), PREPROCESS.resized(decode(file)))
