import numpy as np
import pytest

from xception.errors import UsageError
from xception.interchange import aipp
from xception.preprocess import CenterCrop, Preprocess, ShorterSide, Squash

CROP = CenterCrop(width_px=299, height_px=288)


def settings(preprocess: Preprocess) -> dict[str, str]:
    lines = aipp.config_text(preprocess).splitlines()
    assert (lines[0], lines[-1]) == ("aipp_op {", "}")
    return dict(line.replace(" ", "").split(":") for line in lines[1:-1])


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(crop=CROP),
        Preprocess(crop=CROP, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        Preprocess(crop=CROP, divisor=1.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), color="bgr"),
        Preprocess(crop=CROP, divisor=1.0, mean=(127.5,), std=(127.5,), color="gray"),
    ],
)
def test_the_constants_normalise_as_the_preprocessing_does(preprocess: Preprocess) -> None:
    found = settings(preprocess)
    values = np.arange(256, dtype=np.uint8)
    expected = preprocess.normalize(values.reshape(1, 1, -1).repeat(preprocess.channels, 0))
    for channel in range(preprocess.channels):
        shift = float(found[f"mean_chn_{channel}"]) + float(found[f"min_chn_{channel}"])
        ours = (values - shift) * float(found[f"var_reci_chn_{channel}"])
        assert np.abs(ours - expected[channel, 0]).max() < 1e-4
    assert (found["src_image_size_w"], found["src_image_size_h"]) == ("299", "288")
    assert found["rbuv_swap_switch"] == ("true" if preprocess.color == "bgr" else "false")
    assert found["input_format"] == ("YUV400_U8" if preprocess.color == "gray" else "RGB888_U8")


def test_a_size_that_is_free_is_refused() -> None:
    with pytest.raises(UsageError, match="fixed image size"):
        aipp.config_text(Preprocess(resize=ShorterSide(px=9)))
    assert settings(Preprocess(resize=Squash(width_px=4, height_px=5)))["src_image_size_h"] == "5"
